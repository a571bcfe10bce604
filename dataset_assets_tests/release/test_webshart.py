"""The index beside a tar: what webshart needs stands in it, and what is wrong with one is found.

webshart is no dependency of the project. What its releases read was tried by hand, docs/format.md says with which.
"""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.release.manifest import ShardEntry
from dataset_assets.release.webshart import WebshartCheck, make_webshart, webshart_path
from dataset_assets.shards.index import Row, scan_tar
from dataset_assets_tests.exports import SQUARE_0, make_draft, write_tar


@pytest.fixture
def shard(tmp_path: Path) -> ShardEntry:
    """The entry of a tar of two samples, which lies under tmp_path with its index."""
    entry = write_tar(tmp_path, SQUARE_0, make_draft().tars[SQUARE_0])
    index_of(tmp_path).write_bytes(make_webshart(entry, scan_tar(tmp_path / SQUARE_0, SQUARE_0)))
    return entry


def index_of(folder: Path) -> Path:
    return folder / webshart_path(SQUARE_0)


def test_the_index_has_the_tars_name() -> None:
    assert webshart_path("buckets/p1/shard-000007.tar") == "buckets/p1/shard-000007.json"


def test_every_member_is_where_the_index_says(shard: ShardEntry, tmp_path: Path) -> None:
    index = json.loads(index_of(tmp_path).read_bytes())

    assert list(index) == ["path", "filesize", "hash_lfs", "includes_image_geometry", "files"]
    assert (index["path"], index["filesize"], index["hash_lfs"]) == ("shard-000000.tar", shard.bytes, shard.sha256)
    assert index["includes_image_geometry"] is True
    with tarfile.open(tmp_path / SQUARE_0) as tar:
        held = [(member.name, member.offset_data, member.size) for member in tar]
    assert [(name, said["offset"], said["length"]) for name, said in index["files"].items()] == held


@pytest.mark.usefixtures("shard")
def test_what_is_known_of_an_image_stands_with_it(tmp_path: Path) -> None:
    files = json.loads(index_of(tmp_path).read_bytes())["files"]

    more = [
        {key: value for key, value in said.items() if key not in ("offset", "length")}
        for name, said in files.items()
        if name.endswith(".jpg")
    ]
    size = {"width": 64, "height": 64, "aspect": 1.0}
    assert more == [size | {"captions": "a square, α"}, size | {"captions": "two\nlines"}]
    assert all(list(said) == ["offset", "length"] for name, said in files.items() if not name.endswith(".jpg"))


def test_without_a_caption_there_is_no_key_for_it(tmp_path: Path) -> None:
    entry = write_tar(tmp_path, SQUARE_0, make_draft().tars[SQUARE_0])
    rows = [{**row, "caption": "", "w": 72, "h": 48} for row in scan_tar(tmp_path / SQUARE_0, SQUARE_0)]

    first, *_ = json.loads(make_webshart(entry, rows))["files"].values()

    assert list(first) == ["offset", "length", "width", "height", "aspect"]
    assert first["aspect"] == 1.5


def check(folder: Path, shard: ShardEntry, *, told: Callable[[Row], bool] = lambda _: True) -> list[str]:
    """Return everything that is wrong with the index; `told` chooses the samples that could be told."""
    checking = WebshartCheck(index_of(folder), shard)
    assert checking.file == "buckets/p1024x1024/shard-000000.json"
    said = [
        reason
        for row in scan_tar(folder / SQUARE_0, SQUARE_0)
        for reason in checking.compare(row["key"], row if told(row) else None)
    ]
    return said + checking.finish()


def test_a_good_index_has_no_fault(shard: ShardEntry, tmp_path: Path) -> None:
    assert check(tmp_path, shard) == []


def first_of(index: dict[str, Any]) -> dict[str, Any]:
    return next(iter(index["files"].values()))


def reverse(index: dict[str, Any]) -> None:
    index["files"] = dict(reversed(index["files"].items()))


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda index: first_of(index).update(offset=7), [".jpg: offset is 7, but in the tar it is 512"]),
        (lambda index: first_of(index).update(captions="x"), [".jpg: captions is 'x', but in the tar it is 'a square"]),
        (lambda index: first_of(index).pop("captions"), [".jpg: captions is missing, but in the tar it is 'a square"]),
        (lambda index: first_of(index).update(sha256="x"), [".jpg: sha256 is 'x', but in the tar it is missing"]),
        (lambda index: index["files"].update({next(iter(index["files"])): 3}), [".jpg: it is not an object"]),
        (lambda index: index["files"].popitem(), [".json is not in the index"]),
        (lambda index: index["files"].update(more={}), ["more is not in the tar"]),
        (lambda index: index.update(filesize=1), ["filesize is 1, but in the tar it is 30720"]),
        (lambda index: index.update(hash="x"), ["hash is 'x', but in the tar it is missing"]),
        (lambda index: index.pop("path"), ["path is missing, but in the tar it is 'shard-000000.tar'"]),
        (reverse, ["the index is not written as the format says"]),
        (lambda index: first_of(index).update(width=64.0), ["the index is not written as the format says"]),
        (lambda index: index.pop("files"), ["the file is not an index of files"]),
        (lambda index: index.update(files=[]), ["the file is not an index of files"]),
    ],
)
def test_what_an_index_says_otherwise_is_found(
    edit: Callable[[dict[str, Any]], object], expected: list[str], shard: ShardEntry, tmp_path: Path
) -> None:
    index = json.loads(index_of(tmp_path).read_bytes())
    edit(index)
    index_of(tmp_path).write_text(json.dumps(index, ensure_ascii=False, separators=(",", ":")))

    said = check(tmp_path, shard)

    assert len(said) == len(expected)
    assert all(words in reason for words, reason in zip(expected, said, strict=True)), said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 10**5, "is not JSON"),
        (b"[]", "is not an"),
    ],
)
def test_what_is_no_index_is_found(content: bytes, expected: str, shard: ShardEntry, tmp_path: Path) -> None:
    index_of(tmp_path).write_bytes(content)

    (fault,) = check(tmp_path, shard)

    assert f"the file {expected}" in fault


def test_spaces_in_an_index_are_found(shard: ShardEntry, tmp_path: Path) -> None:
    index_of(tmp_path).write_text(json.dumps(json.loads(index_of(tmp_path).read_bytes())))

    assert check(tmp_path, shard) == ["the index is not written as the format says"]


def test_an_index_that_cannot_be_read_is_said(shard: ShardEntry, tmp_path: Path) -> None:
    index_of(tmp_path).unlink()
    index_of(tmp_path).mkdir()

    assert check(tmp_path, shard) == ["the file cannot be read: Is a directory"]


def test_samples_that_cannot_be_told_are_left_out(shard: ShardEntry, tmp_path: Path) -> None:
    index = json.loads(index_of(tmp_path).read_bytes())
    index["files"].popitem()
    index_of(tmp_path).write_text(json.dumps(index))

    assert check(tmp_path, shard, told=lambda row: row["image_id"] == "a.png") == []
    assert check(tmp_path, shard, told=lambda row: row["image_id"] == "b.png") != []
