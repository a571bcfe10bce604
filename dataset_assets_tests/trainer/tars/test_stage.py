"""The stage of the numbered tars: what it writes, what it leaves as it is, and what becomes of it when it is killed."""

import gc
import io
import json
import os
import random
import signal
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import webdataset
from hfutils.index import tar_create_index, tar_file_write_bytes

from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DamagedError, OrderError, StorageError
from dataset_assets.posts.choose import choose_captions
from dataset_assets.posts.index import index_records
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets.storage.atomic import sweep
from dataset_assets.trainer.tars import stage
from dataset_assets.trainer.tars.check import check_numbered_tars
from dataset_assets.trainer.tars.stage import list_kinds, write_numbered_tars
from dataset_assets.work import Outcome
from dataset_assets_tests.children import start
from dataset_assets_tests.commands import alive, children_of, wait_for
from dataset_assets_tests.datasets import on_disk
from dataset_assets_tests.trainer.chosen import Texts, choose, opening, write_chosen

SMALL = {"modulus": 10, "padding": 2, "tars_per_partition": 5}
WORDS = ["a", "fox", "with", "blue", "eyes", "in", "the", "rain,", "looking", "at", "été", "雨", "\u2028", "“you”"]


def make_texts(count: int, *, seed: int = 0, highest: int = 5_000_000) -> dict[int, str]:
    """Return texts by id, some of them empty."""
    chance = random.Random(seed)
    ids = chance.sample(range(highest), count)
    return {one: " ".join(chance.choices(WORDS, k=int(2 ** chance.uniform(0, 8)) - 1)) for one in ids}


def write_reference(folder: Path, texts: Texts, *, modulus: int, padding: int, suffix: str = ".caption") -> None:
    """Write the tars as the published card's script does, with tarfile."""
    folder.mkdir(parents=True)
    for number in range(modulus):
        with tarfile.open(folder / f"{number:0{padding}d}.tar", "w") as tar:
            for one in sorted(one for one in texts if one % modulus == number):
                if data := texts[one].encode():
                    member = tarfile.TarInfo(f"{one}{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def write_all(dataset: Dataset, **options: Any) -> dict[str, Outcome]:
    assert dataset.settings.records is not None
    return {key: write_numbered_tars(dataset, key, **options) for key in dataset.settings.records.ranges}


def read(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def find_written(folder: Path, before: dict[str, int]) -> set[str]:
    return {name for name, inode in inodes(folder).items() if before.get(name) != inode}


def inodes(folder: Path) -> dict[str, int]:
    """Return what tells a file that was written again from one that was left: a new file is renamed into its place."""
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*.*")}


def export(folder: Path) -> Path:
    return folder / "out" / "export_1k"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Dataset]:
    """A dataset of ten tars with 200 captions, and tars of tags, all written."""
    with opening(tmp_path, **SMALL, text_tars=["tags"]) as dataset:
        choose(dataset, make_texts(200), tags=make_texts(150, seed=1))
        write_all(dataset)
        yield dataset


def test_only_the_tars_of_the_kind_are_written_again_whose_texts_changed(tmp_path: Path) -> None:
    for text_tars, again in (([], set()), (["tags"], {"tags/3.tar", "tags/3.json"})):
        rows = [{"id": one, "regular_summary": "a", "response_finish_reason": "STOP", "tags": "t"} for one in range(20)]
        path = tmp_path / "some.jsonl"
        with opening(tmp_path, **SMALL | {"padding": 1}, text_tars=text_tars) as dataset:
            for _ in range(2):
                path.write_text("".join(json.dumps(row) + "\n" for row in rows))
                index_records(dataset)
                for key in ("0-4", "5-9"):
                    choose_captions(dataset, key)
                before = inodes(export(tmp_path)) if export(tmp_path).exists() else {}
                write_all(dataset)
                rows[13]["tags"] = "another"
            assert find_written(export(tmp_path), before) == again


# webdataset leaves the last tar to the garbage collector.
@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:Exception ignored in. <_io\.FileIO:pytest.PytestUnraisableExceptionWarning")
def test_a_thousand_tars_are_those_of_the_card_and_hfutils_and_their_members_can_be_read(tmp_path: Path) -> None:
    texts = make_texts(20_000) | {2**31 + 7: "large", 2**63 - 1: "the largest", 0: "the least"}
    with opening(tmp_path) as dataset:
        choose(dataset, texts)
        outcomes = write_all(dataset)

    write_reference(tmp_path / "card", texts, modulus=1000, padding=4)
    expected = read(tmp_path / "card")
    for name in expected:
        tar_create_index(str(tmp_path / "card" / name), silent=True)
    written = read(export(tmp_path) / "captions")
    assert len(written) == 2000
    assert written == read(tmp_path / "card")
    texts = {one: text for one, text in texts.items() if text}
    assert sum(outcome.report["members"]["captions"] for outcome in outcomes.values()) == len(texts)
    assert list(check_numbered_tars(export(tmp_path) / "captions", 1000)) == []
    urls = [str(export(tmp_path) / "captions" / name) for name in expected]
    read_by_webdataset = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False)
    assert {sample["__key__"]: sample["caption"].decode() for sample in read_by_webdataset} == {
        str(one): text for one, text in texts.items()
    }
    gc.collect()  # here, where the warning is expected
    for one, text in texts.items():
        out = io.BytesIO()
        tar_file_write_bytes(str(export(tmp_path) / "captions" / f"{one % 1000:04d}.tar"), f"{one}.caption", out)
        assert out.getvalue() == text.encode()


