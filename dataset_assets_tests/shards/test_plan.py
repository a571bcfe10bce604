from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.catalog.slots import SEATED_SCHEMA, seated_images
from dataset_assets.catalog.state import StageState, load_pieces, load_states
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import OrderError, StorageError
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import PLAN_SCHEMA, PlanChanges, read_plan, split_shards, write_plan
from dataset_assets.sources.scan import scan_sources
from dataset_assets_tests.datasets import (
    LANDSCAPE,
    add_photo,
    add_photos,
    build_library,
    on_disk,
    partition_keys,
    settings_in,
)

WIDE = "p1216x832"


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(tmp_path)) as dataset:
        yield dataset


def plan(dataset: Dataset) -> PlanChanges:
    scan_sources(dataset, allow_empty=True)
    return assign_buckets(dataset).plans


def states(dataset: Dataset) -> dict[tuple[str, str], StageState]:
    with dataset.catalog.reading() as connection:
        return load_states(connection)


def plan_files(dataset: Dataset) -> dict[str, int]:
    """Return when each plan's file was written."""
    return {path.stem: path.stat().st_mtime_ns for path in (dataset.layout.root / "plans").iterdir()}


def rows_of_all(dataset: Dataset) -> list[dict[str, object]]:
    return [row for key in partition_keys(dataset) for row in read_plan(dataset, key).to_pylist()]


def test_plans_hold_every_image_that_has_a_slot(dataset: Dataset, tmp_path: Path) -> None:
    add_photos(tmp_path)

    changes = plan(dataset)

    with dataset.catalog.reading() as connection:
        seated = seated_images(connection)
    rows = rows_of_all(dataset)
    assert [{name: row[name] for name in SEATED_SCHEMA.names} for row in rows] == seated.to_pylist()
    assert {(row["bucket_id"], row["target_w"], row["target_h"]) for row in rows} == {
        ("p1216x832", 72, 48),
        ("p832x1152", 48, 72),
        ("p1024x1024", 64, 64),
    }
    assert list(changes.changed) == list(changes.digests) == sorted(plan_files(dataset))
    for key in changes.digests:
        assert read_plan(dataset, key).schema == PLAN_SCHEMA
        seats = Partition.parse(key).slots(4)
        assert all(slot in seats for slot in read_plan(dataset, key)["slot"].to_pylist())


def test_keys_have_neither_slash_nor_dot(dataset: Dataset, tmp_path: Path) -> None:
    add_photos(tmp_path)

    for key in plan(dataset).digests:
        assert not set("/.") & set(key)


def test_a_new_image_touches_one_partition(dataset: Dataset, tmp_path: Path) -> None:
    add_photos(tmp_path)
    plan(dataset)
    before = plan_files(dataset)
    add_photo(tmp_path, "new.jpg", LANDSCAPE)

    changes = plan(dataset)

    after = plan_files(dataset)
    assert list(changes.changed) == [f"{WIDE}_000002-000003"]
    assert {key for key in after if after[key] != before.get(key)} == set(changes.changed)


def test_a_removed_image_touches_one_partition(dataset: Dataset, tmp_path: Path) -> None:
    add_photos(tmp_path)
    plan(dataset)
    first = read_plan(dataset, f"{WIDE}_000000-000001").to_pylist()[0]["uri"]
    (tmp_path / "raw" / str(first)).unlink()

    changes = plan(dataset)

    assert list(changes.changed) == [f"{WIDE}_000000-000001"]
    assert changes.removed == []


@pytest.mark.parametrize("damage", ["lost", "truncated"])
def test_a_damaged_plan_is_written_again(dataset: Dataset, tmp_path: Path, damage: str) -> None:
    add_photos(tmp_path, 4)
    (key, *others) = plan(dataset).digests
    path = dataset.layout.plan(key)
    whole = path.read_bytes()
    if damage == "lost":
        on_disk(path).unlink()
    else:
        on_disk(path).write_bytes(whole[:-1])

    outcomes = {one: write_plan(dataset, one) for one in (key, *others)}

    assert [one for one, outcome in outcomes.items() if not outcome.reused] == [key]
    assert path.read_bytes() == whole
    assert write_plan(dataset, key).reused


def test_a_damaged_plan_is_written_again_when_images_are_assigned(dataset: Dataset, tmp_path: Path) -> None:
    add_photos(tmp_path, 4)
    key = next(iter(plan(dataset).digests))
    on_disk(dataset.layout.plan(key)).unlink()

    changes = assign_buckets(dataset, force=True).plans

    assert list(changes.changed) == [key]


