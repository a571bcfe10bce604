"""shard_plans and shards: what belongs into a partition's tars, and the tars."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from dataset_assets.dataset import Dataset
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.partitions import BACKFILL, BUCKET_SHARDS, report_partitions
from dataset_assets.defs.versions import code_version
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings
from dataset_assets.shards.plan import write_plan
from dataset_assets.shards.write import write_shards
from dataset_assets.stages import Stage


def make_shard_plans(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset. Its new versions come from bucket_assignments, which writes the plans that change."""

    @dg.asset(
        name=Stage.SHARD_PLANS,
        deps=[Stage.BUCKET_ASSIGNMENTS],
        partitions_def=BUCKET_SHARDS,
        backfill_policy=BACKFILL,
        group_name="index",
        kinds={"python", "parquet"},
        description=(
            "The rows of a partition: which image is in which slot, and what it is to become. bucket_assignments "
            "writes them when they change; materialize this to write one again that was lost."
        ),
        code_version=code_version(settings, Stage.SHARD_PLANS),
    )
    def shard_plans(
        context: dg.AssetExecutionContext, config: StageConfig, dataset: dg.ResourceParam[Dataset]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            outcomes = {key: write_plan(dataset, key, force=config.force) for key in context.partition_keys}
        yield from report_partitions(context, dataset, outcomes)

    return shard_plans


def make_shards(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @dg.asset(
        name=Stage.SHARDS,
        deps=[Stage.RESIZED_CROPS, Stage.CAPTION_SELECTION],
        partitions_def=BUCKET_SHARDS,
        backfill_policy=BACKFILL,
        group_name="export",
        kinds={"python", "webdataset"},
        description=(
            "The partition's WebDataset tars: image, caption and facts of every sample. Only tars whose samples "
            "changed are written; their JPEG bytes are copied from the crops."
        ),
        code_version=code_version(settings, Stage.SHARDS),
    )
    def shards(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        dataset: dg.ResourceParam[Dataset],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            outcomes = {
                key: write_shards(dataset, key, force=config.force, progress=progress) for key in context.partition_keys
            }
        yield from report_partitions(context, dataset, outcomes)

    return shards
