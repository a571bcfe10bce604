import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from dataset_assets.dataset import open_dataset
from dataset_assets.defs.graph import build_definitions
from dataset_assets.defs.sensors import REQUEST_TAG
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage
from dataset_assets.storage.layout import Layout
from dataset_assets_tests import children
from dataset_assets_tests.datasets import LANDSCAPE, add_photo, add_photos, on_disk, settings_in
from dataset_assets_tests.posts.given import post, settings_for, write_posts
from dataset_assets_tests.runs import CAPTIONS, INDEX, PARTITIONED, RANGES, RELEASE, instance_in, key_of, materialize

LONG = 3600  # seconds
WIDE = ("p1216x832_000000-000001", "p1216x832_000002-000003")
NOTHING = "everything is fresh"
SEPARATE = {"settle_seconds": 0, "separate_crops": True}
HOLD_LOCK = """
import sys
from pathlib import Path
from dataset_assets.storage.lock import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_in(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def finished(built: Path, instance: dg.DagsterInstance) -> Path:
    """A folder with twenty photos and a finished build of them, of which `instance` knows the partitions."""
    assert materialize(settings_of(built), instance, *INDEX).success
    return built


def settings_of(folder: Path, *, settle_seconds: float = 0, **sections: Any) -> Settings:
    return settings_in(folder, **{"automation": {"settle_seconds": settle_seconds}, **sections})


def night(settings: Settings, instance: dg.DagsterInstance) -> dg.RunRequest | str:
    """Return what the schedule asks for, or why for nothing."""
    schedule = build_definitions(settings).resolve_schedule_def("nightly_checksums")
    with (
        open_dataset(settings) as dataset,
        dg.build_schedule_context(instance=instance, resources={"dataset": dataset}) as context,
    ):
        said = schedule.evaluate_tick(context)
    return said.run_requests[0] if said.run_requests else str(said.skip_message)


def tick(settings: Settings, instance: dg.DagsterInstance) -> list[dg.RunRequest] | str:
    """Return what the sensor asks for, or why for nothing."""
    definitions = build_definitions(settings)
    with open_dataset(settings) as dataset, partition_loading_context(dynamic_partitions_store=instance):
        context = dg.build_sensor_context(instance=instance, definitions=definitions, resources={"dataset": dataset})
        said = definitions.resolve_sensor_def("keep_up_to_date").evaluate_tick(context)
    return [*said.run_requests] if said.run_requests else str(said.skip_message)


def requests(settings: Settings, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    said = tick(settings, instance)
    assert isinstance(said, list), said
    return said


def jobs(settings: Settings, instance: dg.DagsterInstance) -> list[str | None]:
    return [request.job_name for request in requests(settings, instance)]


def partitions(request: dg.RunRequest) -> tuple[str, str]:
    """Return the first and the last partition of a request."""
    first = request.partition_key or request.tags["dagster/asset_partition_range_start"]
    return first, request.partition_key or request.tags["dagster/asset_partition_range_end"]


def stages(request: dg.RunRequest) -> set[str]:
    return {key.to_user_string() for key in request.asset_selection or ()}


def add_run(instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus, tags: dict[str, str]) -> dg.DagsterRun:
    run_id = f"00000000-0000-0000-0000-{time.time_ns() % 10**12:012d}"
    return instance.add_run(dg.DagsterRun(job_name=job, run_id=run_id, status=status, tags=tags))


def age(path: Path) -> None:
    """Make a file one that has not changed for a long time."""
    moment = time.time() - 2 * LONG
    os.utime(path, (moment, moment))


def test_from_nothing_step_by_step_to_everything_fresh(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_of(tmp_path)
    add_photos(tmp_path)

    (index,) = requests(settings, instance)
    assert (index.job_name, index.run_config) == (
        "index", {"ops": {"raw_images": {"config": {"settle_seconds": 0.0}}}},
    )  # fmt: skip
    assert materialize(settings, instance, *INDEX, config=index.run_config).success

    (below,) = requests(settings, instance)
    keys = instance.get_dynamic_partitions("bucket_shards")
    assert (below.job_name, partitions(below)) == ("partitions", (keys[0], keys[-1]))
    assert stages(below) == {*PARTITIONED} - {Stage.SHARD_PLANS}
    assert materialize(settings, instance, *stages(below), keys=keys).success

    (release,) = requests(settings, instance)
    assert (release.job_name, release.asset_selection) == ("release", None)
    assert materialize(settings, instance, *RELEASE).success
    assert tick(settings, instance) == NOTHING


def test_only_partitions_that_are_stale_and_their_stages(finished: Path, instance: dg.DagsterInstance) -> None:
    first, _, third, _ = instance.get_dynamic_partitions("bucket_shards")
    for key in (first, third):
        on_disk(Layout(finished / "out").selection(key)).unlink()

    one, other = requests(settings_of(finished), instance)

    assert (one.partition_key, other.partition_key) == (first, third)
    assert stages(one) == stages(other) == {Stage.CAPTION_SELECTION, Stage.SHARDS}
    assert one.tags[REQUEST_TAG] != other.tags[REQUEST_TAG]


def test_a_changed_setting_asks_for_what_it_shapes(finished: Path, instance: dg.DagsterInstance) -> None:
    (crops,) = requests(settings_of(finished, images={"quality": 80}), instance)
    (captions,) = requests(
        settings_of(finished, captions={"variants": [{"name": "caption_sidecar", "extension": "txt"}]}), instance
    )
    assert stages(crops) == {Stage.RESIZED_CROPS, Stage.CAPTION_SELECTION, Stage.SHARDS}
    assert stages(captions) == {CAPTIONS, Stage.CAPTION_SELECTION, Stage.SHARDS}
    assert jobs(settings_of(finished, shards={"shard_size": 5}), instance) == ["index"]
    assert jobs(settings_of(finished, dataset={"license": "cc0-1.0"}), instance) == ["release"]


def test_crops_are_asked_for_first_where_they_are_runs_of_their_own(
    finished: Path, instance: dg.DagsterInstance
) -> None:
    settings = settings_of(finished, automation=SEPARATE)
    first, _, third, _ = instance.get_dynamic_partitions("bucket_shards")
    for path in (Layout(finished / "out").crops("p1024x1024", 0), Layout(finished / "out").selection(third)):
        on_disk(path).unlink()

    one, other = requests(settings, instance)

    assert (one.job_name, one.partition_key, stages(one)) == ("crops", first, {Stage.RESIZED_CROPS})
    assert (other.job_name, other.partition_key) == ("partitions", third)
    assert stages(other) == {Stage.CAPTION_SELECTION, Stage.SHARDS}
    for request in (one, other):
        assert materialize(settings, instance, *stages(request), keys=[str(request.partition_key)]).success
    assert tick(settings, instance) == NOTHING  # the crops are what they were, and so is all below them

    (again,) = requests(settings_of(finished, automation=SEPARATE, images={"quality": 80}), instance)
    assert (again.job_name, stages(again)) == ("crops", {Stage.RESIZED_CROPS})
    assert partitions(again) == (first, instance.get_dynamic_partitions("bucket_shards")[-1])


def test_a_run_takes_as_many_partitions_as_the_settings_say(finished: Path, instance: dg.DagsterInstance) -> None:
    changed = settings_of(finished, automation={"settle_seconds": 0, "partitions_per_run": 3}, images={"quality": 80})
    keys = instance.get_dynamic_partitions("bucket_shards")

    assert [partitions(request) for request in requests(changed, instance)] == [(keys[0], keys[2]), (keys[3],) * 2]


def test_every_run_of_a_job_has_the_tags_of_the_settings(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    tags = {"index": {"cores": "1"}, "partitions": {"dagster-ray/config": {"num_cpus": 2}}}
    settings = settings_of(tmp_path, automation={"settle_seconds": 0, "run_tags": tags})
    definitions = build_definitions(settings)
    add_photos(tmp_path)

    (index,) = requests(settings, instance)
    assert index.tags["cores"] == "1"
    assert materialize(settings, instance, *INDEX).success
    (below,) = requests(settings, instance)
    assert below.tags["dagster-ray/config"] == '{"num_cpus": 2}'
    assert definitions.resolve_job_def("partitions").run_tags == {"dagster-ray/config": '{"num_cpus": 2}'}
    assert definitions.resolve_job_def("release").run_tags == {}
    nightly = night(settings, instance)
    assert isinstance(nightly, dg.RunRequest)
    assert nightly.tags["cores"] == "1"


def test_a_lost_manifest_asks_for_a_release(finished: Path, instance: dg.DagsterInstance) -> None:
    on_disk(Layout(finished / "out").manifest).unlink()

    assert jobs(settings_of(finished), instance) == ["release"]


def test_a_gallery_that_is_not_there_or_stale_asks_for_a_release(finished: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_of(finished, gallery={"enabled": True})
    (first,) = requests(settings, instance)
    assert first.job_name == "release"
    assert materialize(settings, instance, Stage.GALLERY).success
    assert tick(settings, instance) == NOTHING

    (fewer,) = requests(settings_of(finished, gallery={"enabled": True, "images": 3}), instance)
    assert fewer.job_name == "release"
    assert fewer.tags[REQUEST_TAG] != first.tags[REQUEST_TAG]
    on_disk(Layout(finished / "out").manifest).unlink()
    assert jobs(settings, instance) == ["release"]
    assert materialize(settings, instance, *RELEASE, Stage.GALLERY).success
    assert tick(settings, instance) == NOTHING


@pytest.mark.parametrize("change", ["add", "replace", "remove", "caption"])
def test_a_change_of_the_source_asks_for_the_index(finished: Path, instance: dg.DagsterInstance, change: str) -> None:
    settings = settings_of(finished)
    assert tick(settings, instance) == NOTHING
    match change:
        case "add":
            add_photo(finished, "new.jpg", LANDSCAPE, seed=99)
        case "replace":
            add_photo(finished, "000.jpg", LANDSCAPE, seed=99)
        case "remove":
            (finished / "raw" / "000.jpg").unlink()
        case "caption":
            (finished / "raw" / "001.txt").write_text("new")

    assert jobs(settings, instance) == ["index"]


def test_an_instance_that_was_not_told_of_the_partitions_is(built: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_of(built)
    on_disk(Layout(built / "out").tar("p1216x832", 0)).unlink()

    assert jobs(settings, instance) == ["index"]
    assert materialize(settings, instance, *INDEX).success
    (request,) = requests(settings, instance)
    assert (request.partition_key, stages(request)) == (WIDE[0], {Stage.SHARDS})


@pytest.mark.parametrize("job", ["index", "partitions", "release"])
@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_while_a_run_is_under_way_nothing_is_asked(
    finished: Path, instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus
) -> None:
    add_photo(finished, "new.jpg", LANDSCAPE, seed=99)
    run = add_run(instance, job, status, {})

    assert tick(settings_of(finished), instance) == f"run {run.run_id} of {job} is under way"
    instance.report_run_failed(run)
    assert jobs(settings_of(finished), instance) == ["index"]


def test_while_a_build_is_at_work_nothing_is_asked(finished: Path, instance: dg.DagsterInstance) -> None:
    add_photo(finished, "new.jpg", LANDSCAPE, seed=99)
    holder = children.start(HOLD_LOCK, Layout(finished / "out").lock)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    assert tick(settings_of(finished), instance) == "`dataset-assets build` is at work"
    holder.communicate(timeout=60)
    assert jobs(settings_of(finished), instance) == ["index"]


def test_a_file_that_is_still_being_written_waits(finished: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_of(finished, settle_seconds=LONG)
    for path in (finished / "raw").iterdir():
        age(path)
    assert materialize(settings, instance, *INDEX).success
    keys = instance.get_dynamic_partitions("bucket_shards")
    assert materialize(settings, instance, *PARTITIONED[1:], keys=keys).success
    growing = add_photo(finished, "growing.jpg", LANDSCAPE, seed=99)
    assert tick(settings, instance) == NOTHING

    age(growing)
    (request,) = requests(settings, instance)
    assert (request.job_name, request.run_config["ops"]["raw_images"]["config"]) == ("index", {"settle_seconds": LONG})


def test_a_part_of_a_file_is_none(finished: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_of(finished)
    part = add_photo(finished, "new.jpg.part", LANDSCAPE, seed=99)
    assert tick(settings, instance) == NOTHING

    part.rename(part.with_suffix(""))
    assert jobs(settings, instance) == ["index"]


def test_what_was_tried_just_now_is_not_asked_again_but_another_change_is(
    finished: Path, instance: dg.DagsterInstance
) -> None:
    settings = settings_of(finished)
    new = add_photo(finished, "new.jpg", LANDSCAPE, seed=99)
    (request,) = requests(settings, instance)

    instance.report_run_failed(add_run(instance, "index", dg.DagsterRunStatus.STARTED, dict(request.tags)))
    assert tick(settings, instance) == "tried less than 10 minutes ago"
    age(new)
    assert jobs(settings, instance) == ["index"]


def test_what_was_tried_long_ago_is_asked_again(
    finished: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(finished)
    add_photo(finished, "new.jpg", LANDSCAPE, seed=99)
    (request,) = requests(settings, instance)
    instance.report_run_failed(add_run(instance, "index", dg.DagsterRunStatus.STARTED, dict(request.tags)))
    now = time.time()

    monkeypatch.setattr(time, "time", lambda: now + 599)
    assert tick(settings, instance) == "tried less than 10 minutes ago"
    monkeypatch.setattr(time, "time", lambda: now + 601)
    assert jobs(settings, instance) == ["index"]


def test_a_source_that_is_empty_or_gone_is_said_and_nothing_is_changed(
    finished: Path, instance: dg.DagsterInstance
) -> None:
    settings = settings_of(finished)
    away = (finished / "raw").rename(finished / "away")
    assert str(tick(settings, instance)).startswith(f"source {finished}/raw: there is no such folder")

    (finished / "raw").mkdir()
    assert str(tick(settings, instance)).startswith(
        "source folder had 20 images and has none now: is its disk mounted?"
    )

    (finished / "raw").rmdir()
    away.rename(finished / "raw")
    assert tick(settings, instance) == NOTHING


def test_the_nightly_scan_compares_contents(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(tmp_path, automation={"nightly": "23:05", "settle_seconds": 7})
    definitions = build_definitions(settings)

    schedule = definitions.resolve_schedule_def("nightly_checksums")

    assert (schedule.cron_schedule, schedule.default_status) == ("5 23 * * *", dg.DefaultScheduleStatus.RUNNING)
    request = night(settings, instance)
    assert isinstance(request, dg.RunRequest)
    assert request.run_config == {"ops": {"raw_images": {"config": {"checksum": True, "settle_seconds": 7.0}}}}
    job = definitions.resolve_job_def("index")
    assert {key_of(stage) for stage in INDEX} == job.asset_layer.executable_asset_keys


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_the_nightly_scan_is_left_out_while_a_run_is_under_way(
    tmp_path: Path, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    settings = settings_in(tmp_path)
    run = instance.create_run_for_job(build_definitions(settings).resolve_job_def("partitions"), status=status)

    assert night(settings, instance) == f"run {run.run_id} of partitions is under way"
    instance.report_run_canceled(run)
    assert isinstance(night(settings, instance), dg.RunRequest)


def test_the_nightly_scan_is_left_out_while_a_build_is_at_work(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(tmp_path)
    child = children.start(HOLD_LOCK, settings.layout.lock)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"

    assert night(settings, instance) == "`dataset-assets build` is at work"
    child.communicate(timeout=60)
    assert isinstance(night(settings, instance), dg.RunRequest)


def test_both_are_off_where_the_settings_say_so() -> None:
    on = build_definitions(settings_in(Path("/nowhere"), automation={"interval_seconds": 9}))
    off = build_definitions(settings_in(Path("/nowhere"), automation={"watch": False, "nightly": ""}))

    sensor = on.resolve_sensor_def("keep_up_to_date")
    assert (sensor.default_status, sensor.minimum_interval_seconds) == (dg.DefaultSensorStatus.RUNNING, 9)
    assert off.resolve_sensor_def("keep_up_to_date").default_status == dg.DefaultSensorStatus.STOPPED
    assert list(off.schedules or ()) == []


def write_month(folder: Path, name: str, ids: range) -> None:
    write_posts(folder / name, [post(number, f"{name} {number}", tags="a") for number in ids])
    age(folder / name)


def build_records(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Do what the sensor asks for until it asks for nothing."""
    assert materialize(settings, instance, Stage.CAPTION_RECORDS).success
    keys = list(settings.records.ranges) if settings.records else []
    assert materialize(settings, instance, *RANGES, keys=keys).success
    assert materialize(settings, instance, Stage.TRAINER_METADATA).success
    assert tick(settings, instance) == NOTHING


