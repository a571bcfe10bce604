"""What a check of a whole asset is about: all partitions of a stage, as their stages recorded them.

Also which of them its run is about, and how severe a fault of one of them is for that run.
"""

from collections.abc import Collection

import dagster as dg

from dataset_assets.catalog.state import StageState, load_states
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import find_state


def load_made(dataset: Dataset, stage: str) -> dict[str, StageState]:
    """Return the states of a stage by partition; those that are to be made again are left out.

    Raises OrderError where the stage has made none.
    """
    with dataset.catalog.reading() as connection:
        states = load_states(connection)
    made = {key: state for (name, key), state in sorted(states.items()) if name == stage and not state.interrupted}
    if not made:
        find_state(states, stage)  # which says so
    return made


def list_keys(context: dg.AssetCheckExecutionContext, made: Collection[str]) -> list[str]:
    """Return the partitions of a check's run; those that are made where it is executed by itself, from the UI."""
    partitioned = context.has_partition_key or context.has_partition_key_range
    return list(context.partition_keys) if partitioned else list(made)


def find_severity(context: dg.AssetCheckExecutionContext, faulty: Collection[str]) -> dg.AssetCheckSeverity:
    """Return how severe faults of these partitions are for a run: what is wrong with others is no reason to stop it.

    Else no run could begin to mend where two of them need one each.
    """
    own = set(list_keys(context, faulty)).intersection(faulty)
    return dg.AssetCheckSeverity.ERROR if own else dg.AssetCheckSeverity.WARN
