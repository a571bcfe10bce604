"""shard_plans and shards: what belongs into a partition's tars, and the tars."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from dataset_assets.dataset import Dataset
from dataset_assets.defs.assets import stage_asset
from dataset_assets.defs.columns import SCHEMA, describe_columns
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import PARTITION_ROWS, show_path, tell_selected
from dataset_assets.defs.partitions import BUCKET_SHARDS, report_partitions
from dataset_assets.defs.pictures import show_strip
from dataset_assets.previews.glimpse import show_samples
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings
from dataset_assets.shards.index import SAMPLE_SCHEMA
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import PLAN_SCHEMA, write_plan
from dataset_assets.shards.write import write_shards
from dataset_assets.stages import Stage


def make_shard_plans(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset. Its new versions come from bucket_assignments, which writes the plans that change."""

    @stage_asset(
        settings,
        Stage.SHARD_PLANS,
        group="index",
        form="parquet",
        partitions=BUCKET_SHARDS,
        metadata={SCHEMA: describe_columns(PLAN_SCHEMA)},
        description=(
            "The rows of a partition: which image is in which slot, and what it is to become. bucket_assignments "
            "writes them when they change; materialize this to write one again that was lost."
        ),
    )
    def shard_plans(
        context: dg.AssetExecutionContext, config: StageConfig, dataset: dg.ResourceParam[Dataset]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            outcomes = {key: write_plan(dataset, key, force=config.force) for key in context.partition_keys}
        yield from report_partitions(
            context,
            dataset,
            outcomes,
            tell=lambda key, report: {PARTITION_ROWS: report["images"], "file": show_path(dataset.layout.plan(key))},
        )

    return shard_plans


def make_shards(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @stage_asset(
        settings,
        Stage.SHARDS,
        group="export",
        form="webdataset",
        partitions=BUCKET_SHARDS,
        metadata={SCHEMA: describe_columns(SAMPLE_SCHEMA), "export": show_path(settings.layout.export)},
        description=(
            "The partition's WebDataset tars: image, caption and facts of every sample, as a trainer reads them. Only "
            "tars whose samples changed are written; their JPEG bytes are copied from the crops. The columns are those "
            "of samples.parquet. Look at the strip: does each caption fit its picture? When it fails, it names "
            "what is missing or stale: materialize that first."
        ),
    )
    def shards(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        dataset: dg.ResourceParam[Dataset],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        def tell(key: str, report: Mapping[str, Any]) -> dict[str, Any]:
            folder = dataset.layout.tar(Partition.parse(key).bucket_id, 0).parent
            named = tell_selected(settings, report, report["samples"])
            return {PARTITION_ROWS: report["samples"], "folder": show_path(folder), **named}

        def show(key: str) -> dict[str, Any]:
            return show_strip("samples_seen", show_samples(dataset, key))

        with failing():
            outcomes = write_shards(dataset, context.partition_keys, force=config.force, progress=progress)
        yield from report_partitions(context, dataset, outcomes, tell=tell, show=show)

    return shards
