"""A whole build in this process: the same assets, in the Dagster instance that the UI shows, one run after the other.

Of images: the sources are scanned and assigned, the partitions that are not fresh are brought up to date, some to a
run, and manifest, card and gallery are written when everything is there. Of records: their files are read, and the
ranges of tars that are not fresh are brought up to date. Trainer metadata comes last.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
from sqlalchemy.exc import DBAPIError

from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.defs.chunks import Chunk, split_stale
from dataset_assets.defs.engines import shared_engines
from dataset_assets.defs.graph import build_definitions
from dataset_assets.defs.partitions import list_partitions
from dataset_assets.errors import DatasetError, StorageError
from dataset_assets.freshness import Verdict, fingerprint
from dataset_assets.images.workers import prepare_processes
from dataset_assets.progress import Progress
from dataset_assets.release.inspect import inspect_export
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage, last_stages
from dataset_assets.status import judge_all
from dataset_assets.storage.atomic import sweep
from dataset_assets.storage.home import prepare_dagster_home
from dataset_assets.storage.layout import Layout

_INTERRUPTS = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}  # what Dagster makes of Ctrl-C

BUILD_TAG = "dataset_assets/build"  # marks the runs of builds; its value stands for the dataset

Verdicts = dict[tuple[str, str], Verdict]


def run_build(settings: Settings, progress: Progress, *, checksum: bool = False, allow_empty: bool = False) -> None:
    """Bring everything up to date; the options are those of `scan_sources`.

    Models whose key is missing are left out. Raises DatasetError: what a stage refuses, a failed check, that a model
    cannot be asked any further, or that another build of the dataset is running. What was finished until then stays.
    """
    with open_dataset(settings) as dataset, dataset.locks.building(), open_instance(dataset.layout) as instance:
        sweep(dataset.layout.folders)
        runner = _Runner(settings, instance, progress)
        runner.bury()
        if settings.sources:
            config = {"ops": {Stage.RAW_IMAGES: {"config": {"checksum": checksum, "allow_empty": allow_empty}}}}
            _build_images(dataset, runner, config)
        if settings.records:
            config = {"ops": {Stage.CAPTION_RECORDS: {"config": {"allow_empty": allow_empty}}}}
            _build_records(dataset, runner, list(settings.records.ranges), config)
        if settings.trainer and not judge_all(dataset)[Stage.TRAINER_METADATA, ""].fresh:
            runner.run([Stage.TRAINER_METADATA])


def _build_images(dataset: Dataset, runner: "_Runner", config: dict[str, Any]) -> None:
    """Bring everything that is made of images up to date; `config` is the scan's. Raises DatasetError."""
    settings = dataset.settings
    with dataset.catalog.reading() as connection:
        first = (Stage.BUCKET_ASSIGNMENTS, "") not in load_states(connection, [""])
    if first:
        prepare_processes()  # which takes a second that the scan takes, too
    runner.run([Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS], config=config)
    verdicts = judge_all(dataset)
    images = _count_stale_images(dataset, verdicts)
    if any(images.values()):
        prepare_processes()  # likewise, beside the start of the run
    for chunk in list(split_stale(settings, list_partitions(runner.instance), verdicts)):
        for key in chunk.keys:
            images.pop(key, None)
        runner.progress.expect(Stage.RESIZED_CROPS, sum(images.values()))
        runner.run(chunk.stages, chunk=chunk)
    last = last_stages(settings)
    if any(not verdict.fresh for (stage, _), verdict in judge_all(dataset).items() if stage in last):
        runner.run(last)
    if faults := inspect_export(dataset):
        raise DatasetError(*faults)


def _build_records(dataset: Dataset, runner: "_Runner", ranges: Sequence[str], config: dict[str, Any]) -> None:
    """Bring everything that is made of records up to date, trainer metadata apart; `config` is of their reading.

    Raises DatasetError.
    """
    runner.run([Stage.CAPTION_RECORDS], config=config)
    for chunk in list(split_stale(dataset.settings, ranges, judge_all(dataset))):
        runner.run(chunk.stages, chunk=chunk)


