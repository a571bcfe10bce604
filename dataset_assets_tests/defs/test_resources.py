from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dataset_assets import progress as module
from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset
from dataset_assets.defs.resources import log_progress, make_dataset_resource
from dataset_assets.progress import Progress
from dataset_assets_tests.datasets import settings_in
from dataset_assets_tests.runs import instance_in

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_in(tmp_path / "home") as opened:
        yield opened


def test_a_run_is_given_the_dataset(built: Path, instance: dg.DagsterInstance) -> None:
    seen: list[Any] = []

    @dg.asset
    def stage(dataset: dg.ResourceParam[Dataset]) -> None:
        with dataset.catalog.reading() as connection:
            seen.append(len(load_states(connection)))

    resources = {"dataset": make_dataset_resource(settings_in(built))}
    job = dg.Definitions(assets=[stage], resources=resources).resolve_implicit_global_asset_job_def()

    assert job.execute_in_process(instance=instance, run_config=QUIET).success
    assert seen[0] > 10


def test_progress_goes_to_the_runs_log(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAY_SECONDS", 0)

    @dg.asset
    def stage(progress: dg.ResourceParam[Progress]) -> None:
        progress.start("crops", 10, "images")
        progress.advance(5)

    job = dg.Definitions(assets=[stage], resources={"progress": log_progress}).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, run_config=QUIET)

    messages = [record.message for record in instance.all_logs(result.run_id)]
    assert any(message.startswith("crops: 5 of 10 images") for message in messages)
