import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_assets.buckets.assign import Assignment, assign_buckets
from dataset_assets.buckets.choose import NO_BUCKET, choose_buckets
from dataset_assets.buckets.protos import make_buckets
from dataset_assets.catalog.slots import seated_images
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import OrderError
from dataset_assets.images.crops import make_crops
from dataset_assets.progress import Lines
from dataset_assets.records import sample_key
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets_tests.datasets import LANDSCAPE, PORTRAIT, SQUARE, TINY, add_photo, add_photos, settings_in
from dataset_assets_tests.photos import encoded, hostile, photo
from dataset_assets_tests.sources.doubles import Watched

WIDE, TALL, EVEN = "p1216x832", "p832x1152", "p1024x1024"  # of LANDSCAPE, PORTRAIT and SQUARE at base 64

Seats = dict[str, tuple[str, int]]  # image_id → bucket and slot


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    (tmp_path / "raw").mkdir()
    with open_dataset(settings_in(tmp_path)) as dataset:
        yield dataset


def assign(dataset: Dataset, **options: Any) -> Assignment:
    scan_sources(dataset, allow_empty=True)
    return assign_buckets(dataset, **options)


def seats(dataset: Dataset) -> Seats:
    with dataset.catalog.reading() as connection:
        rows = seated_images(connection).to_pylist()
    return {row["image_id"]: (row["bucket_id"], row["slot"]) for row in rows}


def in_key_order(names: list[str]) -> list[str]:
    return sorted(names, key=sample_key)


def test_from_nothing_slots_follow_the_keys(dataset: Dataset, tmp_path: Path) -> None:
    add_photos(tmp_path, 12)

    assign(dataset)

    wide = in_key_order([f"{seed:03d}.jpg" for seed in range(0, 12, 2)])
    tall = in_key_order([f"{seed:03d}.jpg" for seed in range(1, 12, 4)])
    even = in_key_order([f"{seed:03d}.jpg" for seed in range(3, 12, 4)])
    assert seats(dataset) == {
        name: (bucket_id, slot)
        for bucket_id, names in ((WIDE, wide), (TALL, tall), (EVEN, even))
        for slot, name in enumerate(names)
    }


def test_the_order_in_which_files_were_made_does_not_matter(tmp_path: Path) -> None:
    made = []
    for number, order in enumerate((range(10), reversed(range(10)))):
        folder = tmp_path / str(number)
        for seed in order:
            add_photo(folder, f"sub {seed % 3}/{seed}.jpg", (LANDSCAPE, PORTRAIT)[seed % 2], seed=seed)
        with open_dataset(settings_in(folder)) as dataset:
            assign(dataset)
            made.append(seats(dataset))

    assert made[0] == made[1]
    assert len(made[0]) == 10


def test_a_slot_never_moves(dataset: Dataset, tmp_path: Path) -> None:
    paths = add_photos(tmp_path)
    assign(dataset)
    before = seats(dataset)
    for path in paths[4:9]:
        path.unlink()
    for seed in range(30, 40):
        add_photo(tmp_path, f"{seed:03d}.jpg", seed=seed)

    assign(dataset)

    after = seats(dataset)
    left = {path.name for path in paths[4:9]}
    assert {name: seat for name, seat in before.items() if name not in left}.items() <= after.items()
    assert not left & after.keys()


def test_a_newcomer_takes_the_next_slot_that_was_never_given(dataset: Dataset, tmp_path: Path) -> None:
    names = in_key_order([f"{seed}.jpg" for seed in range(5)])
    for name in names:
        add_photo(tmp_path, name)
    assign(dataset)
    (tmp_path / "raw" / names[1]).unlink()
    (tmp_path / "raw" / names[-1]).unlink()  # the last slot, too, is not given twice
    assign(dataset)
    add_photo(tmp_path, "new.jpg")

    moved = assign(dataset).outcome.report

    assert seats(dataset)["new.jpg"] == (WIDE, 5)
    assert (moved["seated"], moved["released"]) == (1, 0)


