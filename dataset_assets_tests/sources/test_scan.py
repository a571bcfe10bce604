import os
import signal
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.catalog.images import known_images
from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DropReason, SourceError
from dataset_assets.sources.scan import find_changes, scan_sources
from dataset_assets.stages import Stage
from dataset_assets_tests import children
from dataset_assets_tests.datasets import LANDSCAPE, PORTRAIT, SQUARE, add_photo, settings_in
from dataset_assets_tests.photos import hostile, jpeg
from dataset_assets_tests.sources.doubles import Watched

KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
from dataset_assets.dataset import open_dataset
from dataset_assets.sources import headers, scan
from dataset_assets_tests.datasets import settings_in
from dataset_assets_tests.sources.doubles import Deadly

folder, number = Path(sys.argv[1]), int(sys.argv[2])
scan.BATCH, headers._CHUNK = 10, 1
with open_dataset(settings_in(folder)) as dataset:
    scan.scan_sources(replace(dataset, sources={"folder": Deadly(folder / "raw", number)}))
"""
SLOW = """
import sys
from dataclasses import replace
from pathlib import Path
from dataset_assets.dataset import open_dataset
from dataset_assets.sources.scan import scan_sources
from dataset_assets_tests.datasets import settings_in
from dataset_assets_tests.sources.doubles import Slow

if __name__ == "__main__":
    folder, told = Path(sys.argv[1]), Path(sys.argv[2])
    with open_dataset(settings_in(folder, work={"workers": 2})) as dataset:
        scan_sources(replace(dataset, sources={"folder": Slow(folder / "raw", told)}))
"""


@contextmanager
def opened(folder: Path, **sections: Any) -> Iterator[tuple[Dataset, Watched]]:
    """Yield a dataset over `folder`/raw, and that folder, which notices what is opened."""
    (folder / "raw").mkdir(exist_ok=True)
    with open_dataset(settings_in(folder, **sections)) as dataset:
        watched = Watched(folder / "raw")
        yield replace(dataset, sources={"folder": watched}), watched


def rows(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Return the index by uri."""
    with dataset.catalog.reading() as connection:
        return {row["uri"]: row for row in known_images(connection).to_pylist()}


def token(dataset: Dataset) -> str:
    with dataset.catalog.reading() as connection:
        return load_states(connection)[Stage.RAW_IMAGES, ""].output


def counts(report: Any) -> tuple[int, int, int]:
    return report["added"], report["updated"], report["removed"]


def rewrite(path: Path, data: bytes, *, seconds_later: int) -> None:
    """Write a file so that its time differs by just so much, whatever the clock says."""
    was = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(was, was + seconds_later * 10**9))


def add_trouble(folder: Path) -> dict[str, str]:
    """Write one file of every kind that a scan can rule out; return the reason of each, "" for the usable ones."""
    raw = folder / "raw"
    raw.mkdir(exist_ok=True)
    for name in ("empty", "text", "noise after a jpeg's magic", "bomb"):
        (raw / f"{name}.jpg").write_bytes(hostile()[name][1])
    os.mkfifo(raw / "pipe.jpg")
    (raw / "dangling.jpg").symlink_to("nowhere")
    for name in ("é.jpg", unicodedata.normalize("NFD", "é.jpg"), "good.jpg", "wrong extension.png"):
        add_photo(folder, name)
    (raw / "film.mp4").touch()
    return {
        "empty.jpg": DropReason.EMPTY_FILE,
        "text.jpg": DropReason.UNSUPPORTED_FORMAT,
        "noise after a jpeg's magic.jpg": DropReason.DECODE_ERROR,
        "bomb.jpg": DropReason.TOO_MANY_PIXELS,
        "pipe.jpg": DropReason.UNREADABLE,
        "dangling.jpg": DropReason.UNREADABLE,
        "é.jpg": DropReason.DUPLICATE_ID,
        unicodedata.normalize("NFD", "é.jpg"): "",
        "good.jpg": "",
        "wrong extension.png": "",
    }