def test_records_from_nothing_step_by_step_to_everything_fresh(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    write_month(tmp_path, "a.jsonl", range(40))
    settings = settings_for(tmp_path, trainer={})

    (index,) = requests(settings, instance)
    assert (index.job_name, index.asset_selection) == ("records_index", None)
    assert materialize(settings, instance, Stage.CAPTION_RECORDS).success

    (below,) = requests(settings, instance)
    assert (below.job_name, partitions(below)) == ("records", ("00-01", "08-09"))
    assert stages(below) == {*RANGES}
    assert materialize(settings, instance, *RANGES, keys=list(partitions(below))).success

    (trainer,) = requests(settings, instance)
    assert trainer.job_name == "trainer"
    assert materialize(settings, instance, Stage.TRAINER_METADATA).success
    assert tick(settings, instance) == NOTHING


def test_new_records_ask_for_the_ranges_that_they_are_in(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    write_month(tmp_path, "a.jsonl", range(40))
    settings = settings_for(tmp_path, trainer={})
    build_records(settings, instance)
    write_month(tmp_path, "b.jsonl", range(102, 104))

    assert jobs(settings, instance) == ["records_index"]
    assert materialize(settings, instance, Stage.CAPTION_RECORDS).success
    (below,) = requests(settings, instance)
    assert (below.job_name, below.partition_key, stages(below)) == ("records", "02-03", {*RANGES})
    assert materialize(settings, instance, *RANGES, keys=["02-03"]).success
    assert jobs(settings, instance) == ["trainer"]
    assert materialize(settings, instance, Stage.TRAINER_METADATA).success
    assert tick(settings, instance) == NOTHING


def test_records_that_are_still_being_written_wait(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    write_month(tmp_path, "a.jsonl", range(40))
    settings = settings_for(tmp_path, trainer={}, settle_seconds=LONG)
    build_records(settings, instance)
    write_posts(tmp_path / "b.jsonl", [post(7, "new")])

    assert tick(settings, instance) == NOTHING
    age(tmp_path / "b.jsonl")
    assert jobs(settings, instance) == ["records_index"]


def test_a_new_file_for_trainers_asks_for_their_metadata(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    write_month(tmp_path, "a.jsonl", range(40))
    (tmp_path / "lat.json").write_text('{"1": {"train_resolution": [64, 64]}}')
    settings = settings_for(tmp_path, "a.jsonl", trainer={"latents": "lat.json"})
    build_records(settings, instance)
    (tmp_path / "lat.json").write_text('{"1": {"train_resolution": [64, 128]}}')

    (request,) = requests(settings, instance)

    assert request.job_name == "trainer"
    add_run(instance, "trainer", dg.DagsterRunStatus.STARTED, {**request.tags})
    assert str(tick(settings, instance)).endswith("of trainer is under way")


def test_records_that_are_gone_are_said(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_for(tmp_path)

    assert (
        tick(settings, instance) == "records: *.jsonl matches no file; paths under [records] in the settings names it"
    )


def test_metadata_of_an_export_is_asked_for_after_its_release(finished: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_of(finished, trainer={})
    assert jobs(settings, instance) == ["trainer"]

    on_disk(Layout(finished / "out").manifest).unlink()

    assert jobs(settings, instance) == ["release"]
    assert materialize(settings, instance, *RELEASE).success
    assert materialize(settings, instance, Stage.TRAINER_METADATA).success
    assert tick(settings, instance) == NOTHING