def test_a_plan_written_again_is_the_same(dataset: Dataset, tmp_path: Path) -> None:
    add_photos(tmp_path)
    digests = plan(dataset).digests

    for key in digests:
        assert write_plan(dataset, key, force=True).state.output == digests[key]


@pytest.mark.parametrize("key", [f"{WIDE}_000016-000017", "p64x64_000000-000001"])
def test_a_partition_that_does_not_exist_has_no_plan(dataset: Dataset, tmp_path: Path, key: str) -> None:
    add_photos(tmp_path, 4)
    plan(dataset)

    with pytest.raises(OrderError, match=f"no partition {key}"):
        write_plan(dataset, key)
    with pytest.raises(StorageError, match=key):
        read_plan(dataset, key)


def test_a_partition_that_vanishes_loses_files_and_records(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        key = f"{WIDE}_000002-000003"
        gone = [str(row["uri"]) for row in read_plan(dataset, key).to_pylist()]
        with dataset.catalog.reading() as connection:
            files = [dataset.layout.root / piece.path for piece in load_pieces(connection, partition=key)]
        assert {path.relative_to(dataset.layout.root).parts[0] for path in files} == {
            *("plans", "crops", "selection", "export")
        }
        index = dataset.layout.index(WIDE, 2)
        assert index.exists()
        for name in gone:
            (built / "raw" / name).unlink()

        changes = plan(dataset)

        assert list(changes.removed) == [key]
        assert not any(path.exists() for path in [*files, index])
        assert key not in {partition for _, partition in states(dataset)}
        with dataset.catalog.reading() as connection:
            assert load_pieces(connection, partition=key) == []


def test_the_last_image_takes_everything_with_it(built: Path) -> None:
    for path in (built / "raw").iterdir():
        path.unlink()
    with open_dataset(settings_in(built)) as dataset:
        plan(dataset)

        assert partition_keys(dataset) == []
        left = {
            path.name
            for path in on_disk(dataset.layout.root).rglob("*")
            if path.suffix not in (".lock", ".png") and path.is_file()
        }
    of_the_export = {"manifest.json", "README.md", "samples.parquet"}  # and its charts: the manifest's to remove
    assert left <= {"dataset.sqlite", "dataset.sqlite-wal", "dataset.sqlite-shm"} | of_the_export


def test_forgetting_that_was_interrupted_is_done_by_the_next_build(built: Path) -> None:
    # A file that cannot be removed stands for a process that was killed there.
    key = f"{WIDE}_000002-000003"
    with open_dataset(settings_in(built)) as dataset:
        for row in read_plan(dataset, key).to_pylist():
            (built / "raw" / str(row["uri"])).unlink()
        tar = dataset.layout.tar(WIDE, 2)
        aside = on_disk(tar).rename(built / "aside")
        on_disk(tar).mkdir()
        scan_sources(dataset)
        with pytest.raises(StorageError, match="cannot remove"):
            assign_buckets(dataset)
        on_disk(tar).rmdir()
        aside.rename(on_disk(tar))

        built_again = build_library(dataset)

        assert not tar.exists()
        assert list(built_again.assignment.plans.removed) == [key]


def test_more_shards_a_partition(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        before = rows_of_all(dataset)
    with open_dataset(settings_in(built, shards={"shards_per_partition": 4})) as dataset:
        changes = plan(dataset)

        assert f"{WIDE}_000000-000003" in changes.digests
        assert {Partition.parse(key).last % 4 for key in partition_keys(dataset)} == {3}
        assert rows_of_all(dataset) == before
        assert set(plan_files(dataset)) == set(changes.digests)


def test_a_smaller_shard(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        before = rows_of_all(dataset)
    with open_dataset(settings_in(built, shards={"shard_size": 2})) as dataset:
        changes = plan(dataset)

        assert rows_of_all(dataset) == before
        assert set(plan_files(dataset)) == set(changes.digests) == set(partition_keys(dataset))
        assert all(len(read_plan(dataset, key)) <= 4 for key in changes.digests)


def test_rows_are_split_into_the_shards_that_have_any() -> None:
    rows = pa.table({"slot": [0, 3, 4, 11, 12, 15]})

    assert [(number, part["slot"].to_pylist()) for number, part in split_shards(rows, 4)] == [
        (0, [0, 3]),
        (1, [4]),
        (2, [11]),
        (3, [12, 15]),
    ]
