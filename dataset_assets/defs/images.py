"""resized_crops: the finished JPEGs."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from dataset_assets.dataset import Dataset
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.partitions import BACKFILL, BUCKET_SHARDS, report_partitions
from dataset_assets.defs.versions import code_version
from dataset_assets.images.crops import make_crops
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage


def make_resized_crops(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @dg.asset(
        name=Stage.RESIZED_CROPS,
        deps=[Stage.SHARD_PLANS],
        partitions_def=BUCKET_SHARDS,
        backfill_policy=BACKFILL,
        group_name="images",
        kinds={"python", "torch", "parquet"},
        description=(
            "Every image of the partition at its bucket's size, as JPEG, one Parquet file a shard. An image that is "
            "unchanged since the last time is copied, not encoded again; one that cannot be used is counted by reason."
        ),
        code_version=code_version(settings, Stage.RESIZED_CROPS),
    )
    def resized_crops(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        dataset: dg.ResourceParam[Dataset],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            outcomes = make_crops(dataset, context.partition_keys, force=config.force, progress=progress)
        yield from report_partitions(context, dataset, outcomes)

    return resized_crops
