"""resized_crops: the finished JPEGs."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from dataset_assets.dataset import Dataset
from dataset_assets.defs.assets import stage_asset
from dataset_assets.defs.columns import SCHEMA, describe_columns
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import PARTITION_ROWS, show_path
from dataset_assets.defs.partitions import BUCKET_SHARDS, report_partitions
from dataset_assets.defs.pictures import show_strip
from dataset_assets.images.crops import make_crops
from dataset_assets.images.store import CROP_SCHEMA
from dataset_assets.previews.glimpse import show_crops
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings
from dataset_assets.shards.partition import Partition
from dataset_assets.stages import Stage


def make_resized_crops(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @stage_asset(
        settings,
        Stage.RESIZED_CROPS,
        group="images",
        form="parquet",
        kinds={"python", "torch", "parquet"},
        partitions=BUCKET_SHARDS,
        metadata={SCHEMA: describe_columns(CROP_SCHEMA)},
        description=(
            "Every image of the partition at its bucket's size, as JPEG, one Parquet file a shard. An image that is "
            "unchanged since the last time is copied, not encoded again; one that cannot be used is counted by reason, "
            "and stops nothing. Look at the strip of crops: turned images and cut heads show here first. When it "
            "fails, the disk is full or a worker was killed: materialize it again, what is finished stays."
        ),
    )
    def resized_crops(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        dataset: dg.ResourceParam[Dataset],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        def tell(key: str, report: Mapping[str, Any]) -> dict[str, Any]:
            folder = dataset.layout.crops(Partition.parse(key).bucket_id, 0).parent
            return {PARTITION_ROWS: report["images"], "folder": show_path(folder)}

        def show(key: str) -> dict[str, Any]:
            return show_strip("crops_seen", show_crops(dataset, key))

        with failing():
            outcomes = make_crops(dataset, context.partition_keys, force=config.force, progress=progress)
        yield from report_partitions(context, dataset, outcomes, tell=tell, show=show)

    return resized_crops
