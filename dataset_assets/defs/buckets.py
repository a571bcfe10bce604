"""bucket_assignments: bucket, shard and slot of every image, and with them the partitions."""

from typing import Any

import dagster as dg

from dataset_assets.buckets.assign import Assignment, assign_buckets
from dataset_assets.dataset import Dataset
from dataset_assets.defs.failures import RETRY, failing
from dataset_assets.defs.metadata import describe
from dataset_assets.defs.partitions import sync_partitions
from dataset_assets.freshness import Stage, fingerprint_settings
from dataset_assets.settings import Settings

# Always the same: what changed is said by the data versions of shard_plans, partition by partition. A new version here
# would make every plan look stale.
DATA_VERSION = "1"


class StageConfig(dg.Config):
    """How a stage is run."""

    force: bool = False  # do the work even where everything is fresh


def make_bucket_assignments(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @dg.asset(
        name=Stage.BUCKET_ASSIGNMENTS,
        deps=[Stage.RAW_IMAGES],
        group_name="index",
        kinds={"python", "sqlite"},
        description=(
            "Puts every usable image into the bucket that keeps most of it, gives it a slot for life there, and writes "
            "the plan of each partition whose images changed. Registers the partitions of everything below."
        ),
        code_version=fingerprint_settings(settings, Stage.BUCKET_ASSIGNMENTS)[:16],
        retry_policy=RETRY,
    )
    def bucket_assignments(
        context: dg.AssetExecutionContext, config: StageConfig, dataset: dg.ResourceParam[Dataset]
    ) -> dg.MaterializeResult[Any]:
        with failing():
            assignment = assign_buckets(dataset, force=config.force)
        sync_partitions(context.instance, list(assignment.plans.digests))
        for key in assignment.plans.changed:
            context.log_event(_announce(key, assignment, settings))
        return dg.MaterializeResult(data_version=dg.DataVersion(DATA_VERSION), metadata=describe(assignment.outcome))

    return bucket_assignments


def _announce(key: str, assignment: Assignment, settings: Settings) -> dg.AssetMaterialization:
    """Return the event that tells Dagster that this plan, and no other, is a new one."""
    above = Stage.BUCKET_ASSIGNMENTS
    return dg.AssetMaterialization(
        Stage.SHARD_PLANS,
        partition=key,
        tags={
            dg.DATA_VERSION_TAG: assignment.plans.digests[key],
            # Where the event came from, without which Dagster takes the plan for stale.
            "dagster/code_version": plan_version(settings),
            f"dagster/input_data_version/{above}": DATA_VERSION,
            f"dagster/input_event_pointer/{above}": "NULL",
            "dagster/data_version_is_user_provided": "true",
        },
    )