def test_slots_go_on_after_all_images_of_a_bucket_were_removed(dataset: Dataset, tmp_path: Path) -> None:
    paths = [add_photo(tmp_path, f"{seed}.jpg", seed=seed) for seed in range(3)]
    assign(dataset)
    for path in paths:
        path.unlink()
    assert assign(dataset).outcome.report["released"] == 3
    assert seats(dataset) == {}
    add_photo(tmp_path, "new.jpg")

    assign(dataset)

    assert seats(dataset) == {"new.jpg": (WIDE, 3)}


def test_an_image_that_comes_back_takes_a_new_slot(dataset: Dataset, tmp_path: Path) -> None:
    path = add_photo(tmp_path, "one.jpg")
    assign(dataset)
    away = path.rename(tmp_path / "one.jpg")
    assign(dataset)
    away.rename(path)

    assign(dataset)

    assert seats(dataset) == {"one.jpg": (WIDE, 1)}


def test_an_image_that_changes_its_bucket_leaves_its_slot_empty(dataset: Dataset, tmp_path: Path) -> None:
    names = in_key_order([f"{seed}.jpg" for seed in range(4)])
    for name in names:
        add_photo(tmp_path, name)
    add_photo(tmp_path, "tall.jpg", PORTRAIT)
    assign(dataset)
    add_photo(tmp_path, names[1], PORTRAIT)

    moved = assign(dataset).outcome.report
    add_photo(tmp_path, "late.jpg")
    assign(dataset)

    assert seats(dataset) == {
        names[0]: (WIDE, 0),
        names[2]: (WIDE, 2),
        names[3]: (WIDE, 3),
        "late.jpg": (WIDE, 4),
        "tall.jpg": (TALL, 0),
        names[1]: (TALL, 1),
    }
    assert (moved["seated"], moved["released"]) == (1, 1)


def test_an_image_that_changes_within_its_bucket_stays(dataset: Dataset, tmp_path: Path) -> None:
    add_photo(tmp_path, "one.jpg")
    assign(dataset)
    before = seats(dataset)
    add_photo(tmp_path, "one.jpg", (208, 144), seed=5)

    moved = assign(dataset)

    assert seats(dataset) == before
    assert (moved.outcome.report["seated"], moved.outcome.report["released"]) == (0, 0)
    assert list(moved.plans.changed) == [f"{WIDE}_000000-000001"]


def test_the_counters_add_up(dataset: Dataset, tmp_path: Path) -> None:
    add_photos(tmp_path, 8)
    add_photo(tmp_path, "tiny.jpg", TINY)
    add_photo(tmp_path, "tiny too.jpg", TINY)
    for number, (_, data) in enumerate(hostile().values()):
        (tmp_path / "raw" / f"hostile {number}.png").write_bytes(data)

    report = assign(dataset).outcome.report

    assert report["seen"] == 10 + len(hostile())
    assert 8 <= report["assigned"] == sum(report["buckets"].values())  # some hostile files have a good header
    assert report["drops"]["skipped_too_small"] == 2
    assert report["assigned"] + sum(report["drops"].values()) == report["seen"]


def test_a_base_resolution_change_seats_everything_anew(tmp_path: Path) -> None:
    for name, size in (("large.jpg", (900, 600)), ("medium.jpg", (320, 210)), ("small.jpg", SQUARE)):
        add_photo(tmp_path, name, size)
    for base, expected in ((64, 3), (256, 2), (512, 1), (64, 3)):
        settings = settings_in(tmp_path, buckets={"base_resolutions": [base]})
        with open_dataset(settings) as dataset:
            report = assign(dataset).outcome.report
            with dataset.catalog.reading() as connection:
                rows = seated_images(connection).to_pylist()

        assert (report["assigned"], report["drops"]["skipped_too_small"]) == (expected, 3 - expected)
        assert len(rows) == expected
        assert len({(row["bucket_id"], row["slot"]) for row in rows}) == expected


