"""The stage of trainer metadata: of records, of files, of an export; what is fresh, and what becomes of a kill."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DamagedError, IncompleteError, OrderError, SettingsError, SourceError
from dataset_assets.posts.choose import choose_captions
from dataset_assets.posts.index import index_records
from dataset_assets.settings import parse_settings
from dataset_assets.stages import Stage, upstream
from dataset_assets.status import judge_all
from dataset_assets.storage.atomic import sweep
from dataset_assets.trainer.metadata import write_trainer_metadata
from dataset_assets_tests.children import start
from dataset_assets_tests.datasets import add_photos, build_library, settings_in
from dataset_assets_tests.trainer.metas import write_json, write_lines

RECORDS: list[dict[str, Any]] = [
    {"id": 1, "regular_summary": "A fox.", "brief_summary": "Fox.", "tags": "fox", "response_finish_reason": "STOP"},
    {"id": 12, "regular_summary": "A wolf.", "tags": "wolf {x|y}", "response_finish_reason": "STOP"},
    {"id": 25, "tags": "cat tail", "response_finish_reason": "LENGTH"},
    {"id": 7, "tags": " ", "response_finish_reason": "STOP"},
]
LATENTS = {str(one): {"tags": "a, b", "train_resolution": [64, 32]} for one in (1, 12, 7, 99)}
OWN = ["meta_cap.json", "meta_merged.json", "missing.json", "missing_reasons.jsonl"]


@contextmanager
def opening(folder: Path, **trainer: Any) -> Iterator[Dataset]:
    """Yield a dataset of records whose captions are chosen."""
    records = {"paths": ["*_grouped.jsonl"], "modulus": 10, "padding": 2, "tars_per_partition": 5}
    data = {"dataset": {"root": "out", "name": "foxes"}, "work": {"workers": 2}, "records": records, "trainer": trainer}
    settings = parse_settings(data, folder=folder)
    with open_dataset(settings) as dataset:
        yield dataset


def choose(dataset: Dataset) -> None:
    assert dataset.settings.records is not None
    index_records(dataset)
    for key in dataset.settings.records.ranges:
        choose_captions(dataset, key)


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "out" / "trainer").iterdir())}


def load(folder: Path, name: str) -> Any:
    return json.loads((folder / "out" / "trainer" / name).read_bytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lines(tmp_path / "2024-01_grouped.jsonl", RECORDS)
    return tmp_path


def test_records_alone_give_captions_tags_and_where_the_texts_come_from(folder: Path) -> None:
    with opening(folder, archives=False) as dataset:
        choose(dataset)
        report = write_trainer_metadata(dataset).report
    assert load(folder, "meta_merged.json") == {
        "1": {"tags": "fox", "caption": "A fox. Fox."},
        "7": {"tags": "", "caption": ""},
        "12": {"tags": "wolf {x|y}", "caption": "A wolf."},
        "25": {"tags": "cat tail", "caption": "cat tail"},
    }
    assert list(load(folder, "meta_cap.json")) == ["1", "12", "25"]
    assert load(folder, "missing.json") == {"tags": ["7"], "caption": ["7"], "latent": ["1", "7", "12", "25"]}
    assert report["sources"] == {"empty": 1, "summary": 1, "summary:partial": 1, "tags": 1}
    assert report["log"] == "ids: 4, missing tags: 1, missing caption: 1, missing latent: 4"
    assert report["entries"] == {"(records)": 4}
    lines = (folder / "out" / "trainer" / "missing_reasons.jsonl").read_text().splitlines()
    assert json.loads(lines[-1]) == {"missing": "latent", "reason": "no_input", "ids": 4}


def test_records_are_merged_with_the_ids_tags_and_sizes_of_a_file(folder: Path) -> None:
    write_json(folder / "meta_lat.json", LATENTS)
    with opening(
        folder, ids="meta_lat.json", tags="meta_lat.json", latents="meta_lat.json", key_prefix="e621"
    ) as dataset:
        choose(dataset)
        report = write_trainer_metadata(dataset).report
    size = {"train_resolution": [64, 32], "image_size": [64, 32]}
    assert load(folder, "meta_merged.json") == {
        "e621/1": {"tags": "a, b", "caption": "A fox. Fox.", **size},
        "e621/7": {"tags": "a, b", "caption": "a, b", **size},
        "e621/12": {"tags": "a, b", "caption": "A wolf.", **size},
        "e621/99": {"tags": "a, b", "caption": "a, b", **size},
    }
    assert report["reasons"]["caption"] == {"empty": 1, "no_entry": 1}
    assert report["sources"] == {"tags": 2, "summary": 1, "summary:partial": 1}
    assert (report["unused"], report["entries"]) == ({"captions": 1}, {"(records)": 4, "meta_lat.json": 4})
    assert sorted(read(folder)) == sorted([*OWN, "meta_cap.tar.gz", "report.json", "report.md", "report.png"])
    assert load(folder, "report.json")["ids"] == 4
    assert set(report["files"]) == set(read(folder))


def test_files_alone_are_merged_without_images_and_records(folder: Path) -> None:
    write_json(folder / "meta_lat.json", LATENTS)
    trainer = {"ids": "meta_lat.json", "tags": "meta_lat.json", "latents": "meta_lat.json", "archives": False}
    settings = parse_settings({"dataset": {"root": "out"}, "trainer": trainer}, folder=folder)
    with open_dataset(settings) as dataset:
        assert upstream(settings, Stage.TRAINER_METADATA) == ()
        assert list(judge_all(dataset)) == [(Stage.TRAINER_METADATA, "")]
        report = write_trainer_metadata(dataset).report
        assert write_trainer_metadata(dataset).reused
        assert judge_all(dataset)[Stage.TRAINER_METADATA, ""].fresh
        write_json(folder / "meta_lat.json", {"7": LATENTS["7"]})
        assert write_trainer_metadata(dataset).report["ids"] == 1
    assert report["log"] == "ids: 4, missing tags: 0, missing caption: 4, missing latent: 0"
    size = {"train_resolution": [64, 32], "image_size": [64, 32]}
    assert load(folder, "meta_merged.json") == {"7": {"tags": "a, b", "caption": "a, b", **size}}


def test_it_is_fresh_until_an_input_or_a_file_changes(folder: Path) -> None:
    latents = write_json(folder / "meta_lat.json", LATENTS)
    with opening(folder, ids="meta_lat.json", latents="meta_lat.json") as dataset:
        choose(dataset)
        assert not write_trainer_metadata(dataset).reused
        before = read(folder)
        assert write_trainer_metadata(dataset).reused
        assert not write_trainer_metadata(dataset, force=True).reused
        assert read(folder) == before
        (folder / "out" / "trainer" / "missing.json").unlink()
        assert not write_trainer_metadata(dataset).reused
        assert read(folder) == before
        write_json(latents, {"1": {}})
        assert not judge_all(dataset)[Stage.TRAINER_METADATA, ""].fresh
        assert write_trainer_metadata(dataset).report["ids"] == 1
        write_lines(folder / "2024-02_grouped.jsonl", [RECORDS[0] | {"brief_summary": "New."}])
        with pytest.raises(OrderError, match=r"caption_records|record_captions"):
            choose_nothing(dataset)
        choose(dataset)
        assert write_trainer_metadata(dataset).reused is False
    assert load(folder, "meta_cap.json") == {"1": {"caption": "A fox. New."}}


def choose_nothing(dataset: Dataset) -> None:
    """Index the new file without choosing its captions, and ask for the metadata."""
    index_records(dataset)
    try:
        write_trainer_metadata(dataset)
    except IncompleteError as error:
        raise OrderError(str(error)) from error


def test_other_settings_leave_no_file_of_the_old_ones(folder: Path) -> None:
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"split": 3}, {"meta_merged_0.json", "meta_merged_1.json", "meta_merged_2.json", "meta_cap.tar.gz"}),
        ({"split": 2, "dialect": "jsonl"}, {"meta_merged_0.jsonl", "meta_merged_1.jsonl", "meta_cap.tar.gz"}),
        ({"dialect": "jsonl", "archives": False}, {"meta_merged.jsonl"}),
        ({}, {"meta_merged.json", "meta_cap.tar.gz"}),
    ]
    for trainer, names in cases:
        with opening(folder, **trainer) as dataset:
            choose(dataset)
            write_trainer_metadata(dataset)
        others = {"meta_cap.json", "missing.json", "missing_reasons.jsonl", "report.json", "report.md", "report.png"}
        assert set(read(folder)) == {*names, *others}


@pytest.mark.parametrize("tags", [False, True])
def test_our_own_captions_heal_where_they_turn_out_to_be_damaged(folder: Path, *, tags: bool) -> None:
    with opening(folder) as dataset:
        choose(dataset)
        write_trainer_metadata(dataset)
        before = read(folder)
        path = folder / "out" / "records" / "captions" / "05-09.parquet"
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(size - 4 if tags else 8)
            file.write(b"0000")
        for _ in range(2):
            with pytest.raises((DamagedError, IncompleteError), match=r"05-09"):
                write_trainer_metadata(dataset, force=True)
        assert not path.exists()
        choose(dataset)
        write_trainer_metadata(dataset, force=True)
        assert read(folder) == before


def test_roles_that_were_not_given_are_told_apart_from_missing_entries(folder: Path) -> None:
    write_json(folder / "meta_lat.json", {"1": {}})
    with opening(folder) as dataset:
        choose(dataset)
        assert write_trainer_metadata(dataset).report["not_given"] == ["latent"]
    with opening(folder, latents="meta_lat.json") as dataset:
        assert write_trainer_metadata(dataset).report["not_given"] == []


def test_entries_without_an_id_are_listed(folder: Path) -> None:
    (folder / "more").mkdir()
    write_json(folder / "more" / "meta_lat.json", LATENTS | {"no id": {}})
    with opening(folder, latents="more/meta_lat.json") as dataset:
        choose(dataset)
        assert write_trainer_metadata(dataset).report["faults"] == {"no_id": 1}
    lines = (folder / "out" / "trainer" / "missing_reasons.jsonl").read_text().splitlines()
    assert {"file": "more/meta_lat.json", "fault": "no_id", "key": "no id"} in map(json.loads, lines)


def test_a_bucketed_export_has_the_sizes_of_its_buckets_and_its_keys(tmp_path: Path) -> None:
    add_photos(tmp_path)
    trainer = {"key_prefix": "foxes", "split": 2}
    with open_dataset(settings_in(tmp_path, trainer=trainer, release={"samples": False})) as dataset:
        build_library(dataset)
        report = write_trainer_metadata(dataset).report
        assert write_trainer_metadata(dataset).reused
    entries = load(tmp_path, "meta_merged_0.json") | load(tmp_path, "meta_merged_1.json")
    assert len(entries) == report["ids"] == 20
    texts = sorted((tmp_path / "out" / "export").rglob("*.tar"))
    assert len(texts) > 1
    assert sorted(entry["caption"] for entry in entries.values() if entry["caption"]) == sorted(
        f"photo number {seed}" for seed in range(0, 20, 2)
    )
    assert all(key.startswith("foxes/") and len(key) == 70 for key in entries)
    assert {tuple(entry["train_resolution"]) for entry in entries.values()} == {(72, 48), (48, 72), (64, 64)}
    assert report["missing"] == {"tags": 20, "caption": 10, "latent": 0}
    assert report["sources"] == {"caption_sidecar": 10, "empty": 10}
    for key in load(tmp_path, "meta_merged_1.json"):
        assert int(key.removeprefix("foxes/")[:15], 16) % 2 == 1


def test_files_alone_are_merged_beside_an_export(tmp_path: Path) -> None:
    add_photos(tmp_path, 4)
    write_json(tmp_path / "all.json", {"5": {"tags": "a", "caption": "b"}})
    trainer = {"ids": "all.json", "captions": "all.json"}
    with open_dataset(settings_in(tmp_path, trainer=trainer)) as dataset:
        build_library(dataset)
        write_trainer_metadata(dataset)
    assert load(tmp_path, "meta_merged.json") == {"5": {"tags": "", "caption": "b"}}
    lacking = settings_in(tmp_path, trainer={"captions": "all.json"})
    with open_dataset(lacking) as dataset, pytest.raises(SettingsError, match=r'trainer.ids: "" given'):
        write_trainer_metadata(dataset)


def test_what_stands_in_the_way_is_said(folder: Path) -> None:
    with opening(folder, ids="gone.json") as dataset:
        with pytest.raises(IncompleteError, match="trainer metadata is made of all captions: record_captions"):
            write_trainer_metadata(dataset)
        choose(dataset)
        with pytest.raises(SourceError, match=r"cannot read .*gone\.json: No such file"):
            write_trainer_metadata(dataset)
        assert read(folder) == {}
    with opening(folder, ids="ids.txt") as dataset:
        (folder / "ids.txt").write_text("1")
        with pytest.raises(SourceError, match=r"ids\.txt: its name does not say what it is"):
            write_trainer_metadata(dataset)
    with open_dataset(settings_in(folder)) as dataset, pytest.raises(OrderError, match=r"no \[trainer\]"):
        write_trainer_metadata(dataset)


KILLED = """
import os, signal, sys
from pathlib import Path
from dataset_assets.trainer import metadata
from dataset_assets.trainer.merge import merge
from dataset_assets_tests.trainer.test_metadata import opening

point = sys.argv[2]
if point == "reading":
    merge.read_ids = lambda spills: os.kill(os.getpid(), signal.SIGKILL)
else:
    settle, left = metadata.settle, [2]
    def settle_some(temporary, path):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        settle(temporary, path)
    metadata.settle = settle_some
with opening(Path(sys.argv[1])) as dataset:
    metadata.write_trainer_metadata(dataset)
"""


@pytest.mark.parametrize("point", ["reading", "settling"])
def test_killed_and_run_again_it_writes_the_same_bytes(folder: Path, point: str) -> None:
    with opening(folder) as dataset:
        choose(dataset)
        write_trainer_metadata(dataset)
        before = read(folder)
        (folder / "out" / "trainer" / "report.json").unlink()
    child = start(KILLED, folder, point)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    with opening(folder) as dataset:
        assert judge_all(dataset)[Stage.TRAINER_METADATA, ""].state == "stale"
        assert sweep(dataset.layout.folders) > 0
        assert not write_trainer_metadata(dataset).reused
    assert read(folder) == before
    assert not [name for name in read(folder) if name.startswith(".")]
