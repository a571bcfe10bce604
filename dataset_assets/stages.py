"""The stages: their names, which ones a dataset has, what each is made from, and the order in which they are made.

Whether one is fresh is freshness.py's to say, and what it makes is its own module's.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from dataset_assets.settings import ChatSettings, Settings, VariantSettings


class Stage:
    """The stages, named as their assets; `caption_stage` names those of the variants.

    Plain strings: Dagster takes no enumeration of ours for a name.
    """

    RAW_IMAGES: Final = "raw_images"
    BUCKET_ASSIGNMENTS: Final = "bucket_assignments"
    SHARD_PLANS: Final = "shard_plans"
    RESIZED_CROPS: Final = "resized_crops"
    CAPTION_SELECTION: Final = "caption_selection"
    SHARDS: Final = "shards"
    SHARDS_INTACT: Final = "shards_intact"  # an asset check: every tar was read again
    NEAR_DUPLICATES: Final = "near_duplicates"  # only where the settings ask for it
    MANIFEST: Final = "manifest"
    DATASET_CARD: Final = "dataset_card"
    CONTACT_SHEET: Final = "contact_sheet"  # no asset and no part of the export: `build` draws it at its end
    GALLERY: Final = "gallery"  # no part of the export, either; only where the settings ask for it
    CAPTION_RECORDS: Final = "caption_records"  # this and what follows only where the settings have [records] …
    RECORD_CAPTIONS: Final = "record_captions"
    CAPTIONS_1KTAR: Final = "captions_1ktar"
    TRAINER_METADATA: Final = "trainer_metadata"  # … or [trainer]


# What a stage is made from, where that does not depend on the settings.
_UPSTREAM: dict[str, tuple[str, ...]] = {
    Stage.RAW_IMAGES: (),
    Stage.BUCKET_ASSIGNMENTS: (Stage.RAW_IMAGES,),
    Stage.SHARD_PLANS: (Stage.BUCKET_ASSIGNMENTS,),
    Stage.RESIZED_CROPS: (Stage.SHARD_PLANS,),
    Stage.SHARDS: (Stage.RESIZED_CROPS, Stage.CAPTION_SELECTION),
    Stage.SHARDS_INTACT: (Stage.SHARDS,),
    Stage.NEAR_DUPLICATES: (Stage.RESIZED_CROPS,),
    Stage.MANIFEST: (Stage.SHARDS, Stage.SHARDS_INTACT),
    Stage.DATASET_CARD: (Stage.MANIFEST,),
    Stage.CONTACT_SHEET: (Stage.MANIFEST,),
    Stage.CAPTION_RECORDS: (),
    Stage.RECORD_CAPTIONS: (Stage.CAPTION_RECORDS,),
    Stage.CAPTIONS_1KTAR: (Stage.RECORD_CAPTIONS,),
}


def caption_stage(variant: str) -> str:
    """Return the name of the stage, and asset, that makes a variant's captions."""
    return f"captions/{variant}"


def edits_stage(variant: str) -> str:
    """Return the name under which it is recorded that a variant's captions were changed by hand: no stage that runs."""
    return f"edits/{variant}"


def find_variant(settings: Settings, stage: str) -> VariantSettings | None:
    """Return the variant whose captions a stage makes; None for the other stages."""
    return next((one for one in settings.captions.variants if caption_stage(one.name) == stage), None)


def partition_stages(settings: Settings) -> tuple[str, ...]:
    """Return the stages that every partition goes through, in order."""
    before = (Stage.SHARD_PLANS, Stage.RESIZED_CROPS, *caption_stages(settings), Stage.CAPTION_SELECTION)
    return (*before, Stage.SHARDS, Stage.SHARDS_INTACT)


def last_stages(settings: Settings) -> tuple[str, ...]:
    """Return the stages that wait for all partitions, in order."""
    near = [Stage.NEAR_DUPLICATES] if settings.duplicates.near else []
    gallery = [Stage.GALLERY] if settings.gallery.enabled else []
    return (*near, Stage.MANIFEST, Stage.DATASET_CARD, *gallery)


def record_stages(settings: Settings) -> tuple[str, ...]:
    """Return the stages that every range of 1k tars goes through, in order."""
    return (Stage.RECORD_CAPTIONS, Stage.CAPTIONS_1KTAR) if settings.records else ()


def upstream(settings: Settings, stage: str) -> tuple[str, ...]:
    """Return the stages whose results a stage is made from."""
    if stage in _UPSTREAM:
        return _UPSTREAM[stage]
    match stage:
        case Stage.CAPTION_SELECTION:
            return (Stage.RESIZED_CROPS, *caption_stages(settings))
        case Stage.GALLERY:
            return (Stage.MANIFEST, *([Stage.NEAR_DUPLICATES] if settings.duplicates.near else []))
        case Stage.TRAINER_METADATA:
            if settings.records:
                return (Stage.RECORD_CAPTIONS,)
            return (Stage.MANIFEST,) if settings.sources else ()  # the last: files alone
        case _:
            variant = find_variant(settings, stage)
            if isinstance(variant, ChatSettings):
                return (Stage.RESIZED_CROPS, *(caption_stage(one.name) for one in settings.captions.before(variant)))
            return (Stage.SHARD_PLANS,)  # resized_crops and the captions that come with the data


def list_stages(settings: Settings, partitions: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield every (stage, partition) of the dataset, each after those that it is made from; `partitions` of images."""
    if settings.sources:
        partitions = sorted(partitions)
        yield from ((stage, "") for stage in (Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS))
        yield from ((stage, partition) for stage in partition_stages(settings) for partition in partitions)
        yield from ((stage, "") for stage in last_stages(settings))
    if settings.records:
        yield Stage.CAPTION_RECORDS, ""
        yield from ((stage, key) for stage in record_stages(settings) for key in settings.records.ranges)
    if settings.trainer:
        yield Stage.TRAINER_METADATA, ""


def caption_stages(settings: Settings) -> tuple[str, ...]:
    """Return the stages that make captions, in the order in which they run."""
    return tuple(caption_stage(variant.name) for variant in settings.captions.in_turn)