@contextmanager
def open_instance(layout: Layout) -> Iterator[dg.DagsterInstance]:
    """Yield the Dagster instance of $DAGSTER_HOME, or else the dataset's own, which is made where it is not there.

    Raises StorageError where Dagster cannot write there, now or while it is used.
    """
    home = prepare_dagster_home(layout)
    try:
        with shared_engines(), dg.DagsterInstance.from_config(str(home)) as instance:
            yield instance
    except DBAPIError as error:
        raise StorageError(f"cannot keep Dagster's records in {home}: {error.orig}") from error
    except OSError as error:
        raise StorageError(f"cannot keep Dagster's records in {home}: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class _Runner:
    """Starts runs of some assets in this process."""

    settings: Settings
    instance: dg.DagsterInstance
    progress: Progress

    @property
    def _tags(self) -> dict[str, str]:
        return {BUILD_TAG: fingerprint(str(self.settings.root))[:16]}

    def bury(self) -> None:
        """Mark the runs of builds that were killed as failed; the build lock says that none of them lives."""
        for run in self.instance.get_runs(dg.RunsFilter(tags=self._tags, statuses=[dg.DagsterRunStatus.STARTED])):
            self.instance.report_run_failed(run, "the build that this run was part of was ended")
            self.instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)

    def run(self, stages: Sequence[str], *, chunk: Chunk | None = None, config: dict[str, Any] | None = None) -> None:
        """Materialize the assets of these stages, for the partitions of `chunk` where they have any.

        Raises DatasetError with what went wrong, a line each.
        """
        job = build_definitions(self.settings, progress=self.progress).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(stage.split("/")) for stage in stages],
            partition_key=chunk.partition_key if chunk else None,
            tags={**self._tags, **(chunk.tags if chunk else {})},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **(config or {})},
            raise_on_error=False,
        )
        if _was_interrupted(result):
            raise KeyboardInterrupt
        if not result.success:
            raise DatasetError(*_explain(result))


def _was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Return whether Ctrl-C ended a run; Dagster makes a failure like others of it."""
    return any(not _INTERRUPTS.isdisjoint(error.cls_name for error in chain) for chain in _list_errors(result))


def _explain(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return what failed in a run, a line each: the cause and not what it led to. A defect shows its traceback."""
    said: list[str] = []
    traces: list[str] = []
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            if failure.error and failure.error.cls_name == "DagsterAssetCheckFailedError":
                continue  # which the checks themselves say better, below
            line = failure.user_failure_data.description if failure.user_failure_data else None
            if line:
                said.append(line)
            else:
                trace = failure.error.to_string() if failure.error else "failed"
                traces += f"{event.step_key}: {trace}".split("\n")
    said += [
        f"check {check.check_name} of {check.asset_key.to_user_string()} failed: {check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    ]
    if not (said or traces):
        said = [chain[-1].message.strip() for chain in _list_errors(result)] or ["the run failed"]
    return [*dict.fromkeys(said), *traces]


def _list_errors(result: dg.ExecuteInProcessResult) -> Iterator[list[Any]]:
    """Yield the errors that ended a run, each followed by what caused it."""
    for event in result.all_events:
        error = event.job_failure_data.error if event.is_job_failure else None
        chain = []
        while error:
            chain.append(error)
            error = error.cause
        if chain:
            yield chain


def _count_stale_images(dataset: Dataset, verdicts: Verdicts) -> dict[str, int]:
    """Return how many images each partition has whose crops are not fresh."""
    with dataset.catalog.reading() as connection:
        states = load_states(connection)
    return {
        key: states[Stage.SHARD_PLANS, key].report["images"]
        for (stage, key), verdict in verdicts.items()
        if stage == Stage.RESIZED_CROPS and not verdict.fresh
    }
