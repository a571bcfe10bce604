"""The partitions that the bucketed assets share: dynamic and sparse, a bucket and a range of its shards each."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from dataset_assets.defs.metadata import describe
from dataset_assets.work import Outcome

BUCKET_SHARDS = dg.DynamicPartitionsDefinition(name="bucket_shards")

# Partitions of a run in a backfill: a run each costs 2.7 times more, one run for all loses everything on a failure.
PARTITIONS_PER_RUN = 16
BACKFILL = dg.BackfillPolicy.multi_run(PARTITIONS_PER_RUN)

_BATCH = 10_000  # keys a call: the most that Dagster takes


def list_partitions(instance: dg.DagsterInstance) -> list[str]:
    """Return the keys that Dagster knows, in its order."""
    return list(instance.get_dynamic_partitions(str(BUCKET_SHARDS.name)))


def sync_partitions(instance: dg.DagsterInstance, keys: list[str]) -> None:
    """Make `keys` the partitions that Dagster knows."""
    name, there = str(BUCKET_SHARDS.name), set(list_partitions(instance))
    new = [key for key in keys if key not in there]
    for start in range(0, len(new), _BATCH):
        instance.add_dynamic_partitions(name, new[start : start + _BATCH])
    for key in there.difference(keys):
        instance.delete_dynamic_partition(name, key)


def report_partitions(context: dg.AssetExecutionContext, outcomes: Mapping[str, Outcome]) -> dg.MaterializeResult[Any]:
    """Return the result of a run over some partitions, each with metadata of its own."""
    for key, outcome in outcomes.items():
        context.add_asset_metadata(describe(outcome), partition_key=key)
    return dg.MaterializeResult()