def test_every_image_is_usable_or_counted(tmp_path: Path) -> None:
    expected = add_trouble(tmp_path)

    with opened(tmp_path) as (dataset, _):
        report = scan_sources(dataset).report
        found = rows(dataset)

    assert {uri: row["reason"] for uri, row in found.items()} == expected
    assert report["seen"] == len(expected) == report["usable"] + sum(report["drops"].values())
    assert report["usable"] == 3
    assert report["drops"] == {
        DropReason.EMPTY_FILE: 1,
        DropReason.UNSUPPORTED_FORMAT: 1,
        DropReason.DECODE_ERROR: 1,
        DropReason.TOO_MANY_PIXELS: 1,
        DropReason.UNREADABLE: 2,
        DropReason.DUPLICATE_ID: 1,
    }
    assert report["ignored"] == {"mp4": 1}
    assert counts(report) == (len(expected), 0, 0)
    assert (found["good.jpg"]["width"], found["good.jpg"]["height"]) == LANDSCAPE
    assert (found["bomb.jpg"]["width"], found["bomb.jpg"]["height"]) == (0, 0)


def test_nothing_is_opened_in_an_unchanged_tree(tmp_path: Path) -> None:
    add_trouble(tmp_path)

    with opened(tmp_path) as (dataset, watched):
        first = scan_sources(dataset)
        before = rows(dataset)
        watched.opened.clear()
        second = scan_sources(dataset)

        assert watched.opened == []
        assert rows(dataset) == before
    assert not first.reused
    assert second.reused
    assert second.state.output == first.state.output
    assert counts(second.report) == (0, 0, 0)
    assert second.report["drops"] == first.report["drops"]


def test_only_what_is_new_or_changed_is_opened(tmp_path: Path) -> None:
    for name in ("same.jpg", "changed.jpg", "removed.jpg", "old name.jpg"):
        add_photo(tmp_path, name)

    with opened(tmp_path) as (dataset, watched):
        first = scan_sources(dataset)
        ids = {uri: row["id"] for uri, row in rows(dataset).items()}
        watched.opened.clear()
        rewrite(tmp_path / "raw" / "changed.jpg", jpeg(*PORTRAIT), seconds_later=5)
        (tmp_path / "raw" / "removed.jpg").unlink()
        (tmp_path / "raw" / "old name.jpg").rename(tmp_path / "raw" / "new name.jpg")
        add_photo(tmp_path, "sub/added.jpg", SQUARE)
        second = scan_sources(dataset)
        found = rows(dataset)

    assert sorted(watched.opened) == ["changed.jpg", "new name.jpg", "sub/added.jpg"]
    assert counts(second.report) == (2, 1, 2)
    assert second.report["seen"] == second.report["usable"] == 4
    assert second.state.output != first.state.output
    assert {uri for uri, row in found.items() if row["removed"]} == {"removed.jpg", "old name.jpg"}
    assert {uri: found[uri]["id"] for uri in ids} == ids
    assert (found["changed.jpg"]["width"], found["changed.jpg"]["height"]) == PORTRAIT
    assert found["changed.jpg"]["revision"] == found["changed.jpg"]["version"]


def test_a_removed_image_that_returns_is_the_same_image(tmp_path: Path) -> None:
    path = add_photo(tmp_path, "a.jpg")
    add_photo(tmp_path, "b.jpg")

    with opened(tmp_path) as (dataset, watched):
        scan_sources(dataset)
        before = rows(dataset)
        path.rename(tmp_path / "elsewhere.jpg")
        assert scan_sources(dataset).report["seen"] == 1
        watched.opened.clear()
        (tmp_path / "elsewhere.jpg").rename(path)
        returned = scan_sources(dataset)

        assert counts(returned.report) == (0, 1, 0)
        assert rows(dataset) == before
        assert watched.opened == []