def test_what_is_fresh_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    add_photos(tmp_path, 4)
    first = assign(dataset)

    again = assign(dataset)
    forced = assign(dataset, force=True)

    assert not first.outcome.reused
    assert again.outcome.reused
    assert (list(again.plans.changed), list(again.plans.removed)) == ([], [])
    assert not forced.outcome.reused
    assert (list(forced.plans.changed), forced.plans.digests) == ([], first.plans.digests)


def test_no_image_makes_no_partition(dataset: Dataset) -> None:
    assigned = assign(dataset)

    assert assigned.outcome.report["seen"] == 0
    assert assigned.plans.digests == {}


def test_nothing_is_assigned_before_the_scan(dataset: Dataset) -> None:
    with pytest.raises(OrderError, match="raw_images"):
        assign_buckets(dataset)


def test_everything_in_a_slot_is_in_the_bucket_that_the_rule_chooses(dataset: Dataset, tmp_path: Path) -> None:
    buckets = make_buckets([64], 8)
    sizes = {f"{width}x{height}.jpg": (width, height) for width in (32, 60, 64, 130) for height in (31, 40, 64, 128)}
    for name, size in sizes.items():
        add_photo(tmp_path, name, size)

    assign(dataset)

    widths, heights = np.array(list(sizes.values()), np.int64).T
    chosen = dict(zip(sizes, choose_buckets(widths, heights, buckets), strict=True))
    expected = {name: buckets[index].id for name, index in chosen.items() if index != NO_BUCKET}
    assert {name: bucket_id for name, (bucket_id, _) in seats(dataset).items()} == expected


def test_ids_beyond_ascii_are_seated(dataset: Dataset, tmp_path: Path) -> None:
    names = ["日本語.jpg", "e\u0301.jpg", "spa ce%41.jpg", "x" * 200 + ".jpg"]
    for name in names:
        add_photo(tmp_path, name)
    (tmp_path / "raw" / os.fsdecode(b"\xff\xfe.jpg")).write_bytes((tmp_path / "raw" / names[0]).read_bytes())

    assign(dataset)

    assert set(seats(dataset)) == {"日本語.jpg", "é.jpg", "spa ce%41.jpg", "x" * 200 + ".jpg", "\\xff\\xfe.jpg"}


NOT_JPEG, DUPLICATE, SMALL = "not_jpeg", "skipped_duplicate", "skipped_too_small"


@contextmanager
def dropping(folder: Path, *, exact: str = "drop", **sections: Any) -> Iterator[tuple[Dataset, Watched]]:
    """Yield a dataset that drops duplicates, and its folder, which notices what is opened."""
    (folder / "raw").mkdir(exist_ok=True)
    with open_dataset(settings_in(folder, duplicates={"exact": exact}, **sections)) as dataset:
        watched = Watched(folder / "raw")
        yield replace(dataset, sources={"folder": watched}), watched


