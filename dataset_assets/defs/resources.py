"""What asset bodies are given: the opened dataset, and where they tell how far they are."""

from collections.abc import Iterator

import dagster as dg

from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.memory import keep_little
from dataset_assets.progress import Lines, Progress
from dataset_assets.settings import Settings


def make_dataset_resource(settings: Settings) -> dg.ResourceDefinition:
    """Return the resource that opens the dataset for a run and closes it after."""

    @dg.resource(description="The dataset: its settings, catalog, sources and where its artifacts lie.")
    def dataset(_context: dg.InitResourceContext) -> Iterator[Dataset]:
        keep_little()
        with open_dataset(settings) as opened:
            yield opened

    return dataset


@dg.resource(description="Where long work says how far it is: the run's log.")
def log_progress(context: dg.InitResourceContext) -> Progress:
    """Return progress that goes to the run's log."""
    return Lines((context.log or dg.get_dagster_logger()).info)
