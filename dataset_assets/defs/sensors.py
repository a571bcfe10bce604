"""What keeps the dataset up to date by itself while Dagster's daemon runs: a sensor on its state, and a nightly scan.

The sensor asks freshness.py what is stale, as `build` and `status` do, and requests one step at a time: the index,
then the partitions (or their crops first), then the release; of records the index, the ranges, and what trainers
read. So it goes on after anything that was interrupted, whoever started it.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import dagster as dg

from dataset_assets.catalog.state import States, load_states
from dataset_assets.dataset import Dataset
from dataset_assets.defs.chunks import Chunk, split_stale
from dataset_assets.defs.jobs import CROP_STAGES, Jobs
from dataset_assets.defs.partitions import list_partitions
from dataset_assets.errors import DatasetError, OrderError
from dataset_assets.freshness import FRESH, Inputs, Verdict, fingerprint, fingerprint_settings, list_inputs
from dataset_assets.posts.files import are_settled, list_files
from dataset_assets.posts.index import find_changes as find_new_records
from dataset_assets.settings import JOBS, Job, RecordSettings, Settings
from dataset_assets.sources.scan import find_changes
from dataset_assets.stages import Stage, last_stages, upstream
from dataset_assets.status import judge_all

REQUEST_TAG = "dataset_assets/request"  # a digest of what made the sensor ask for a run

Verdicts = Mapping[tuple[str, str], Verdict]

_AGAIN_SECONDS = 600.0  # after a run for the same reason: it failed, or something here keeps it stale
_UNDER_WAY = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def make_sensor(settings: Settings, jobs: Jobs) -> dg.SensorDefinition:
    """Return the sensor that keeps the dataset up to date by `jobs`."""
    watch = settings.automation.watch

    @dg.sensor(
        jobs=jobs,
        minimum_interval_seconds=settings.automation.interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if watch else dg.DefaultSensorStatus.STOPPED,
        description=(
            "Looks at the sources and at what is stale, and asks for the next step that is needed: index, partitions, "
            "release; records_index, records, trainer. Files that are still being written wait for a later tick."
        ),
    )
    def keep_up_to_date(
        context: dg.SensorEvaluationContext, dataset: dg.ResourceParam[Dataset]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if busy := _explain_busy(dataset, context.instance):
            yield dg.SkipReason(busy)
        else:
            yield from _ask(dataset, context.instance)

    return keep_up_to_date


def make_nightly(settings: Settings) -> dg.ScheduleDefinition | None:
    """Return the schedule of the scan that compares contents, None where there is none.

    It leaves a night out while others are at work: a scan wants the dataset for itself, and would wait for captions
    that a model makes for hours, with everything else behind it, only to give up.
    """
    if not (settings.automation.nightly and settings.sources):
        return None
    hour, minute = settings.automation.nightly.split(":")
    config = {"checksum": True, "settle_seconds": settings.automation.settle_seconds}

    @dg.schedule(
        job_name=Job.INDEX,
        cron_schedule=f"{int(minute)} {int(hour)} * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "Reads every source file and compares content: finds what changed under the same size and time. Left out "
            "where other runs, or a build, are at work."
        ),
    )
    def nightly_checksums(
        context: dg.ScheduleEvaluationContext, dataset: dg.ResourceParam[Dataset]
    ) -> dg.RunRequest | dg.SkipReason:
        if busy := _explain_busy(dataset, context.instance):
            return dg.SkipReason(busy)
        return dg.RunRequest(run_config=_scan(config), tags=settings.automation.tags_of(Job.INDEX))

    return nightly_checksums


def _ask(dataset: Dataset, instance: dg.DagsterInstance) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Yield the runs of the next step that is needed, or why none is."""
    try:
        requests = list(_list_requests(dataset, instance))
    except DatasetError as error:
        yield dg.SkipReason(str(error))
        return
    due = [request for request in requests if not _was_tried(instance, request)]
    yield from due
    if not due:
        minutes = _AGAIN_SECONDS / 60
        yield dg.SkipReason(f"tried less than {minutes:g} minutes ago" if requests else "everything is fresh")


def _list_requests(dataset: Dataset, instance: dg.DagsterInstance) -> Iterator[dg.RunRequest]:
    with dataset.catalog.reading() as connection:
        states = load_states(connection)
    # What could not be read is tried again by `build`: asking for it here would never end.
    verdicts = {key: FRESH if verdict.retry else verdict for key, verdict in judge_all(dataset).items()}
    if dataset.settings.sources:
        yield from _request_images(dataset, instance, states, verdicts)
    if dataset.settings.records:
        yield from _request_records(dataset, dataset.settings.records, states, verdicts)
    if dataset.settings.trainer and not verdicts[Stage.TRAINER_METADATA, ""].fresh:
        above = upstream(dataset.settings, Stage.TRAINER_METADATA)
        if all(verdict.fresh for (stage, _), verdict in verdicts.items() if stage in above):
            inputs = list_inputs(dataset.settings, states, Stage.TRAINER_METADATA)
            yield _request(dataset.settings, Job.TRAINER, [inputs])


