"""Jobs: the parts of a build, as a person would start them from the UI or a schedule."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from dataset_assets.settings import Settings
from dataset_assets.stages import Stage

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
    selection=_BELOW_PLANS - _ABOVE_SHARDS - dg.AssetSelection.groups("records"),
    description="Manifest and dataset card, and near duplicates if asked for, once every partition is there.",
)
RECORDS_INDEX = dg.define_asset_job(
    "records_index",
    selection=dg.AssetSelection.assets(Stage.CAPTION_RECORDS),
    description="Reads the files of records that are new or changed.",
)
RECORDS = dg.define_asset_job(
    "records",
    selection=dg.AssetSelection.assets(Stage.RECORD_CAPTIONS, Stage.CAPTIONS_1KTAR),
    description="Captions and tars of some ranges; what is fresh is left alone.",
)
TRAINER = dg.define_asset_job(
    "trainer",
    selection=dg.AssetSelection.assets(Stage.TRAINER_METADATA),
    description="What kohya-ss trainers read, once every caption is there.",
)


Jobs = Sequence[Any]  # what define_asset_job returns has no public name


def list_jobs(settings: Settings) -> Jobs:
    """Return the jobs of the assets that the settings ask for."""
    return [
        *((INDEX, PARTITIONS, RELEASE) if settings.sources else ()),
        *((RECORDS_INDEX, RECORDS) if settings.records else ()),
        *((TRAINER,) if settings.trainer else ()),
    ]
