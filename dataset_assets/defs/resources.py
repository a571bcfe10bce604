"""What asset bodies are given: the opened dataset, and where they tell how far they are."""

import time
from collections.abc import Iterator

import dagster as dg

from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings

_LOG_SECONDS = 10.0


class LogProgress:
    """Progress as lines of a run's log, one every ten seconds."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log = log
        self.start("", None, "")

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Begin a stage."""
        self._stage, self._total, self._unit = stage, total, unit
        self._done = 0
        self._started = self._said = time.monotonic()

    def advance(self, count: int) -> None:
        """Count, and say so now and then."""
        self._done += count
        if time.monotonic() - self._said >= _LOG_SECONDS:
            self._said = time.monotonic()
            self._say()

    def finish(self) -> None:
        """Say where it ended, if it ever said that it was under way."""
        if self._said != self._started:
            self._say()

    def _say(self) -> None:
        of = f" of {self._total:,}" if self._total else ""
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        self._log.info(f"{self._stage}: {self._done:,}{of} {self._unit}, {rate:,.1f} a second")


def make_dataset_resource(settings: Settings) -> dg.ResourceDefinition:
    """Return the resource that opens the dataset for a step and closes it after."""

    @dg.resource(description="The dataset: its settings, catalog, sources and where its artifacts lie.")
    def dataset(_context: dg.InitResourceContext) -> Iterator[Dataset]:
        with open_dataset(settings) as opened:
            yield opened

    return dataset


@dg.resource(description="Where long work says how far it is: the run's log.")
def log_progress(context: dg.InitResourceContext) -> Progress:
    """Return progress that goes to the step's log."""
    return LogProgress(dg.get_dagster_logger() if context.log is None else context.log)
