"""All partitions of a stage, as their stages recorded them: what a check of the whole asset is about."""

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
