import os
import time
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.catalog.images import known_images
from dataset_assets.catalog.state import load_pieces
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DamagedError, OrderError
from dataset_assets.images.crops import make_crops
from dataset_assets.images.store import Row, read_crops
from dataset_assets.progress import Silence
from dataset_assets.records import sample_key
from dataset_assets.shards.verify import verify
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import Stage
from dataset_assets.work import Outcome
from dataset_assets_tests import children
from dataset_assets_tests.datasets import (
    LANDSCAPE,
    Count,
    add_photo,
    build_library,
    on_disk,
    partition_keys,
    settings_in,
)
from dataset_assets_tests.photos import hostile, jpeg, variants

WIDE = "p1216x832"

CROP_IN_A_CHILD = """
import sys
from pathlib import Path
from dataset_assets.dataset import open_dataset
from dataset_assets.images.crops import make_crops
from dataset_assets_tests.datasets import partition_keys, settings_in

if __name__ == "__main__":
    with open_dataset(settings_in(Path(sys.argv[1]))) as dataset:
        make_crops(dataset, partition_keys(dataset))
"""


@pytest.fixture
def dataset(built: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(built)) as dataset:
        yield dataset


def look(dataset: Dataset) -> None:
    scan_sources(dataset)
    assign_buckets(dataset)


def crop(dataset: Dataset, **options: Any) -> dict[str, Outcome]:
    """Make the crops and return the partitions that were not fresh."""
    outcomes = make_crops(dataset, partition_keys(dataset), **options)
    return {key: outcome for key, outcome in outcomes.items() if not outcome.reused}


def encoded(outcomes: dict[str, Outcome]) -> int:
    return sum(outcome.report["encoded"] for outcome in outcomes.values())


def crops(dataset: Dataset) -> dict[str, Row]:
    """Return every row of every file, by image_id."""
    with dataset.catalog.reading() as connection:
        pieces = load_pieces(connection, Stage.RESIZED_CROPS)
    return {row["image_id"]: row for piece in pieces for row in read_crops(dataset.layout.root / piece.path)}


def test_crops_are_of_the_buckets_size(dataset: Dataset) -> None:
    rows = crops(dataset)

    assert len(rows) == 20
    for row in rows.values():
        with Image.open(BytesIO(row["jpeg"])) as image:
            assert image.size == (row["w"], row["h"])
            assert image.size in {(72, 48), (48, 72), (64, 64)}
        assert row["key"] == sample_key(row["image_id"])


def test_what_is_fresh_is_left_alone(dataset: Dataset) -> None:
    look(dataset)

    assert crop(dataset) == {}


def test_only_what_is_new_is_encoded(dataset: Dataset, built: Path) -> None:
    before = crops(dataset)
    add_photo(built, "new.jpg", LANDSCAPE, seed=99)
    look(dataset)
    progress = Count()

    made = crop(dataset, progress=progress)

    after = crops(dataset)
    assert list(made) == [f"{WIDE}_000002-000003"]
    assert encoded(made) == 1
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"new.jpg"}
    assert progress.done == progress.total == 3  # the images of the one shard that changed


def test_a_changed_image_is_encoded_again_and_its_neighbours_are_copied(dataset: Dataset, built: Path) -> None:
    before = crops(dataset)
    add_photo(built, "000.jpg", LANDSCAPE, seed=99)
    look(dataset)

    assert encoded(crop(dataset)) == 1

    after = crops(dataset)
    assert {name for name in after if after[name] != before[name]} == {"000.jpg"}
    assert after["000.jpg"]["source_sha256"] == sha256((built / "raw/000.jpg").read_bytes()).hexdigest()


def test_a_removed_image_costs_no_encoding(dataset: Dataset, built: Path) -> None:
    before = crops(dataset)
    (built / "raw/000.jpg").unlink()
    look(dataset)

    made = crop(dataset)

    assert (len(made), encoded(made)) == (1, 0)
    assert crops(dataset) == {name: row for name, row in before.items() if name != "000.jpg"}