def test_tags_have_tars_of_their_own(tmp_path: Path) -> None:
    captions, tags = make_texts(300), make_texts(300, seed=1)
    with opening(tmp_path, **SMALL, text_tars=["tags"]) as dataset:
        choose(dataset, captions, tags=tags)
        report = write_all(dataset)["00-04"].report

    write_reference(tmp_path / "captions", captions, modulus=10, padding=2)
    write_reference(tmp_path / "tags", tags, modulus=10, padding=2, suffix=".txt")
    for kind in ("captions", "tags"):
        for path in (tmp_path / kind).iterdir():
            tar_create_index(str(path), silent=True)
        assert read(export(tmp_path) / kind) == read(tmp_path / kind)
    members = {"captions": captions, "tags": tags}
    assert {name: value for name, value in report.items() if name not in ("bytes", "inputs")} == {
        "tars": 10,
        "written": 10,
        "mended": 0,
        "members": {
            kind: sum(1 for one, text in texts.items() if text and one % 10 < 5) for kind, texts in members.items()
        },
    }
    assert report["bytes"] == sum(path.stat().st_size for path in export(tmp_path).rglob("*.tar") if int(path.stem) < 5)


def test_a_tar_without_a_text_is_there(tmp_path: Path) -> None:
    with opening(tmp_path, **SMALL) as dataset:
        choose(dataset, {3: "three", 4: ""})
        write_all(dataset)

    folder = export(tmp_path) / "captions"
    assert sorted(path.name for path in folder.glob("*.tar")) == [f"{number:02d}.tar" for number in range(10)]
    assert (folder / "04.tar").read_bytes() == (folder / "09.tar").read_bytes() == bytes(10_240)
    assert json.loads((folder / "09.json").read_bytes())["files"] == {}
    assert list(check_numbered_tars(folder, 10)) == []


