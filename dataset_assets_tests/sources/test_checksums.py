from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import pytest

from dataset_assets.catalog.images import known_images
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.progress import Lines, Silence
from dataset_assets.sources import checksums
from dataset_assets.sources.checksums import fill_checksums, read_checksums
from dataset_assets.sources.headers import File
from dataset_assets.sources.scan import scan_sources
from dataset_assets_tests.datasets import add_photo, settings_in
from dataset_assets_tests.photos import hostile
from dataset_assets_tests.sources.doubles import Watched

NAMES = ["a.jpg", "b.jpg", "sub/c.jpg", "sub/d.jpg", "e.jpg"]


class Versioned(Watched):
    """A folder that remembers which version of each image was asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: dict[str, str] = {}

    def open(self, uri: str, version: str) -> BinaryIO:
        self.asked[uri] = version
        return super().open(uri, version)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    for seed, name in enumerate(NAMES):
        add_photo(tmp_path, name, seed=seed)
    return Watched(tmp_path / "raw")


@pytest.fixture
def dataset(tmp_path: Path, watched: Watched) -> Iterator[Dataset]:
    with open_dataset(settings_in(tmp_path, work={"workers": 3})) as dataset:
        yield replace(dataset, sources={"folder": watched})


def digest(folder: Path, name: str) -> str:
    return sha256((folder / "raw" / name).read_bytes()).hexdigest()


def files(*names: str) -> Iterator[File]:
    return (("folder", name, "any") for name in names)


def known(dataset: Dataset) -> dict[str, str]:
    """Return the checksum of every image of the index, by uri."""
    with dataset.catalog.reading() as connection:
        rows = known_images(connection).to_pylist()
    return {row["uri"]: row["checksum"] for row in rows}


def test_the_hashes_come_in_the_order_of_the_files(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "BATCH", 2)
    asked = [*NAMES, *reversed(NAMES)]

    found = list(read_checksums(dataset, files(*asked), len(asked), Silence()))

    assert found == [digest(tmp_path, name) for name in asked]


def test_a_file_larger_than_what_is_read_at_once(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "_CHUNK", 7)
    (tmp_path / "raw" / "empty.jpg").touch()

    found = list(read_checksums(dataset, files("a.jpg", "empty.jpg"), 2, Silence()))

    assert found == [digest(tmp_path, "a.jpg"), sha256(b"").hexdigest()]


def test_what_cannot_be_read_has_no_hash(dataset: Dataset, watched: Watched, tmp_path: Path) -> None:
    watched.failing = {"b.jpg"}
    (tmp_path / "raw" / "folder.jpg").mkdir()

    found = list(read_checksums(dataset, files("gone.jpg", "a.jpg", "b.jpg", "folder.jpg"), 4, Silence()))

    assert found == ["", digest(tmp_path, "a.jpg"), "", ""]


def test_no_files_no_hashes(dataset: Dataset) -> None:
    assert list(read_checksums(dataset, files(), 0, Silence())) == []


def test_progress_goes_file_by_file(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_assets.progress._SAY_SECONDS", 0.0)
    said: list[str] = []

    list(read_checksums(dataset, files(*NAMES), len(NAMES), Lines(said.append)))

    assert [line.partition(",")[0] for line in said] == [
        *(f"reading content: {count} of 5 files" for count in range(1, 6)),
        "reading content: 5 of 5 files",
    ]


def test_only_what_is_not_known_is_read_and_kept(
    dataset: Dataset, watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "BATCH", 2)
    scan_sources(dataset)
    watched.opened.clear()

    assert fill_checksums(dataset, Silence()) == 0
    assert known(dataset) == {name: digest(tmp_path, name) for name in NAMES}
    assert sorted(watched.opened) == sorted(NAMES)

    assert fill_checksums(dataset, Silence()) == 0
    assert len(watched.opened) == len(NAMES)


def test_a_file_that_changed_is_not_known_any_more(dataset: Dataset, watched: Watched, tmp_path: Path) -> None:
    scan_sources(dataset)
    fill_checksums(dataset, Silence())
    add_photo(tmp_path, "a.jpg", seed=9)
    scan_sources(dataset)
    watched.opened.clear()

    fill_checksums(dataset, Silence())

    assert watched.opened == ["a.jpg"]
    assert known(dataset)["a.jpg"] == digest(tmp_path, "a.jpg")


def test_what_cannot_be_read_is_counted_and_read_the_next_time(
    dataset: Dataset, watched: Watched, tmp_path: Path
) -> None:
    scan_sources(dataset)
    watched.failing = {"a.jpg", "sub/d.jpg"}

    assert fill_checksums(dataset, Silence()) == 2
    assert {name for name, checksum in known(dataset).items() if not checksum} == watched.failing

    watched.failing = {"a.jpg"}
    assert fill_checksums(dataset, Silence()) == 1
    assert known(dataset)["sub/d.jpg"] == digest(tmp_path, "sub/d.jpg")


def test_images_that_are_unusable_or_gone_are_not_read(dataset: Dataset, watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "raw" / "text.jpg").write_bytes(hostile()["text"][1])
    scan_sources(dataset)
    (tmp_path / "raw" / "e.jpg").unlink()
    scan_sources(dataset)
    watched.opened.clear()

    assert fill_checksums(dataset, Silence()) == 0
    assert sorted(watched.opened) == sorted(set(NAMES) - {"e.jpg"})
    assert (known(dataset)["text.jpg"], known(dataset)["e.jpg"]) == ("", "")


def test_a_source_is_asked_for_the_version_that_was_listed(dataset: Dataset, tmp_path: Path) -> None:
    scan_sources(dataset)
    source = Versioned(tmp_path / "raw")

    fill_checksums(replace(dataset, sources={"folder": source}), Silence())

    assert source.asked == {one.uri: one.version for one in source.list_images(Counter())}
