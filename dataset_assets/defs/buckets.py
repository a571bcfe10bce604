"""bucket_assignments: bucket, shard and slot of every image, and with them the partitions."""

from typing import Any

import dagster as dg

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.dataset import Dataset
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import RETRY, failing
from dataset_assets.defs.metadata import describe
from dataset_assets.defs.partitions import sync_partitions
from dataset_assets.defs.versions import code_version
from dataset_assets.freshness import Stage
from dataset_assets.settings import Settings

# Always the same: what changed is said by the data versions of shard_plans, partition by partition. With another
# version here every plan would look stale.
_DATA_VERSION = "1"


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
        code_version=code_version(settings, Stage.BUCKET_ASSIGNMENTS),
        retry_policy=RETRY,
    )
    def bucket_assignments(
        context: dg.AssetExecutionContext, config: StageConfig, dataset: dg.ResourceParam[Dataset]
    ) -> dg.MaterializeResult[Any]:
        with failing():
            assignment = assign_buckets(dataset, force=config.force)
        sync_partitions(context.instance, list(assignment.plans.digests))
        for key in assignment.plans.changed:
            context.log_event(_announce_plan(key, assignment.plans.digests[key], settings))
        return dg.MaterializeResult(data_version=dg.DataVersion(_DATA_VERSION), metadata=describe(assignment.outcome))

    return bucket_assignments


def _announce_plan(key: str, digest: str, settings: Settings) -> dg.AssetMaterialization:
    """Return the event that tells Dagster that the plan of this partition is another one now."""
    return dg.AssetMaterialization(
        Stage.SHARD_PLANS,
        partition=key,
        tags={
            "dagster/data_version": digest,
            "dagster/data_version_is_user_provided": "true",
            # Where it came from: without these Dagster takes the plan itself for stale.
            "dagster/code_version": code_version(settings, Stage.SHARD_PLANS),
            f"dagster/input_data_version/{Stage.BUCKET_ASSIGNMENTS}": _DATA_VERSION,
            f"dagster/input_event_pointer/{Stage.BUCKET_ASSIGNMENTS}": "NULL",
        },
    )
