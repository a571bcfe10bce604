"""Two processes on one dataset: one waits or says who is at work, and the result is that of one after the other."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.dataset import open_dataset
from dataset_assets.progress import Silence
from dataset_assets.settings import load_settings
from dataset_assets.shards.verify import verify
from dataset_assets.sources.scan import scan_sources
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.lock import holding
from dataset_assets_tests.commands import start, wait_for, write_settings
from dataset_assets_tests.datasets import LANDSCAPE, add_photo, add_photos, build_library

WIDE = "p1216x832_000002-000003"


def export_id(folder: Path) -> str:
    """Return the id of a sound export."""
    export = folder / "out" / "export"
    report = verify(export, workers=1, progress=Silence())
    assert report.ok, report.faults
    return str(json.loads((export / "manifest.json").read_bytes())["export_id"])


def index(folder: Path) -> None:
    with open_dataset(load_settings(folder / "dataset.toml")) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)


def build_alone(folder: Path) -> str:
    """Return the export id of twenty photos, and one more after their build."""
    config = write_settings(folder)
    add_photos(folder)
    with open_dataset(load_settings(config)) as dataset:
        build_library(dataset)
        add_photo(folder, "one more.jpg", LANDSCAPE, seed=77)
        build_library(dataset)
    return export_id(folder)


def test_two_builds_at_once_and_a_run_beside_a_build(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    expected = build_alone(tmp_path_factory.mktemp("alone"))
    layout = Layout(tmp_path / "out")
    write_settings(tmp_path)
    add_photos(tmp_path)
    both = [start(tmp_path, "build") for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]

    (winner,) = (process for process in both if process.returncode == 0)
    (loser,) = (process for process in both if process.returncode == 1)
    _, complaints = said[both.index(loser)]
    assert f"error: process {winner.pid} is building this dataset: wait until it ends, or end it\n" in complaints
    assert "Traceback" not in complaints
    assert json.loads(layout.manifest.read_bytes())["summary"]["images_exported"] == 20

    add_photo(tmp_path, "one more.jpg", LANDSCAPE, seed=77)
    index(tmp_path)
    home = {"DAGSTER_HOME": str(layout.dagster_home), "DATASET_CONFIG": str(tmp_path / "dataset.toml")}
    below = ("resized_crops", "captions/caption_sidecar", "caption_selection", "shards")
    command = ("asset", "materialize", "-m", "dataset_assets.definitions", "--partition", WIDE)
    with holding(layout.locks):  # until both wait
        build = start(tmp_path, "build", log=tmp_path / "build.txt")
        other = start(
            tmp_path,
            *command,
            "--select",
            ",".join(below),
            module="dagster",
            log=tmp_path / "other.txt",
            powerless=False,
            **home,
        )
        wait_for(lambda: all(waits(process.pid, layout) or process.poll() is not None for process in (build, other)))
        assert (build.poll(), other.poll()) == (None, None)

    assert build.wait(120) == 0, (tmp_path / "build.txt").read_text()
    assert other.wait(120) == 0, (tmp_path / "other.txt").read_text()
    assert export_id(tmp_path) == expected


def waits(process: int, layout: Layout) -> bool:
    """Return whether a process has a lock of the dataset open."""
    for path in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # it was closed meanwhile
            if path.readlink().parent == layout.locks:
                return True
    return False
