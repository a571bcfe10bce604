import os
from dataclasses import replace
from pathlib import Path

import pytest

from dataset_assets.catalog.state import Piece
from dataset_assets.damage import (
    INDEX,
    INDEX_VERSION,
    MODIFIED,
    describe_folder,
    find_damage,
    is_indexed,
    is_whole,
    recorded_sizes,
)
from dataset_assets.storage.layout import Layout
from dataset_assets_tests.datasets import on_disk

TAR = Piece(
    stage="shards",
    path="export/a.tar",
    bytes=3,
    facts={INDEX: {"path": "index/a.parquet", "bytes": 5, "version": INDEX_VERSION}},
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    for path, size in (("export/a.tar", 3), ("index/a.parquet", 5)):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_bytes(bytes(size))
    return Layout(tmp_path)


def test_files_as_they_were_written_have_no_damage(layout: Layout) -> None:
    assert (find_damage(layout, TAR), is_whole(layout, TAR), is_indexed(layout, TAR)) == ("", True, True)


def test_a_piece_without_a_file_has_no_damage(layout: Layout) -> None:
    nothing = Piece(stage="shards", path="", bytes=0, facts={"count": 0})

    assert (find_damage(layout, nothing), is_whole(layout, nothing), is_indexed(layout, nothing)) == ("", True, True)


@pytest.mark.parametrize(
    ("size", "said"),
    [(None, "export/a.tar: No such file or directory"), (4, "export/a.tar: 4 bytes, 3 were written")],
)
def test_the_file_itself_is_looked_at_first(layout: Layout, size: int | None, said: str) -> None:
    (on_disk(layout.root / TAR.path)).unlink()
    (on_disk(layout.root / "index/a.parquet")).unlink()
    if size:
        (on_disk(layout.root / TAR.path)).write_bytes(bytes(size))

    assert (find_damage(layout, TAR), is_whole(layout, TAR)) == (said, False)


@pytest.mark.parametrize(
    ("size", "said"),
    [(None, "index/a.parquet: No such file or directory"), (0, "index/a.parquet: 0 bytes, 5 were written")],
)
def test_a_tar_without_its_index_is_whole_and_damaged(layout: Layout, size: int | None, said: str) -> None:
    (on_disk(layout.root / "index/a.parquet")).unlink()
    if size is not None:
        (on_disk(layout.root / "index/a.parquet")).write_bytes(bytes(size))

    assert (find_damage(layout, TAR), is_whole(layout, TAR), is_indexed(layout, TAR)) == (said, True, False)


@pytest.mark.parametrize("version", [None, INDEX_VERSION - 1, INDEX_VERSION + 1])
def test_an_index_of_another_version_is_none(layout: Layout, version: int | None) -> None:
    facts = {INDEX: {**TAR.facts[INDEX], "version": version}} if version is not None else {}

    damage = find_damage(layout, replace(TAR, facts=facts))

    assert damage == "export/a.tar: has no index of this version"


def test_the_index_is_looked_at_where_tars_are_made_and_nowhere_else(layout: Layout) -> None:
    (on_disk(layout.root / "index/a.parquet")).unlink()

    assert find_damage(layout, replace(TAR, stage="shards_intact", facts={})) == ""


def test_a_time_counts_where_it_is_known(layout: Layout) -> None:
    modified = (layout.root / TAR.path).stat().st_mtime_ns
    known = replace(TAR, facts={**TAR.facts, MODIFIED: modified})
    assert find_damage(layout, known) == ""

    os.utime(on_disk(layout.root / TAR.path), ns=(1, 1))

    assert find_damage(layout, known) == "export/a.tar: touched since"
    assert find_damage(layout, TAR) == ""


def test_a_piece_that_is_a_whole_folder_has_each_of_its_files(layout: Layout) -> None:
    folder = on_disk(layout.root / "gallery")
    for name in ("index.html", "data/a.js", "pictures/ab/1.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(7))
    facts = describe_folder(layout, layout.root / "gallery")
    page = Piece(stage="gallery", path="gallery/index.html", bytes=7, facts=facts)

    assert recorded_sizes(page) == {"data/a.js": 7, "index.html": 7, "pictures/ab/1.jpg": 7}
    (folder / "data" / ".DS_Store").touch()
    (folder / "notes.txt").touch()
    assert find_damage(layout, page) == ""
    (folder / "data" / "a.js").write_bytes(b"")
    assert find_damage(layout, page) == "gallery/data/a.js: 0 bytes, 7 were written"
    (folder / "data" / "a.js").rename(folder / "data" / "b.js")
    assert find_damage(layout, page) == "gallery/data/a.js: No such file or directory"
    (folder / "pictures" / "ab" / "1.jpg").unlink()
    assert find_damage(layout, page) == "gallery/data/a.js: No such file or directory, and 1 more"
    (folder / "index.html").unlink()
    assert find_damage(layout, page) == "gallery/index.html: No such file or directory"