def test_an_image_that_breaks_and_is_mended(tmp_path: Path) -> None:
    path = add_photo(tmp_path, "a.jpg")

    with opened(tmp_path) as (dataset, _):
        scan_sources(dataset)
        before = rows(dataset)["a.jpg"]
        good = path.read_bytes()
        rewrite(path, good[:50], seconds_later=5)
        broken = scan_sources(dataset).report
        row = rows(dataset)["a.jpg"]
        rewrite(path, good, seconds_later=5)
        mended = scan_sources(dataset).report
        after = rows(dataset)["a.jpg"]

    assert broken["drops"] == {DropReason.DECODE_ERROR: 1}
    assert (row["id"], row["width"], row["height"]) == (before["id"], 0, 0)
    assert (mended["usable"], mended["drops"]) == (1, {})
    assert after == before | {"version": after["version"], "revision": after["version"]}


def test_a_touched_file_has_changed_unless_content_decides(tmp_path: Path) -> None:
    path = add_photo(tmp_path, "a.jpg")

    with opened(tmp_path) as (dataset, watched):
        scan_sources(dataset, checksum=True)
        first = rows(dataset)["a.jpg"]
        rewrite(path, path.read_bytes(), seconds_later=5)
        watched.opened.clear()
        scan_sources(dataset, checksum=True)
        checked = rows(dataset)["a.jpg"]
        opened_for_content = watched.opened.copy()
        rewrite(path, path.read_bytes(), seconds_later=5)
        scan_sources(dataset)
        unchecked = rows(dataset)["a.jpg"]

    assert first["checksum"]
    assert checked["version"] != first["version"]
    assert (checked["revision"], checked["checksum"]) == (first["revision"], first["checksum"])
    assert opened_for_content == ["a.jpg"]  # and not for its header
    assert unchecked["revision"] == unchecked["version"] != checked["version"]
    assert unchecked["checksum"] == ""


def test_other_content_behind_the_same_size_and_time_is_found_by_checksum(tmp_path: Path) -> None:
    path = add_photo(tmp_path, "a.jpg", LANDSCAPE)
    other = jpeg(*PORTRAIT)
    size = max(path.stat().st_size, len(other)) + 100
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))

    with opened(tmp_path) as (dataset, _):
        scan_sources(dataset, checksum=True)
        first, revisions = rows(dataset)["a.jpg"], set()
        rewrite(path, other.ljust(size, b"\0"), seconds_later=0)
        assert scan_sources(dataset).reused
        assert rows(dataset)["a.jpg"] == first
        for content in (jpeg(*PORTRAIT), jpeg(*PORTRAIT, seed=1), jpeg(*PORTRAIT)):
            rewrite(path, content[: size - 1].ljust(size, b"\0"), seconds_later=0)
            scan_sources(dataset, checksum=True)
            row = rows(dataset)["a.jpg"]
            revisions.add(row["revision"])
            assert (row["width"], row["height"]) == PORTRAIT
            assert row["version"] == first["version"]

    assert first["revision"] not in revisions
    assert len(revisions) == 2


def test_checksums_of_files_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    add_trouble(tmp_path)

    with opened(tmp_path) as (dataset, watched):
        watched.failing.add("good.jpg")
        report = scan_sources(dataset, checksum=True).report
        found = rows(dataset)

    assert report["drops"][DropReason.UNREADABLE] == 3
    assert [uri for uri, row in sorted(found.items()) if not row["checksum"]] == [
        "dangling.jpg",
        "good.jpg",
        "pipe.jpg",
        "é.jpg",
    ]