def test_a_touched_file_of_the_same_content_is_not_encoded_again(dataset: Dataset, built: Path) -> None:
    scan_sources(dataset, checksum=True)
    os.utime(built / "raw/000.jpg", ns=(0, time.time_ns()))
    scan_sources(dataset, checksum=True)
    assign_buckets(dataset)

    assert encoded(crop(dataset)) == 0


def test_settings_of_the_pixels_encode_everything_again(built: Path) -> None:
    with open_dataset(settings_in(built, images={"quality": 60})) as dataset:
        look(dataset)

        assert encoded(crop(dataset)) == 20
        assert {row["quality"] for row in crops(dataset).values()} == {60}


def test_force_encodes_everything_again(dataset: Dataset) -> None:
    before = crops(dataset)

    assert encoded(crop(dataset, force=True)) == 20
    assert crops(dataset) == before


def test_force_forgets_the_shards_that_have_no_rows_any_more(dataset: Dataset, built: Path) -> None:
    for row in [row for row in crops(dataset).values() if row["w"] == 72 and row["slot"] // 4 == 1]:
        (built / "raw" / row["image_id"]).unlink()
    look(dataset)

    crop(dataset, force=True)

    with dataset.catalog.reading() as connection:
        pieces = load_pieces(connection, Stage.RESIZED_CROPS, f"{WIDE}_000000-000001")
    assert [piece.number for piece in pieces] == [0]
    assert not dataset.layout.crops(WIDE, 1).exists()
    assert build_library(dataset).manifest.report["summary"]["images_exported"] == 16


def test_another_cut_into_shards_is_seen_where_a_partition_keeps_its_rows(built: Path) -> None:
    # Squares and portraits have five images each: with 8 to a shard instead of 4 their partitions keep key and rows.
    with open_dataset(settings_in(built, shards={"shard_size": 8})) as dataset:
        result = build_library(dataset)
        assert verify(dataset.layout.export, workers=1, progress=Silence()).ok

    assert result.manifest.report["shards"] == 4


def test_more_shards_a_partition_encode_nothing(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        before = crops(dataset)
    with open_dataset(settings_in(built, shards={"shards_per_partition": 4})) as dataset:
        look(dataset)

        assert encoded(crop(dataset)) == 0
        assert crops(dataset) == before


@pytest.mark.parametrize("damage", ["lost", "truncated", "overwritten"])
def test_a_damaged_file_is_made_again(dataset: Dataset, damage: str) -> None:
    before = crops(dataset)
    path = dataset.layout.crops(WIDE, 0)
    data = path.read_bytes()
    match damage:
        case "lost":
            on_disk(path).unlink()
        case "truncated":
            on_disk(path).write_bytes(data[: len(data) // 2])
        case "overwritten":
            on_disk(path).write_bytes(data[:-300] + bytes(301))

    assert encoded(crop(dataset)) == 4
    assert crops(dataset) == before


def test_a_damaged_crop_is_not_copied(dataset: Dataset, built: Path) -> None:
    path = dataset.layout.crops(WIDE, 0)
    kept = crops(dataset)
    some = next(row for row in kept.values() if row["w"] == 72 and row["slot"] == 1)
    on_disk(path).write_bytes(path.read_bytes().replace(some["jpeg"][-40:], bytes(40)))
    leaving = next(name for name, row in kept.items() if row["w"] == 72 and row["slot"] == 0)
    (built / "raw" / leaving).unlink()
    look(dataset)

    with pytest.raises(DamagedError, match="has been removed: build again"):
        crop(dataset)
    assert not path.exists()
    assert encoded(crop(dataset)) == 3

    assert crops(dataset) == {name: row for name, row in kept.items() if name != leaving}


def test_a_file_removed_after_the_scan_is_counted(dataset: Dataset, built: Path) -> None:
    before = crops(dataset)
    path = add_photo(built, "new.jpg", LANDSCAPE, seed=99)
    look(dataset)
    path.unlink()

    (made,) = crop(dataset).values()

    assert made.report["drops"] == {"skipped_source_changed": 1}
    assert made.report["retry"] == 1
    after = crops(dataset)
    assert after["new.jpg"]["detail"] == "removed after the scan"
    assert {name: after[name] for name in before} == before
    assert encoded(crop(dataset)) == 1  # it is tried again although nothing else changed
    summary = build_library(dataset).manifest.report["summary"]  # which scans again
    assert (summary["images_seen"], summary["skipped_source_changed"]) == (20, 0)


def test_a_file_changed_after_the_scan_is_counted_and_exported_next_time(dataset: Dataset, built: Path) -> None:
    add_photo(built, "new.jpg", LANDSCAPE, seed=99)
    look(dataset)
    path = add_photo(built, "new.jpg", (208, 144), seed=98)

    (made,) = crop(dataset).values()
    assert made.report["drops"] == {"skipped_source_changed": 1}
    look(dataset)
    (made,) = crop(dataset).values()

    assert (made.report["drops"], made.report["retry"]) == ({}, 0)
    assert crops(dataset)["new.jpg"]["source_sha256"] == sha256(path.read_bytes()).hexdigest()
    assert crop(dataset) == {}


def test_a_file_that_may_not_be_read_is_counted_and_stops_nothing(dataset: Dataset, built: Path) -> None:
    path = add_photo(built, "new.jpg", LANDSCAPE, seed=99)
    look(dataset)
    path.chmod(0)

    children.run(CROP_IN_A_CHILD, built, powerless=True)

    assert crops(dataset)["new.jpg"]["reason"] == "skipped_unreadable"
    path.chmod(0o600)
    summary = build_library(dataset).manifest.report["summary"]
    assert (summary["images_exported"], summary["skipped_unreadable"]) == (21, 0)


def test_every_odd_file_is_exported_and_every_hostile_one_counted(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for number, data in enumerate(variants().values()):
        (folder / f"variant {number}.jpg").write_bytes(data)
    for number, (_, data) in enumerate(hostile().values()):
        (folder / f"hostile {number}.jpg").write_bytes(data)

    with open_dataset(settings_in(tmp_path)) as dataset:
        summary = build_library(dataset).manifest.report["summary"]
        rows = crops(dataset)

    reasons = Counter(reason.value for reason, _ in hostile().values())
    assert {name: summary[name] for name in reasons} == reasons
    assert summary["images_exported"] == len(variants())
    assert summary["images_seen"] == len(variants()) + len(hostile())
    assert all(row["detail"] for row in rows.values() if row["reason"])
    assert verify(tmp_path / "out/export", workers=1, progress=Silence()).ok


def test_the_checksum_of_what_was_read_is_recorded(dataset: Dataset, built: Path) -> None:
    with dataset.catalog.reading() as connection:
        known = known_images(connection).to_pylist()

    assert {row["uri"]: row["checksum"] for row in known} == {
        path.name: sha256(path.read_bytes()).hexdigest() for path in (built / "raw").glob("*.jpg")
    }


def test_there_are_no_crops_without_a_plan(dataset: Dataset) -> None:
    with pytest.raises(OrderError, match="shard_plans"):
        make_crops(dataset, ["p64x64_000000-000001"])


def test_an_image_smaller_than_its_header_said_is_no_crop(dataset: Dataset, built: Path) -> None:
    # The header is scanned as 104 x 72; the file that is read has the same size and time, and fewer pixels.
    path = add_photo(built, "new.jpg", LANDSCAPE, seed=99)
    status = path.stat()
    look(dataset)
    small = jpeg(30, 20)
    path.write_bytes(small + bytes(status.st_size - len(small)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    (made,) = crop(dataset).values()

    assert made.report["drops"] == {"skipped_too_small": 1}
