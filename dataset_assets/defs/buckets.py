"""bucket_assignments: bucket, shard and slot of every image, and with them the partitions."""

from typing import Any

import dagster as dg

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.catalog.schema import slots
from dataset_assets.catalog.state import StageState, load_states
from dataset_assets.dataset import Dataset
from dataset_assets.defs.assets import CATALOG, stage_asset
from dataset_assets.defs.carry import draw_or_carry
from dataset_assets.defs.charts import chart_buckets
from dataset_assets.defs.columns import SCHEMA, describe_rows
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import PARTITION_ROWS, ROWS, describe, show_path
from dataset_assets.defs.partitions import sync_partitions
from dataset_assets.defs.versions import ASSIGNMENTS_VERSION, Origin, version_tags
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage


def make_bucket_assignments(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @stage_asset(
        settings,
        Stage.BUCKET_ASSIGNMENTS,
        group="index",
        form=CATALOG,
        metadata={SCHEMA: describe_rows(slots)},
        description=(
            "Puts every usable image into the bucket that keeps most of it, gives it a slot for life there, and writes "
            "the plan of each partition whose images changed. Registers the partitions of everything below: without "
            "it they have none. Many images that are too small ask for smaller base_resolutions; a crop that keeps "
            "little asks for other protos."
        ),
    )
    def bucket_assignments(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        dataset: dg.ResourceParam[Dataset],
        progress: dg.ResourceParam[Progress],
    ) -> dg.MaterializeResult[Any]:
        with failing():
            assignment = assign_buckets(dataset, force=config.force, progress=progress)
            outcome = assignment.outcome
            charts = draw_or_carry(
                context, outcome, lambda: chart_buckets(dataset, outcome.report), data_version=ASSIGNMENTS_VERSION
            )
        new = sync_partitions(context.instance, list(assignment.plans.digests))  # which may be another than before
        keys = sorted({*assignment.plans.changed, *new})
        with dataset.catalog.reading() as connection:
            states = load_states(connection) if keys else {}
        for key in keys:
            context.log_event(_announce_plan(dataset, states[Stage.SHARD_PLANS, key]))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(ASSIGNMENTS_VERSION),
            metadata={**charts, **describe(outcome), ROWS: outcome.report["assigned"]},
        )

    return bucket_assignments


def _announce_plan(dataset: Dataset, plan: StageState) -> dg.AssetMaterialization:
    """Return the event that tells Dagster that the plan of a partition is another one now."""
    above = {Stage.BUCKET_ASSIGNMENTS: Origin(ASSIGNMENTS_VERSION)}
    return dg.AssetMaterialization(
        Stage.SHARD_PLANS,
        partition=plan.partition,
        metadata={PARTITION_ROWS: plan.report["images"], "file": show_path(dataset.layout.plan(plan.partition))},
        tags=version_tags(dataset.settings, Stage.SHARD_PLANS, plan.output, above),
    )
