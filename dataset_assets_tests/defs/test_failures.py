import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dataset_assets.defs import failures as module
from dataset_assets.defs.failures import failing
from dataset_assets.errors import (
    CatalogError,
    DatasetError,
    DropReason,
    IncompleteError,
    OrderError,
    SampleError,
    SettingsError,
    SourceError,
    StorageError,
)
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import add_photos, settings_in
from dataset_assets_tests.runs import RELEASE, failures, instance_in, materialize

LINE = "what is wrong: what to do"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_in(tmp_path / "home") as opened:
        yield opened


def run_into(error: BaseException, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Return the run of an asset that always raises."""

    @dg.asset
    def stage() -> None:
        with failing():
            raise error

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    job = dg.Definitions(assets=[stage]).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, run_config=quiet, raise_on_error=False)


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (CatalogError(LINE), 3),
        (StorageError(LINE), 1),
        (SourceError(LINE), 3),
        (SettingsError(LINE), 1),
        (OrderError(LINE), 1),
        (IncompleteError(LINE), 1),
        (DatasetError(LINE), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_can_pass_is_tried_again_and_the_line_is_shown(
    error: DatasetError, tries: int, instance: dg.DagsterInstance
) -> None:
    result = run_into(error, instance)

    assert len([event for event in result.all_events if event.is_step_start or event.is_step_restarted]) == tries
    assert failures(result) == {"stage": LINE}


def test_a_defect_is_not_tried_again_and_keeps_its_traceback(instance: dg.DagsterInstance) -> None:
    result = run_into(ZeroDivisionError("a defect"), instance)

    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert not [event for event in result.all_events if event.is_step_restarted]
    assert event.step_failure_data.error is not None
    assert "ZeroDivisionError: a defect" in event.step_failure_data.error.to_string()
    assert "test_failures.py" in event.step_failure_data.error.to_string()


def test_an_interrupt_is_not_tried_again(instance: dg.DagsterInstance) -> None:
    result = run_into(KeyboardInterrupt(), instance)

    assert not result.success
    assert not [event for event in result.all_events if event.is_step_restarted]


def test_an_image_that_stops_a_run_says_why(instance: dg.DagsterInstance) -> None:
    result = run_into(SampleError(DropReason.DECODE_ERROR, "broken"), instance)

    assert failures(result) == {"stage": "decode_errors: broken"}


def test_an_error_that_passes_is_forgotten(instance: dg.DagsterInstance) -> None:
    errors = [CatalogError(LINE), SourceError(LINE)]

    @dg.asset
    def stage() -> None:
        with failing():
            if errors:
                raise errors.pop()

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    job = dg.Definitions(assets=[stage]).resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, run_config=quiet).success


def test_a_source_that_is_not_there_is_looked_for_again(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    result = materialize(settings_in(tmp_path), instance, Stage.RAW_IMAGES)

    assert len([event for event in result.all_events if event.is_step_restarted]) == 2
    assert failures(result)["raw_images"] == (
        f"source {tmp_path / 'raw'}: there is no such folder; path under [[sources]] in the settings names it"
    )


def test_a_stage_before_its_time_is_refused_at_once(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    result = materialize(settings_in(tmp_path), instance, Stage.BUCKET_ASSIGNMENTS)

    (line,) = failures(result).values()
    assert line == (
        "raw_images has not been made yet: materialize it before bucket_assignments, or run `dataset-assets build`"
    )
    assert not [event for event in result.all_events if event.is_step_restarted]


def test_a_manifest_alone_says_what_is_missing(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    add_photos(tmp_path)
    settings = settings_in(tmp_path)
    materialize(settings, instance, Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS)

    result = materialize(settings, instance, *RELEASE)

    (line,) = failures(result).values()
    assert str(line).startswith("the export is not complete: shards p1024x1024_000000-000001: missing, not made yet")
    assert "(and 5 more)" in str(line)


def test_a_damaged_catalog_is_named(built: Path, instance: dg.DagsterInstance) -> None:
    catalog = built / "out" / "dataset.sqlite"
    with sqlite3.connect(catalog) as connection:
        connection.execute("DROP TABLE stage_state")
    connection.close()

    result = materialize(settings_in(built), instance, Stage.RAW_IMAGES)

    (line,) = failures(result).values()
    assert str(line).startswith(f"catalog {catalog}: no such table: stage_state")