def test_an_unreadable_file_is_tried_again_and_changes_nothing_until_it_can_be_read(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        add_photo(tmp_path, name)

    with opened(tmp_path) as (dataset, watched):
        watched.failing.add("a.jpg")
        first = scan_sources(dataset)
        watched.opened.clear()
        again = scan_sources(dataset)
        watched.failing.clear()
        mended = scan_sources(dataset)

    assert first.report["drops"] == {DropReason.UNREADABLE: 1}
    assert again.reused
    assert again.state.output == first.state.output
    assert watched.opened == ["a.jpg", "a.jpg"]
    assert (mended.report["usable"], counts(mended.report)) == (2, (0, 1, 0))
    assert mended.state.output != first.state.output


def test_force_opens_everything_and_finds_the_same(tmp_path: Path) -> None:
    add_trouble(tmp_path)

    with opened(tmp_path) as (dataset, watched):
        first = scan_sources(dataset)
        opened_first = sorted(watched.opened)
        watched.opened.clear()
        second = scan_sources(dataset, force=True)

    assert sorted(watched.opened) == opened_first
    assert len(opened_first) == 7
    assert second.state.output == first.state.output


def test_max_pixels_rules_images_out_and_in_again(tmp_path: Path) -> None:
    add_photo(tmp_path, "small.jpg", SQUARE)
    add_photo(tmp_path, "large.jpg", (200, 100))
    with opened(tmp_path) as (dataset, _):
        first = scan_sources(dataset)

    with opened(tmp_path, images={"max_pixels": 10_000}) as (dataset, watched):
        lower = scan_sources(dataset)
        assert watched.opened == ["large.jpg"]
        watched.opened.clear()
        assert scan_sources(dataset).reused
        assert watched.opened == []
    with opened(tmp_path, images={"max_pixels": 20_000}) as (dataset, watched):
        higher = scan_sources(dataset)
        assert watched.opened == ["large.jpg"]

    assert (first.report["usable"], lower.report["usable"], higher.report["usable"]) == (2, 1, 2)
    assert lower.report["drops"] == {DropReason.TOO_MANY_PIXELS: 1}
    assert len({one.state.output for one in (first, lower, higher)}) == 3


def test_a_prefix_renames_every_image_and_opens_none(tmp_path: Path) -> None:
    add_trouble(tmp_path)
    with open_dataset(settings_in(tmp_path)) as dataset:
        scan_sources(dataset)
        before = rows(dataset)

    with open_dataset(settings_in(tmp_path, sources=[{"path": "raw", "prefix": "one/"}])) as dataset:
        report = scan_sources(dataset).report
        after = rows(dataset)

    assert counts(report) == (0, len(before), 0)
    assert after == {uri: row | {"image_id": f"one/{row['image_id']}"} for uri, row in before.items()}


def test_a_sidecar_that_changes_updates_its_image_and_opens_none(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.jpg", caption="one")
    add_photo(tmp_path, "b.jpg", caption="one")

    with opened(tmp_path) as (dataset, watched):
        first = scan_sources(dataset)
        watched.opened.clear()
        (tmp_path / "raw" / "a.txt").write_text("a longer one")
        (tmp_path / "raw" / "b.caption").write_text("another")
        second = scan_sources(dataset)

    assert counts(second.report) == (0, 2, 0)
    assert second.state.output != first.state.output
    assert watched.opened == []


def test_of_two_equal_ids_the_other_takes_over(tmp_path: Path) -> None:
    one = add_photo(tmp_path, unicodedata.normalize("NFD", "é.jpg"))
    add_photo(tmp_path, "é.jpg")

    with opened(tmp_path) as (dataset, _):
        assert scan_sources(dataset).report["drops"] == {DropReason.DUPLICATE_ID: 1}
        one.rename(tmp_path / "away.jpg")
        alone = scan_sources(dataset).report
        (tmp_path / "away.jpg").rename(one)
        both = scan_sources(dataset).report
        found = rows(dataset)

    assert (alone["seen"], alone["usable"]) == (1, 1)
    assert both["drops"] == {DropReason.DUPLICATE_ID: 1}
    assert found["é.jpg"]["reason"] == DropReason.DUPLICATE_ID


def test_the_same_id_from_two_sources_names_both_and_changes_nothing(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.jpg")
    with open_dataset(settings_in(tmp_path)) as dataset:
        scan_sources(dataset)
        before, was = rows(dataset), token(dataset)
    add_photo(tmp_path, "b.jpg")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.jpg").write_bytes(jpeg(*SQUARE))
    two = [{"path": "raw"}, {"path": "more", "name": "more"}]

    with open_dataset(settings_in(tmp_path, sources=two)) as dataset:
        with pytest.raises(SourceError) as caught:
            scan_sources(dataset)
        assert (rows(dataset), token(dataset)) == (before, was)
    assert str(caught.value) == '"a.jpg" is in both sources folder and more: give one of them a prefix'

    two[1]["prefix"] = "more/"
    with open_dataset(settings_in(tmp_path, sources=two)) as dataset:
        assert scan_sources(dataset).report["usable"] == 3


def test_a_source_that_is_no_longer_named_is_removed(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.jpg")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.jpg").write_bytes(jpeg(*SQUARE))
    two = [{"path": "raw"}, {"path": "more", "name": "more"}]
    with open_dataset(settings_in(tmp_path, sources=two)) as dataset:
        assert scan_sources(dataset).report["usable"] == 2

    with open_dataset(settings_in(tmp_path)) as dataset:
        report = scan_sources(dataset).report

    assert (report["seen"], counts(report)) == (1, (0, 0, 1))


def test_an_empty_source(tmp_path: Path) -> None:
    with opened(tmp_path) as (dataset, _):
        report = scan_sources(dataset).report
        again = scan_sources(dataset)

    assert (report["seen"], report["usable"], report["drops"], report["ignored"]) == (0, 0, {}, {})
    assert again.reused


def test_a_missing_source_changes_nothing(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.jpg")

    with opened(tmp_path) as (dataset, _):
        scan_sources(dataset)
        before, was = rows(dataset), token(dataset)
        (tmp_path / "raw").rename(tmp_path / "unmounted")
        with pytest.raises(SourceError, match="there is no such folder"):
            scan_sources(dataset)
        assert (rows(dataset), token(dataset)) == (before, was)
        (tmp_path / "unmounted").rename(tmp_path / "raw")
        assert scan_sources(dataset).reused


def test_rare_extensions_are_counted_together(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(120):
        (tmp_path / "raw" / f"log.{number}").touch()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "raw" / name).touch()

    with opened(tmp_path) as (dataset, _):
        ignored = scan_sources(dataset).report["ignored"]

    assert len(ignored) == 51
    assert ignored["mp4"] == 2
    assert sum(ignored.values()) == 122


def test_many_files_are_scanned_side_by_side(tmp_path: Path) -> None:
    files = [jpeg(*size, seed) for seed, size in enumerate((LANDSCAPE, PORTRAIT, SQUARE))]
    files.append(hostile()["text"][1])
    for number in range(3000):
        folder = tmp_path / "raw" / str(number % 7)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04d}.jpg").write_bytes(files[number % 4])

    with open_dataset(settings_in(tmp_path, work={"workers": 2})) as dataset:
        report = scan_sources(dataset).report
        found = rows(dataset)

    expected = [LANDSCAPE, PORTRAIT, SQUARE, (0, 0)]
    assert len(found) == 3000
    assert (report["usable"], report["drops"]) == (2250, {DropReason.UNSUPPORTED_FORMAT: 750})
    assert all((row["width"], row["height"]) == expected[int(uri[2:6]) % 4] for uri, row in found.items())


@pytest.mark.parametrize("number", [1, 12, 25])
def test_a_scan_that_is_killed_is_made_good_by_the_next(tmp_path: Path, number: int) -> None:
    for seed in range(25):
        add_photo(tmp_path, f"{seed}.jpg", SQUARE, seed=seed)
    child = children.start(KILLED, tmp_path, number)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL

    with opened(tmp_path) as (dataset, watched):
        assert len(rows(dataset)) == (number - 1) // 10 * 10
        first = scan_sources(dataset)

        assert not first.reused
        assert (first.report["seen"], first.report["usable"]) == (25, 25)
        assert len(watched.opened) == 25 - (number - 1) // 10 * 10


@pytest.mark.parametrize("number", [1, 12, 25])
def test_a_second_scan_that_is_killed_leaves_no_trace_in_the_end(tmp_path: Path, number: int) -> None:
    for seed in range(26):
        add_photo(tmp_path, f"{seed}.jpg", SQUARE, seed=seed)
    with opened(tmp_path) as (dataset, _):
        first = scan_sources(dataset)
    for seed in range(25):
        rewrite(tmp_path / "raw" / f"{seed}.jpg", jpeg(*PORTRAIT, seed), seconds_later=5)
    (tmp_path / "raw" / "25.jpg").unlink()

    child = children.start(KILLED, tmp_path, number)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL

    with opened(tmp_path) as (dataset, _):
        second = scan_sources(dataset)
        found = rows(dataset)
        assert scan_sources(dataset).reused
    assert second.state.output != first.state.output
    assert {uri for uri, row in found.items() if row["removed"]} == {"25.jpg"}
    assert {(row["width"], row["height"]) for row in found.values() if not row["removed"]} == {PORTRAIT}
    assert (second.report["seen"], second.report["usable"]) == (25, 25)


def test_a_killed_scan_that_had_written_everything_still_gives_a_new_token(tmp_path: Path) -> None:
    for seed in range(11):
        add_photo(tmp_path, f"{seed:02d}.jpg", SQUARE, seed=seed)
    with opened(tmp_path) as (dataset, _):
        first = scan_sources(dataset)
    for seed in range(11):
        rewrite(tmp_path / "raw" / f"{seed:02d}.jpg", jpeg(*PORTRAIT, seed), seconds_later=5)
    child = children.start(KILLED, tmp_path, 11)  # ten of the eleven are written
    child.communicate(timeout=60)
    rewrite(tmp_path / "raw" / "10.jpg", jpeg(*SQUARE, 10), seconds_later=-5)  # and the eleventh is as it was

    with opened(tmp_path) as (dataset, watched):
        second = scan_sources(dataset)

    assert watched.opened == []
    assert second.state.output != first.state.output


def test_a_scan_killed_after_its_removals_still_gives_a_new_token(tmp_path: Path) -> None:
    changed, removed = (add_photo(tmp_path, name, SQUARE) for name in ("a.jpg", "b.jpg"))
    with opened(tmp_path) as (dataset, _):
        first = scan_sources(dataset)
    rewrite(changed, changed.read_bytes(), seconds_later=5)
    removed.unlink()
    child = children.start(KILLED, tmp_path, 1)
    child.communicate(timeout=60)
    rewrite(changed, changed.read_bytes(), seconds_later=-5)

    with opened(tmp_path) as (dataset, _):
        second = scan_sources(dataset)

    assert counts(second.report) == (0, 0, 0)
    assert second.state.output != first.state.output


def test_the_workers_of_a_killed_scan_end(tmp_path: Path) -> None:
    for number in range(250):
        add_photo(tmp_path, f"{number}.jpg", (8, 8))
    told = tmp_path / "told"
    told.mkdir()
    script = tmp_path / "script.py"
    script.write_text(SLOW)
    child = children.start(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", tmp_path, told)
    workers = wait_for(lambda: [int(path.name) for path in told.iterdir()])

    child.kill()
    child.communicate(timeout=60)

    assert child.pid not in workers
    wait_for(lambda: not any(map(lives, workers)))


def lives(process: int) -> bool:
    """Return whether a process runs still; one that has ended may wait for ever for somebody to ask how."""
    try:
        state = Path("/proc", str(process), "stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def wait_for(question: Any) -> Any:
    """Return the answer as soon as it is a true one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.02)
    pytest.fail("it never came")


def test_changes_are_found_without_opening_anything(tmp_path: Path) -> None:
    photo = add_photo(tmp_path, "a.jpg", SQUARE)
    with opened(tmp_path) as (dataset, watched):
        assert find_changes(dataset) != ""
        scan_sources(dataset)
        watched.opened.clear()
        assert find_changes(dataset) == ""
        rewrite(photo, photo.read_bytes(), seconds_later=5)
        changed = find_changes(dataset)
        photo.with_suffix(".txt").write_text("a text")

        assert changed != ""
        assert find_changes(dataset) not in ("", changed)
        assert watched.opened == []


def test_what_a_scan_held_back_is_found_later(tmp_path: Path) -> None:
    with opened(tmp_path) as (dataset, _):
        scan_sources(dataset)
        add_photo(tmp_path, "young.jpg", SQUARE)
        assert scan_sources(dataset, settle_seconds=600).report["seen"] == 0

        assert find_changes(dataset, settle_seconds=600) == ""
        assert find_changes(dataset) != ""
        assert scan_sources(dataset).report["seen"] == 1
        assert find_changes(dataset) == ""
