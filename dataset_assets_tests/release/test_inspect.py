import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.release.inspect import inspect_export, inspect_shards
from dataset_assets.release.publish import write_card, write_manifest
from dataset_assets.shards.write import write_shards
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets_tests.datasets import on_disk, partition_keys, settings_in


@pytest.fixture
def dataset(built: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(built)) as opened:
        yield opened


def damage(tar: Path) -> None:
    """Change one byte of a tar's first image; its size stays."""
    data = bytearray(tar.read_bytes())
    data[700] ^= 0xFF
    tar.write_bytes(data)


def test_a_whole_export_has_no_fault(dataset: Dataset) -> None:
    report = inspect_shards(dataset, partition_keys(dataset))

    tars = list(on_disk(dataset.layout.export).rglob("*.tar"))
    assert report.faults == ()
    assert (report.files, report.samples) == (len(tars), 20)
    assert report.bytes == sum(tar.stat().st_size for tar in tars)
    assert inspect_export(dataset) == []


def test_only_the_partitions_asked_for_are_read(dataset: Dataset) -> None:
    first, *_ = partition_keys(dataset)

    assert 0 < inspect_shards(dataset, [first]).samples < 20
    assert inspect_shards(dataset, []).files == 0


def test_a_damaged_tar_is_named_and_has_to_be_written_again(dataset: Dataset) -> None:
    key = "p1216x832_000000-000001"
    tar, other = dataset.layout.tar("p1216x832", 1), dataset.layout.tar("p1216x832", 0)
    whole, before = tar.read_bytes(), other.stat().st_mtime_ns
    damage(on_disk(tar))

    report = inspect_shards(dataset, partition_keys(dataset))

    assert {fault.file for fault in report.faults} == {"buckets/p1216x832/shard-000001.tar"}
    assert {verdict_key for verdict_key, verdict in judge_all(dataset).items() if not verdict.fresh} == {
        (Stage.SHARDS, key), (Stage.SHARDS_INTACT, key), (Stage.MANIFEST, ""), (Stage.DATASET_CARD, ""),
    }  # fmt: skip

    outcome = write_shards(dataset, [key])[key]

    assert outcome.report["written"] == 1
    assert tar.read_bytes() == whole
    assert other.stat().st_mtime_ns == before
    assert not dataset.layout.manifest.exists()  # it comes last
    assert inspect_shards(dataset, [key]).faults == ()
    write_manifest(dataset)
    write_card(dataset)
    assert all(verdict.fresh for verdict in judge_all(dataset).values())


def test_a_tar_that_is_gone_is_named(dataset: Dataset) -> None:
    on_disk(dataset.layout.tar("p1216x832", 2)).unlink()

    (fault,) = inspect_shards(dataset, ["p1216x832_000002-000003"]).faults

    assert str(fault) == "buckets/p1216x832/shard-000002.tar: the file cannot be read: No such file or directory"


def test_files_too_many_and_too_few_are_named(dataset: Dataset) -> None:
    (on_disk(dataset.layout.export / "notes.txt")).touch()
    (on_disk(dataset.layout.export / "buckets" / "p1216x832" / "shard-000009.tar")).touch()
    on_disk(dataset.layout.tar("p832x1152", 0)).unlink()

    said = inspect_export(dataset)

    assert set(said) == {
        "export/buckets/p832x1152/shard-000000.tar: missing or of another size",
        "buckets/p832x1152/shard-000000.tar: the file is missing",
        "buckets/p1216x832/shard-000009.tar: the manifest does not list this file",
        "notes.txt: the manifest does not list this file",
    }


def test_what_a_host_puts_beside_an_export_is_left_alone(dataset: Dataset) -> None:
    (on_disk(dataset.layout.export / ".git")).mkdir()
    (on_disk(dataset.layout.export / ".git" / "HEAD")).touch()
    on_disk(dataset.layout.card).unlink()  # it is made after the manifest is inspected

    assert inspect_export(dataset) == []


@pytest.mark.parametrize(("field", "value"), [("sha256", "0" * 64), ("bytes", 1), ("count", 3)])
def test_a_manifest_that_says_something_else_than_the_catalog(dataset: Dataset, field: str, value: object) -> None:
    manifest = json.loads(dataset.layout.manifest.read_bytes())
    shard = manifest["buckets"]["p1216x832"]["shards"][0]
    shard[field] = value
    on_disk(dataset.layout.manifest).write_text(json.dumps(manifest))

    assert f"{shard['path']}: the manifest and the catalog differ" in inspect_export(dataset)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\xff"])
def test_a_manifest_that_is_none(dataset: Dataset, text: str) -> None:
    on_disk(dataset.layout.manifest).write_text(text, encoding="latin-1")

    assert inspect_export(dataset)


def test_a_partition_with_a_fault_is_not_recorded_as_intact(dataset: Dataset) -> None:
    good, bad = "p832x1152_000000-000001", "p1216x832_000000-000001"
    with dataset.catalog.reading() as connection:
        before = load_states(connection)
    damage(on_disk(dataset.layout.tar("p1216x832", 0)))

    inspect_shards(dataset, [good, bad])

    with dataset.catalog.reading() as connection:
        after = load_states(connection)
    assert after[Stage.SHARDS_INTACT, good].finished_at > before[Stage.SHARDS_INTACT, good].finished_at
    assert after[Stage.SHARDS_INTACT, bad] == before[Stage.SHARDS_INTACT, bad]
    assert after[Stage.SHARDS, bad].interrupted


def test_a_tar_that_was_touched_is_read_again(dataset: Dataset) -> None:
    tar = dataset.layout.tar("p1216x832", 0)
    os.utime(on_disk(tar))
    touched = {key for key, verdict in judge_all(dataset).items() if verdict.reason.endswith("touched since")}

    assert touched == {(Stage.SHARDS_INTACT, "p1216x832_000000-000001")}
    assert inspect_shards(dataset, partition_keys(dataset)).ok
    assert all(verdict.fresh for verdict in judge_all(dataset).values())


@pytest.mark.parametrize("name", ["manifest.json", "README.md"])
def test_an_edited_file_of_the_export_is_written_again(dataset: Dataset, name: str) -> None:
    path = dataset.layout.export / name
    before = on_disk(path).read_text()
    on_disk(path).write_text(before.replace("a", "b", 1))

    write_manifest(dataset)
    write_card(dataset)

    assert [line for line in on_disk(path).read_text().splitlines() if "reated" not in line] == [
        line for line in before.splitlines() if "reated" not in line
    ]
    assert inspect_export(dataset) == []
