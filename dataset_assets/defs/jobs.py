"""Jobs: the three parts of a build, as a person would start them from the UI or a schedule."""

import dagster as dg

from dataset_assets.freshness import Stage

INDEX = dg.define_asset_job(
    "index",
    selection=dg.AssetSelection.assets(Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS),
    description="Looks at the sources and plans what changed. Run it first: it makes the partitions.",
)
PARTITIONS = dg.define_asset_job(
    "partitions",
    selection=dg.AssetSelection.assets(Stage.SHARD_PLANS).downstream()
    - dg.AssetSelection.assets(Stage.MANIFEST, Stage.DATASET_CARD),
    description="Crops, captions, selection and tars of some partitions; what is fresh is left alone.",
)
RELEASE = dg.define_asset_job(
    "release",
    selection=dg.AssetSelection.assets(Stage.MANIFEST, Stage.DATASET_CARD),
    description="Manifest and dataset card, once every partition is there.",
)
JOBS = (INDEX, PARTITIONS, RELEASE)
