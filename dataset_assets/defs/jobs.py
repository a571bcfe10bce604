"""Jobs: the parts of a build, as a person would start them from the UI, or the sensor and a schedule do."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from dataset_assets.settings import Job, Settings
from dataset_assets.stages import Stage

# Not by name: near_duplicates and gallery are in the graph only where the settings ask for them.
_BELOW_PLANS = dg.AssetSelection.assets(Stage.SHARD_PLANS).downstream()
_ABOVE_SHARDS = dg.AssetSelection.assets(Stage.SHARDS).upstream()

# Of the job of crops. Crops want cores and captions of models wait for answers: in one run the cores would wait, too.
CROP_STAGES = (Stage.SHARD_PLANS, Stage.RESIZED_CROPS)

_SELECTIONS: dict[str, dg.AssetSelection] = {
    Job.INDEX: dg.AssetSelection.assets(Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS),
    Job.CROPS: dg.AssetSelection.assets(*CROP_STAGES),
    Job.PARTITIONS: _BELOW_PLANS & _ABOVE_SHARDS,
    Job.RELEASE: _BELOW_PLANS - _ABOVE_SHARDS - dg.AssetSelection.groups("records"),
    Job.RECORDS_INDEX: dg.AssetSelection.assets(Stage.CAPTION_RECORDS),
    Job.RECORDS: dg.AssetSelection.assets(Stage.RECORD_CAPTIONS, Stage.CAPTIONS_1KTAR),
    Job.TRAINER: dg.AssetSelection.assets(Stage.TRAINER_METADATA),
}
_DESCRIPTIONS = {
    Job.INDEX: "Looks at the sources and plans what changed. Run it first: it makes the partitions.",
    Job.CROPS: "Crops of some partitions, and nothing else: the part that wants cores.",
    Job.PARTITIONS: "Crops, captions, selection and tars of some partitions; what is fresh is left alone.",
    Job.RELEASE: (
        "Manifest, dataset card and gallery, and near duplicates if asked for, once all partitions are there."
    ),
    Job.RECORDS_INDEX: "Reads the files of records that are new or changed.",
    Job.RECORDS: "Captions and tars of some ranges; what is fresh is left alone.",
    Job.TRAINER: "What kohya-ss trainers read, once every caption is there.",
}

Jobs = Sequence[Any]  # what define_asset_job returns has no public name


def list_jobs(settings: Settings) -> Jobs:
    """Return the jobs of the assets that the settings ask for, each with the tags that its runs get."""
    crops = (Job.CROPS,) if settings.automation.separate_crops else ()
    names = [
        *((Job.INDEX, *crops, Job.PARTITIONS, Job.RELEASE) if settings.sources else ()),
        *((Job.RECORDS_INDEX, Job.RECORDS) if settings.records else ()),
        *((Job.TRAINER,) if settings.trainer else ()),
    ]
    return [
        dg.define_asset_job(
            name,
            selection=_SELECTIONS[name],
            description=_DESCRIPTIONS[name],
            run_tags=settings.automation.tags_of(name),
        )
        for name in names
    ]
