"""The partitions every bucketed asset shares: dynamic, sparse, a bucket and a range of its shards each."""

import dagster as dg

BUCKET_SHARDS = dg.DynamicPartitionsDefinition(name="bucket_shards")

# Runs of a backfill: one run a partition costs 2.7 times more, one run for all loses everything on a failure.
PARTITIONS_PER_RUN = 16

_BATCH = 10_000  # keys a call: the most that Dagster takes


def sync_partitions(instance: dg.DagsterInstance, keys: list[str]) -> None:
    """Make Dagster's partitions those of `keys`, in which order new ones are added."""
    name = str(BUCKET_SHARDS.name)
    there = set(instance.get_dynamic_partitions(name))
    new = [key for key in keys if key not in there]
    for start in range(0, len(new), _BATCH):
        instance.add_dynamic_partitions(name, new[start : start + _BATCH])
    for key in there.difference(keys):
        instance.delete_dynamic_partition(name, key)
