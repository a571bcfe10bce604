"""captions/<variant>, one asset a configured variant, and caption_selection, the waterfall over them."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from dataset_assets.captions.sidecar import read_captions
from dataset_assets.captions.waterfall import select_captions
from dataset_assets.dataset import Dataset
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.partitions import BACKFILL, BUCKET_SHARDS, report_partitions
from dataset_assets.defs.versions import code_version
from dataset_assets.freshness import Stage, caption_stage
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings, VariantSettings


def caption_key(variant: VariantSettings) -> dg.AssetKey:
    """Return the key of a variant's asset."""
    return dg.AssetKey(caption_stage(variant.name).split("/"))


def make_captions(settings: Settings, variant: VariantSettings) -> dg.AssetsDefinition:
    """Return the asset of one variant."""

    @dg.asset(
        key=caption_key(variant),
        deps=[Stage.SHARD_PLANS],
        partitions_def=BUCKET_SHARDS,
        backfill_policy=BACKFILL,
        group_name="captions",
        kinds={"python", "sqlite"},
        description=(
            f"The captions {variant.name}, from files beside the images. Only files that changed are read. A caption "
            "that is missing, empty or unreadable is kept with that status and never selected."
        ),
        code_version=code_version(settings, caption_stage(variant.name)),
    )
    def captions(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        dataset: dg.ResourceParam[Dataset],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            outcomes = {
                key: read_captions(dataset, variant, key, force=config.force, progress=progress)
                for key in context.partition_keys
            }
        yield from report_partitions(context, dataset, outcomes)

    return captions


def make_caption_selection(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @dg.asset(
        name=Stage.CAPTION_SELECTION,
        deps=[caption_key(variant) for variant in settings.captions.variants],
        partitions_def=BUCKET_SHARDS,
        backfill_policy=BACKFILL,
        group_name="captions",
        kinds={"python", "parquet"},
        description=(
            "The caption of every sample: of the first selector in captions.priority that has one, the newest. "
            "Changing the priority makes this anew and asks nobody for a caption."
        ),
        code_version=code_version(settings, Stage.CAPTION_SELECTION),
    )
    def caption_selection(
        context: dg.AssetExecutionContext, config: StageConfig, dataset: dg.ResourceParam[Dataset]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            outcomes = {key: select_captions(dataset, key, force=config.force) for key in context.partition_keys}
        yield from report_partitions(context, dataset, outcomes)

    return caption_selection
