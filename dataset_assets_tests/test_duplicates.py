"""Duplicates the whole way: what is dropped is counted, what looks alike is told, and what changes costs no more."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dataset_assets import cli
from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.progress import Silence
from dataset_assets.release.publish import write_card, write_manifest
from dataset_assets.shards.tar import TarReader
from dataset_assets.shards.verify import verify
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets_tests.commands import write_settings
from dataset_assets_tests.datasets import (
    PORTRAIT,
    TINY,
    add_photo,
    build_library,
    build_partitions,
    on_disk,
    settings_in,
)
from dataset_assets_tests.photos import hostile
from dataset_assets_tests.sources.doubles import Watched

DUPLICATE = "skipped_duplicate"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos with a caption each, two copies of one and one of the other, and some that cannot be used."""
    first = add_photo(tmp_path, "b/first.jpg", seed=1, caption="the first")
    other = add_photo(tmp_path, "other.jpg", PORTRAIT, seed=2, caption="the other")
    for path, name in ((first, "c.jpg"), (first, "d/copy.jpg"), (other, "z.jpg")):
        (tmp_path / "raw" / name).parent.mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "raw" / name)
    add_photo(tmp_path, "tiny.jpg", TINY)
    for name in ("text.jpg", "text too.jpg"):
        (tmp_path / "raw" / name).write_bytes(hostile()["text"][1])
    return tmp_path


@contextmanager
def opened(folder: Path, exact: str = "drop") -> Iterator[tuple[Dataset, Watched]]:
    """Yield the dataset, and its folder, which notices what is opened."""
    with open_dataset(settings_in(folder, duplicates={"exact": exact})) as dataset:
        watched = Watched(folder / "raw")
        yield replace(dataset, sources={"folder": watched}), watched


def counts(dataset: Dataset) -> dict[str, int]:
    """Return the manifest's counters that are not 0, of an export that is sound."""
    report = verify(dataset.layout.export, workers=1, progress=Silence())
    assert report.ok, report.faults
    summary: dict[str, int] = json.loads(dataset.layout.manifest.read_bytes())["summary"]
    assert summary["images_seen"] == sum(summary.values()) - summary["images_seen"]
    return {name: count for name, count in summary.items() if count}


def exported(dataset: Dataset) -> dict[str, str]:
    """Return the caption of every sample by image_id."""
    captions = {}
    for path in on_disk(dataset.layout.export).rglob("*.tar"):
        with path.open("rb") as file:
            members = {member.name: member.data for member in TarReader(file)}
        for name, data in members.items():
            if name.endswith(".json"):
                captions[json.loads(data)["image_id"]] = members[f"{name[:-5]}.txt"].decode().strip()
    return captions


def test_copies_are_left_out_and_counted(folder: Path) -> None:
    with opened(folder) as (dataset, _):
        build_library(dataset)

        assert exported(dataset) == {"b/first.jpg": "the first", "other.jpg": "the other"}
        assert counts(dataset) == {
            "images_seen": 8,
            "images_exported": 2,
            "skipped_too_small": 1,
            "skipped_unsupported_format": 2,
            DUPLICATE: 3,
        }


def test_with_nothing_to_do_nothing_is_read_and_nothing_made(folder: Path) -> None:
    with opened(folder) as (dataset, watched):
        build_library(dataset)
        watched.opened.clear()

        assert build_library(dataset).remade == set()
        assert watched.opened == []


def test_when_the_first_is_gone_the_next_comes_in(folder: Path) -> None:
    with opened(folder) as (dataset, watched):
        build_library(dataset)
        (folder / "raw" / "b" / "first.jpg").unlink()
        watched.opened.clear()

        remade = build_library(dataset).remade

        assert exported(dataset) == {"c.jpg": "", "other.jpg": "the other"}
        assert counts(dataset)[DUPLICATE] == 2
        assert {key for _, key in remade if key} == {"p1216x832_000000-000001"}
        assert watched.opened == []


def test_one_that_is_edited_is_no_copy_any_more(folder: Path) -> None:
    with opened(folder) as (dataset, _):
        build_library(dataset)
        add_photo(folder, "c.jpg", seed=7)

        build_library(dataset)

        assert set(exported(dataset)) == {"b/first.jpg", "c.jpg", "other.jpg"}
        assert counts(dataset)[DUPLICATE] == 2


def test_all_come_in_when_the_setting_is_taken_back_and_leave_again(folder: Path) -> None:
    with opened(folder) as (dataset, _):
        build_library(dataset)
    with opened(folder, "keep") as (dataset, _):
        build_library(dataset)
        assert set(exported(dataset)) == {"b/first.jpg", "c.jpg", "d/copy.jpg", "other.jpg", "z.jpg"}
        assert DUPLICATE not in counts(dataset)
    with opened(folder) as (dataset, watched):
        assert build_library(dataset).count("encoded") == 0
        assert watched.opened == []
        assert set(exported(dataset)) == {"b/first.jpg", "other.jpg"}


def test_a_build_goes_on_without_the_content_of_some_and_the_next_one_knows_it(folder: Path) -> None:
    with opened(folder) as (dataset, watched):
        scan_sources(dataset)
        watched.failing = {"other.jpg", "z.jpg"}  # for the assignment; the crops are made
        assign_buckets(dataset)
        build_partitions(dataset)
        write_manifest(dataset)
        write_card(dataset)

        assert set(exported(dataset)) == {"b/first.jpg", "other.jpg", "z.jpg"}
        assert judge_all(dataset)[Stage.BUCKET_ASSIGNMENTS, ""].retry
        assert counts(dataset)[DUPLICATE] == 2

        build_library(dataset)

        assert set(exported(dataset)) == {"b/first.jpg", "other.jpg"}
        assert all(verdict.fresh for verdict in judge_all(dataset).values())


def test_the_command_line_says_what_looks_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    for name, size in (("a.jpg", (208, 144)), ("b.jpg", (312, 216))):
        add_photo(tmp_path, name, size, seed=3)
    add_photo(tmp_path, "c.jpg", seed=4)
    config = write_settings(tmp_path)
    near = tmp_path / "out" / "duplicates" / "near.parquet"

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli.main, [*arguments, "--config", str(config)], catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    assert "near duplicates" not in call("build")
    with config.open("a") as file:
        file.write("[duplicates]\nnear = true\n")

    assert f"near duplicates: 2 images in 1 group, see {near}\n" in call("build")
    said: dict[str, Any] = json.loads(call("build", "--json"))
    assert said["near"] == {"images": 2, "groups": 1, "report": str(near)}
    states = {row["stage"]: row["state"] for row in json.loads(call("status", "--json"))}
    assert states[Stage.NEAR_DUPLICATES] == "fresh"
    config.write_text(f"{config.read_text()}near_distance = 1\n")
    assert "near_duplicates: stale, changed: settings" in call("status")