def test_processes_write_the_same_bytes(small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read(export(tmp_path))
    monkeypatch.setattr(stage, "_WORTH_A_PROCESS", 1)

    outcomes = write_all(small, force=True)

    assert [outcome.report["written"] for outcome in outcomes.values()] == [10, 10]
    assert read(export(tmp_path)) == before


def test_nothing_is_written_twice(small: Dataset, tmp_path: Path) -> None:
    before = inodes(export(tmp_path))

    outcomes = write_all(small)

    assert all(outcome.reused for outcome in outcomes.values())
    assert inodes(export(tmp_path)) == before


def test_a_new_caption_changes_the_tars_of_its_id_only(small: Dataset, tmp_path: Path) -> None:
    before = inodes(export(tmp_path))
    new = 6_000_003

    choose(small, make_texts(200) | {new: "new"}, tags=make_texts(150, seed=1))
    outcomes = write_all(small)

    assert [outcome.reused for outcome in outcomes.values()] == [False, True]
    assert find_written(export(tmp_path), before) == {
        f"{kind}/03{suffix}" for kind in ("captions", "tags") for suffix in (".tar", ".json")
    }
    with tarfile.open(export(tmp_path) / "captions" / "03.tar") as tar:
        assert tar.getnames()[-1] == f"{new}.caption"


@pytest.mark.parametrize("damage", ["gone", "cut"])
@pytest.mark.parametrize(("name", "again"), [("02.tar", {"02.tar", "02.json"}), ("02.json", {"02.json"})])
def test_a_damaged_file_is_made_again(name: str, again: set[str], damage: str, small: Dataset, tmp_path: Path) -> None:
    folder = export(tmp_path) / "captions"
    before, good = inodes(folder), read(folder)
    if damage == "gone":
        (folder / name).rename(tmp_path / "gone")  # so that no other file takes its inode
    else:
        (folder / name).rename(tmp_path / "gone")
        (folder / name).write_bytes(good[name][:-9])

    assert judge_all(small)[Stage.CAPTIONS_1KTAR, "00-04"].state == "stale"
    report = write_all(small)["00-04"].report

    assert read(folder) == good
    assert find_written(folder, before) == again
    assert (report["written"], report["mended"]) == ((1, 0) if name == "02.tar" else (0, 1))
    assert judge_all(small)[Stage.CAPTIONS_1KTAR, "00-04"].fresh


def test_records_become_tars(tmp_path: Path) -> None:
    texts = {one: text for one, text in make_texts(500).items() if text}
    tags = {one: f"tag_{one} solo" for one in texts if one % 3}
    rows = [
        {"id": one, "regular_summary": text, "response_finish_reason": "STOP", "tags": tags.get(one)}
        if one % 2
        else {"id": one, "tags": text}
        for one, text in texts.items()
    ]
    (tmp_path / "2007-02.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with opening(tmp_path, **SMALL, text_tars=["tags"]) as dataset:
        index_records(dataset)
        for key in ("00-04", "05-09"):
            choose_captions(dataset, key)
        write_all(dataset)

    careful = {one: " ".join(text.split()) for one, text in texts.items()}
    tags = {one: tags.get(one, "") if one % 2 else text for one, text in careful.items()}
    write_reference(tmp_path / "captions", careful, modulus=10, padding=2)
    write_reference(tmp_path / "tags", tags, modulus=10, padding=2, suffix=".txt")
    for kind in ("captions", "tags"):
        assert list(check_numbered_tars(export(tmp_path) / kind, 10)) == []
        for path in (tmp_path / kind).iterdir():
            assert path.read_bytes() == (export(tmp_path) / kind / path.name).read_bytes()


def test_without_captions_there_is_no_tar(tmp_path: Path) -> None:
    with opening(tmp_path, **SMALL) as dataset:
        with pytest.raises(OrderError, match="record_captions of 00-04 has not been made yet"):
            write_all(dataset)
        choose(dataset, make_texts(10))
    with (
        opening(tmp_path, **SMALL | {"mode": "faithful"}) as dataset,
        pytest.raises(OrderError, match=r"record_captions of 00-04 is stale .*: materialize it before captions_1ktar"),
    ):
        write_all(dataset)


@pytest.mark.parametrize(
    ("groups", "columns", "what"),
    [
        ([[{"id": 3, "tar": 3}, {"id": 4, "tar": 4}]], ["caption", "text_tags"], "row group 0 is not of one tar"),
        ([[{"id": 13, "tar": 3}, {"id": 3, "tar": 3}]], ["caption", "text_tags"], "the ids do not ascend"),
        ([[{"id": -7, "tar": 3}]], ["caption", "text_tags"], "the ids do not ascend from 0"),
        ([[{"id": 3, "tar": 3}]], ["caption"], "no column text_tags"),
        ([[{"id": 3, "tar": 3, "caption": None}]], ["caption", "text_tags"], "without nulls"),
    ],
)
def test_captions_that_cannot_be_right_are_removed_and_said(
    groups: list[list[dict[str, Any]]], columns: list[str], what: str, small: Dataset
) -> None:
    path = small.layout.record_captions("00-04")
    write_chosen(path, [[dict.fromkeys(columns, "text") | row for row in rows] for rows in groups], columns)

    with pytest.raises(DamagedError, match=r"00-04\.parquet was damaged and has been removed: build again") as caught:
        write_numbered_tars(small, "00-04", force=True)

    assert what in str(caught.value.__cause__)
    assert not path.exists()
    choose(small, make_texts(200), tags=make_texts(150, seed=1))
    assert write_numbered_tars(small, "00-04").report["tars"] == 10


@pytest.mark.parametrize(
    "records",
    [
        SMALL,  # without tags
        SMALL | {"text_tars": ["summary", "tags"]},
        SMALL | {"text_tars": ["tags"], "padding": 3},
        SMALL | {"text_tars": ["tags"], "tars_per_partition": 3},
        SMALL | {"text_tars": ["tags"], "modulus": 4},
        SMALL | {"text_tars": ["tags"], "modulus": 13},
    ],
)
def test_other_settings_leave_no_tar_of_before(records: dict[str, Any], small: Dataset, tmp_path: Path) -> None:
    captions = make_texts(250)
    variants = {name: make_texts(150, seed=2) for name in records.get("text_tars", ())}
    (tmp_path / "anew").mkdir()
    for folder in (tmp_path, tmp_path / "anew"):
        with opening(folder, **records) as dataset:
            choose(dataset, captions, **variants)
            write_all(dataset)
            assert judge_all(dataset)[Stage.CAPTIONS_1KTAR, next(iter(dataset.settings.records.ranges))].fresh  # type: ignore[union-attr]

            with dataset.catalog.reading() as connection:
                ranges = {key for stage, key in load_states(connection) if stage == Stage.CAPTIONS_1KTAR}
            assert ranges == {*dataset.settings.records.ranges}  # type: ignore[union-attr]

    assert read(export(tmp_path)) == read(export(tmp_path / "anew"))


def test_kinds_that_change_places_keep_their_tars(tmp_path: Path) -> None:
    captions, tags, summary = make_texts(100), make_texts(90, seed=1), make_texts(80, seed=2)
    for names in (["tags", "summary"], ["summary"], ["summary", "tags"]):
        with opening(tmp_path, **SMALL, text_tars=names) as dataset:
            assert dataset.settings.records is not None
            choose(dataset, captions, tags=tags, summary=summary)
            write_all(dataset)
            assert set(list_kinds(dataset.settings.records)) == {path.name for path in export(tmp_path).iterdir()}
            assert all(outcome.reused for outcome in write_all(dataset).values())

    write_reference(tmp_path / "tags", tags, modulus=10, padding=2, suffix=".txt")
    for path in (tmp_path / "tags").iterdir():
        assert path.read_bytes() == (export(tmp_path) / "tags" / path.name).read_bytes()


def test_large_tars_are_read_in_parts(small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read(export(tmp_path))
    monkeypatch.setattr("dataset_assets.trainer.tars.jobs._TEXT", 2_000)

    write_all(small, force=True)

    assert read(export(tmp_path)) == before


def die(*_: object) -> None:
    """Stand for a worker process that the system ends."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_ended_from_outside_is_said(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(export(tmp_path))
    monkeypatch.setattr(stage, "_WORTH_A_PROCESS", 1)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "write_tars", die)
        with pytest.raises(StorageError, match="a process that writes tars of 00-04 was ended from outside"):
            write_numbered_tars(small, "00-04", force=True)

    assert judge_all(small)[Stage.CAPTIONS_1KTAR, "00-04"].reason == "interrupted"
    assert write_numbered_tars(small, "00-04").report["written"] == 10
    assert read(export(tmp_path)) == before


def is_swept(dataset: Dataset) -> bool:
    """Remove what is half written, as every build does; return whether a worker that lived on a while left nothing."""
    sweep(dataset.layout.folders)
    return not list(on_disk(dataset.layout.root).rglob(".*.writing"))


KILLED = """
import sys
from pathlib import Path
from dataset_assets.trainer.tars import stage
from dataset_assets_tests.datasets import on_disk
from dataset_assets_tests.trainer.chosen import opening

stage._WORTH_A_PROCESS = 1
if __name__ == "__main__":
    with opening(Path(sys.argv[1]), modulus=40, tars_per_partition=40, text_tars=["tags"]) as dataset:
        stage.write_numbered_tars(dataset, "0000-0039")
"""


@pytest.mark.parametrize("seed", range(3))
def test_killed_and_run_again_it_ends_in_the_same_bytes(seed: int, tmp_path: Path) -> None:
    captions, tags = make_texts(4_000, seed=seed), make_texts(4_000, seed=-1 - seed)
    write_reference(tmp_path / "captions", captions, modulus=40, padding=4)
    write_reference(tmp_path / "tags", tags, modulus=40, padding=4, suffix=".txt")
    expected = {
        f"{kind}/{path.name}": sha256(path.read_bytes()).hexdigest()
        for kind in ("captions", "tags")
        for path in (tmp_path / kind).iterdir()
    }
    with opening(tmp_path, modulus=40, tars_per_partition=40, text_tars=["tags"]) as dataset:
        choose(dataset, captions, tags=tags)

    wanted = random.Random(seed).randrange(1, 60)
    process = start(KILLED, tmp_path)
    wait_for(lambda: len(list(export(tmp_path).glob("*/*.tar"))) >= wanted, every=0.001)
    workers = children_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(alive(worker) for worker in workers))

    with opening(tmp_path, modulus=40, tars_per_partition=40, text_tars=["tags"]) as dataset:
        wait_for(lambda: is_swept(dataset))
        report = write_numbered_tars(dataset, "0000-0039").report
    assert report["tars"] == 80
    assert {
        str(path.relative_to(export(tmp_path))): sha256(path.read_bytes()).hexdigest()
        for path in export(tmp_path).glob("*/*.tar")
    } == expected
    for kind in ("captions", "tags"):
        assert list(check_numbered_tars(export(tmp_path) / kind, 40)) == []
