"""Jobs: the three parts of a build, as a person would start them from the UI or a schedule."""

import dagster as dg

from dataset_assets.freshness import Stage

# Not by name: near_duplicates is in the graph only where the settings ask for it.
_BELOW_PLANS = dg.AssetSelection.assets(Stage.SHARD_PLANS).downstream()
_ABOVE_SHARDS = dg.AssetSelection.assets(Stage.SHARDS).upstream()

INDEX = dg.define_asset_job(
    "index",
    selection=dg.AssetSelection.assets(Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS),
    description="Looks at the sources and plans what changed. Run it first: it makes the partitions.",
)
PARTITIONS = dg.define_asset_job(
    "partitions",
    selection=_BELOW_PLANS & _ABOVE_SHARDS,
    description="Crops, captions, selection and tars of some partitions; what is fresh is left alone.",
)
RELEASE = dg.define_asset_job(
    "release",
    selection=_BELOW_PLANS - _ABOVE_SHARDS,
    description="Manifest and dataset card, and near duplicates if asked for, once every partition is there.",
)
JOBS = (INDEX, PARTITIONS, RELEASE)