def _request_images(
    dataset: Dataset, instance: dg.DagsterInstance, states: States, verdicts: Verdicts
) -> Iterator[dg.RunRequest]:
    settings = dataset.settings
    changes = find_changes(dataset, settle_seconds=settings.automation.settle_seconds)
    indexed = all(verdicts[stage, ""].fresh for stage in (Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS))
    order = list_partitions(instance)
    planned = {key for stage, key in verdicts if stage == Stage.SHARD_PLANS}
    unlike = sorted(planned.symmetric_difference(order))  # another instance was told of them
    if changes or unlike or not indexed:
        scan = {"settle_seconds": settings.automation.settle_seconds}
        reason = [changes, unlike, fingerprint_settings(settings, Stage.BUCKET_ASSIGNMENTS)]
        yield _request(settings, Job.INDEX, reason, run_config=_scan(scan))
        return
    chunks = list(split_stale(settings, order, verdicts))
    for chunk in chunks:
        job, part = _choose_part(settings, chunk)
        yield _request_chunk(settings, states, job, Stage.SHARD_PLANS, part)
    # Else there is nothing to release, and nothing that a release would take back.
    made = dataset.layout.manifest.exists() or any(stage == Stage.SHARDS for stage, _ in states)
    last = last_stages(settings)
    if made and not chunks and not all(verdicts[stage, ""].fresh for stage in last):
        made_from = [_list_inputs(settings, states, stage) for stage in last]
        yield _request(settings, Job.RELEASE, [made_from, [fingerprint_settings(settings, stage) for stage in last]])


def _choose_part(settings: Settings, chunk: Chunk) -> tuple[str, Chunk]:
    """Return the job for some partitions, and what it does of them now; what it leaves is asked for by a later tick."""
    crops = tuple(stage for stage in chunk.stages if stage in CROP_STAGES)
    if settings.automation.separate_crops and crops:
        return Job.CROPS, replace(chunk, stages=crops)
    return Job.PARTITIONS, chunk


def _list_inputs(settings: Settings, states: States, stage: str) -> Inputs:
    """Return what one of the last stages would be made from; nothing where that is made in the same run."""
    try:
        return list_inputs(settings, states, stage)
    except OrderError:
        return {}


def _request_records(
    dataset: Dataset, records: RecordSettings, states: States, verdicts: Verdicts
) -> Iterator[dg.RunRequest]:
    settings = dataset.settings
    changes = find_new_records(dataset)
    if changes or not verdicts[Stage.CAPTION_RECORDS, ""].fresh:
        if are_settled(list_files(settings), settings.automation.settle_seconds):
            reason = [changes, fingerprint_settings(settings, Stage.CAPTION_RECORDS)]
            yield _request(settings, Job.RECORDS_INDEX, reason)
        return
    for chunk in split_stale(settings, list(records.ranges), verdicts):
        yield _request_chunk(settings, states, Job.RECORDS, Stage.RECORD_CAPTIONS, chunk)


def _request_chunk(settings: Settings, states: States, job: str, first: str, chunk: Chunk) -> dg.RunRequest:
    """Return the request of a run over some partitions; `first` is the stage whose inputs say why."""
    inputs = [[list_inputs(settings, states, first, key) for key in chunk.keys], chunk.stages]
    return _request(
        settings,
        job,
        [inputs, [fingerprint_settings(settings, stage) for stage in chunk.stages]],
        partition_key=chunk.partition_key,
        tags=chunk.tags,
        asset_selection=[dg.AssetKey(stage.split("/")) for stage in chunk.stages],
    )


def _request(settings: Settings, job: str, reason: Any, **options: Any) -> dg.RunRequest:
    """Return the request of a run of a job, with the job's tags, and marked with why it is asked for."""
    tags = {**settings.automation.tags_of(job), **options.pop("tags", {}), REQUEST_TAG: fingerprint(job, reason)}
    return dg.RunRequest(job_name=job, tags=tags, **options)


def _was_tried(instance: dg.DagsterInstance, request: dg.RunRequest) -> bool:
    """Return whether a run that was asked for by the same reason has ended just now."""
    wanted = dg.RunsFilter(tags={REQUEST_TAG: request.tags[REQUEST_TAG]})
    records = instance.get_run_records(wanted, limit=1)
    return bool(records) and time.time() - (records[0].end_time or 0) < _AGAIN_SECONDS


def _explain_busy(dataset: Dataset, instance: dg.DagsterInstance) -> str:
    """Return what is at work on the dataset, a run of one of our jobs or a build; "" where nothing is."""
    for job in JOBS:
        for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=_UNDER_WAY), limit=1):
            return f"run {run.run_id} of {run.job_name} is under way"
    return "`dataset-assets build` is at work" if dataset.locks.is_building() else ""


def _scan(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run configuration of the index job."""
    return {"ops": {Stage.RAW_IMAGES: {"config": dict(config)}}}