def assign_watched(dataset: Dataset, watched: Watched, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the report of a scan and an assignment, and the files that were read for their content."""
    scan_sources(dataset, allow_empty=True)
    watched.opened.clear()
    report = dict(assign_buckets(dataset, **options).outcome.report)
    return report, sorted(watched.opened)


def add_copies(folder: Path, *names: str, seed: int = 0) -> None:
    for name in names:
        add_photo(folder, name, seed=seed)


def test_of_images_with_the_same_content_the_first_by_id_has_a_slot(tmp_path: Path) -> None:
    add_copies(tmp_path, "c.jpg", "a/z.jpg", "b.jpg")
    add_copies(tmp_path, "A.jpg", "é.jpg", seed=1)
    add_copies(tmp_path, "alone.jpg", seed=2)
    with dropping(tmp_path) as (dataset, watched):
        report, read = assign_watched(dataset, watched)

        assert seats(dataset).keys() == {"a/z.jpg", "A.jpg", "alone.jpg"}
        assert read == sorted(["c.jpg", "a/z.jpg", "b.jpg", "A.jpg", "é.jpg", "alone.jpg"])
        assert (report["seen"], report["assigned"], report["drops"]) == (6, 3, {SMALL: 0, DUPLICATE: 3})


def test_duplicates_are_kept_by_default_and_nothing_is_read_for_it(tmp_path: Path) -> None:
    add_copies(tmp_path, "a.jpg", "b.jpg")
    with dropping(tmp_path, exact="keep") as (dataset, watched):
        report, read = assign_watched(dataset, watched)

        assert (report["assigned"], report["drops"], read) == (2, {SMALL: 0}, [])


def test_the_counters_add_up_with_duplicates_of_every_kind(tmp_path: Path) -> None:
    add_photos(tmp_path, 4)
    add_copies(tmp_path, "copy.jpg")  # of 000.jpg
    for name in ("tiny.jpg", "tiny too.jpg"):
        add_photo(tmp_path, name, TINY)
    for name in ("one.png", "two.png"):
        (tmp_path / "raw" / name).write_bytes(encoded(photo(*LANDSCAPE), "PNG"))
    for name in ("x.jpg", "y.jpg"):
        (tmp_path / "raw" / name).write_bytes(hostile()["text"][1])
    unusable = {"skipped_unsupported_format": 2}

    with dropping(tmp_path) as (dataset, watched):
        first, read = assign_watched(dataset, watched)
    with dropping(tmp_path, images={"mode": "passthrough_jpeg"}) as (dataset, watched):
        passing, _ = assign_watched(dataset, watched)

    assert first["drops"] == {**unusable, SMALL: 1, DUPLICATE: 3}
    assert passing["drops"] == {**unusable, SMALL: 1, DUPLICATE: 2, NOT_JPEG: 2}
    for report, assigned in ((first, 5), (passing, 4)):
        assert (report["seen"], report["assigned"]) == (11, assigned)
        assert report["assigned"] + sum(report["drops"].values()) == report["seen"]
    assert {"x.jpg", "y.jpg"}.isdisjoint(read)


def test_when_the_first_is_removed_the_next_takes_a_slot(tmp_path: Path) -> None:
    add_copies(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    with dropping(tmp_path) as (dataset, watched):
        assign_watched(dataset, watched)
        (tmp_path / "raw" / "a.jpg").unlink()

        report, read = assign_watched(dataset, watched)

        assert seats(dataset) == {"b.jpg": (WIDE, 1)}
        assert (report["seated"], report["released"], report["drops"][DUPLICATE], read) == (1, 1, 1, [])


def test_a_newcomer_whose_id_comes_first_takes_the_place_of_its_duplicate(tmp_path: Path) -> None:
    add_copies(tmp_path, "b.jpg")
    with dropping(tmp_path) as (dataset, watched):
        assign_watched(dataset, watched)
        add_copies(tmp_path, "a.jpg")

        _, read = assign_watched(dataset, watched)

        assert (seats(dataset), read) == ({"a.jpg": (WIDE, 1)}, ["a.jpg"])


def test_what_was_dropped_comes_in_when_the_setting_is_taken_back(tmp_path: Path) -> None:
    add_copies(tmp_path, "a.jpg", "b.jpg")
    with dropping(tmp_path) as (dataset, watched):
        assign_watched(dataset, watched)
    with dropping(tmp_path, exact="keep") as (dataset, watched):
        report, read = assign_watched(dataset, watched)
        kept = seats(dataset)
    with dropping(tmp_path) as (dataset, watched):
        _, again = assign_watched(dataset, watched)
        assert seats(dataset) == {"a.jpg": (WIDE, 0)}

    assert kept == {"a.jpg": (WIDE, 0), "b.jpg": (WIDE, 1)}
    assert (report["drops"], read, again) == ({SMALL: 0}, [], [])


def test_what_changed_is_read_again_and_nothing_else(tmp_path: Path) -> None:
    add_copies(tmp_path, "a.jpg", "b.jpg")
    with dropping(tmp_path) as (dataset, watched):
        assign_watched(dataset, watched)
        add_photo(tmp_path, "b.jpg", PORTRAIT, seed=5)

        assert assign_watched(dataset, watched)[1] == ["b.jpg"]
        assert seats(dataset) == {"a.jpg": (WIDE, 0), "b.jpg": (TALL, 0)}

        add_photo(tmp_path, "a.jpg", PORTRAIT, seed=5)
        assert assign_watched(dataset, watched)[1] == ["a.jpg"]
        assert seats(dataset) == {"a.jpg": (TALL, 1)}


def test_files_that_cannot_be_read_are_no_duplicates_of_each_other_and_tried_again(tmp_path: Path) -> None:
    add_copies(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    with dropping(tmp_path) as (dataset, watched):
        scan_sources(dataset)
        watched.failing = {"b.jpg", "c.jpg"}
        report, _ = assign_watched(dataset, watched)
        found = set(seats(dataset))
        verdict = judge_all(dataset)[Stage.BUCKET_ASSIGNMENTS, ""]
        watched.failing.clear()

        later, read = assign_watched(dataset, watched)

        assert (found, report["drops"][DUPLICATE], report["retry"]) == ({"a.jpg", "b.jpg", "c.jpg"}, 0, 2)
        assert (verdict.retry, verdict.reason) == (True, "2 files could not be read last time")
        assert (set(seats(dataset)), read) == ({"a.jpg"}, ["b.jpg", "c.jpg"])
        assert (later["drops"][DUPLICATE], later["retry"]) == (2, 0)
        assert judge_all(dataset)[Stage.BUCKET_ASSIGNMENTS, ""].fresh


def test_with_nothing_to_do_and_for_a_new_image_nothing_else_is_read(tmp_path: Path) -> None:
    add_copies(tmp_path, "a.jpg", "b.jpg")
    with dropping(tmp_path) as (dataset, watched):
        assign_watched(dataset, watched)

        assert assign_watched(dataset, watched)[1] == []
        assert assign_watched(dataset, watched, force=True)[1] == []
        add_copies(tmp_path, "0.jpg", seed=1)
        assert assign_watched(dataset, watched)[1] == ["0.jpg"]


def test_what_was_read_for_a_crop_is_not_read_again(tmp_path: Path) -> None:
    add_copies(tmp_path, "a.jpg", "b.jpg")
    add_photo(tmp_path, "tiny.jpg", TINY)
    with open_dataset(settings_in(tmp_path)) as dataset:
        make_crops(dataset, assign(dataset).plans.digests)
    with dropping(tmp_path) as (dataset, watched):
        report, read = assign_watched(dataset, watched)

    assert (report["drops"], read) == ({SMALL: 1, DUPLICATE: 1}, ["tiny.jpg"])


def test_a_scan_of_contents_leaves_nothing_to_read(tmp_path: Path) -> None:
    add_copies(tmp_path, "a.jpg", "b.jpg")
    with dropping(tmp_path) as (dataset, watched):
        scan_sources(dataset, checksum=True)
        watched.opened.clear()

        assert assign_buckets(dataset).outcome.report["drops"][DUPLICATE] == 1
        assert watched.opened == []


def test_duplicates_are_found_across_sources(tmp_path: Path) -> None:
    path = add_photo(tmp_path, "b.jpg")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.jpg").write_bytes(path.read_bytes())
    sources = [{"path": "raw", "prefix": "x/"}, {"path": "more", "name": "more", "prefix": "a/"}]
    with open_dataset(settings_in(tmp_path, sources=sources, duplicates={"exact": "drop"})) as dataset:
        report = assign(dataset).outcome.report

        assert (seats(dataset), report["drops"][DUPLICATE]) == ({"a/b.jpg": (WIDE, 0)}, 1)


def test_reading_contents_shows_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_assets.progress._SAY_SECONDS", 0.0)
    add_copies(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    said: list[str] = []
    with dropping(tmp_path) as (dataset, watched):
        assign_watched(dataset, watched, progress=Lines(said.append))
        first = list(said)
        assign_watched(dataset, watched, progress=Lines(said.append))
        assign_watched(dataset, watched, progress=Lines(said.append), force=True)

    assert [line.partition(", ")[0] for line in first[:3]] == [
        f"reading content: {count} of 3 files" for count in (1, 2, 3)
    ]
    assert said == first
