"""What is wrong with numbered tars and their indexes is found and said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.shards.tar import TarWriter
from dataset_assets.trainer.tars.check import check_numbered_tars
from dataset_assets.trainer.tars.stage import write_numbered_tars
from dataset_assets_tests.trainer.chosen import choose, opening


@pytest.fixture(scope="module")
def _good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    with opening(folder, modulus=3, padding=1) as dataset:
        choose(dataset, {one: f"caption {one}" for one in range(12)})
        write_numbered_tars(dataset, "0-2")
    return folder / "out" / "export_1k" / "captions"


@pytest.fixture
def tars(_good: Path, tmp_path: Path) -> Path:
    """Three good tars of four captions each, with indexes."""
    return Path(shutil.copytree(_good, tmp_path / "captions"))


def find(folder: Path) -> list[str]:
    return [str(fault) for fault in check_numbered_tars(folder, 3)]


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    index = json.loads(path.read_bytes())
    change(index)
    path.write_text(json.dumps(index))


def write(folder: Path, members: dict[str, bytes]) -> None:
    """Write the first tar anew."""
    with (folder / "0.tar").open("wb") as file:
        tar = TarWriter(file)
        for name, data in members.items():
            tar.add(name, data)
        tar.close()


def test_good_tars_have_no_fault(tars: Path) -> None:
    assert find(tars) == []


def test_what_is_not_there_and_what_does_not_belong_there_is_said(tars: Path) -> None:
    (tars / "1.tar").unlink()
    (tars / "2.tar").rename(tars / "02.tar")
    (tars / "3.tar").touch()
    (tars / "notes.txt").touch()

    assert find(tars) == [
        "1.json: is not one of the 3 tars and their indexes",
        "2.json: is not one of the 3 tars and their indexes",
        "3.tar: is not one of the 3 tars and their indexes",
        "notes.txt: is not one of the 3 tars and their indexes",
        "1 of 3 tars are not there, the first of them tar 1",
        "the tars' names are not all as long",
        "02.json: cannot be read: No such file or directory",
    ]


def test_a_folder_that_is_not_there_lacks_every_tar(tmp_path: Path) -> None:
    assert find(tmp_path / "none") == ["3 of 3 tars are not there, the first of them tar 0"]


def test_a_tar_that_no_longer_fits_its_index_is_said(tars: Path) -> None:
    data = bytearray((tars / "0.tar").read_bytes())
    data[512] ^= 1
    (tars / "0.tar").write_bytes(data)

    hash_, lfs, member = find(tars)

    assert hash_.startswith("0.json: hash is '")
    assert lfs.startswith("0.json: hash_lfs is '")
    assert member.startswith("0.json: 0.caption: is {'offset': 512, 'size': 9, 'sha256': '")


def test_a_damaged_tar_is_said(tars: Path) -> None:
    (tars / "0.tar").write_bytes((tars / "0.tar").read_bytes()[:-1])
    data = bytearray((tars / "1.tar").read_bytes())
    data[130] ^= 1
    (tars / "1.tar").write_bytes(data)

    first, second = find(tars)

    assert first.startswith("0.tar: byte ")
    assert "the file ends where" in first
    assert second.startswith("1.tar: byte 0: ")


def shift(index: dict[str, Any]) -> None:
    index["files"]["3.caption"]["offset"] += 1


def forget(index: dict[str, Any]) -> None:
    del index["files"]["3.caption"]


def invent(index: dict[str, Any]) -> None:
    index["files"]["333.caption"] = index["files"]["3.caption"]


def grow(index: dict[str, Any]) -> None:
    index["filesize"] += 1


def swap(index: dict[str, Any]) -> None:
    index["files"] = dict(reversed(index["files"].items()))


def fill(index: dict[str, Any]) -> None:
    index["files"] |= {f"{one}.caption": {} for one in range(1000, 1030)}


@pytest.mark.parametrize(
    ("change", "count", "what"),
    [
        (shift, 1, "0.json: 3.caption: is {'offset': 1537, "),
        (forget, 1, "0.json: 3.caption: is None, the tar's is {'offset': 1536, "),
        (invent, 1, "0.json: 333.caption: is {'offset': 1536, "),
        (grow, 1, "0.json: filesize is 10241, the tar's is 10240"),
        (swap, 1, "0.json: says what the tar is, but is not written as hfutils writes it"),
        (fill, 21, "0.json: 1000.caption: is {}, the tar's is None"),
        (lambda index: index.pop("files"), 1, "0.json: is not an index: an object with `files`, an object"),
    ],
)
def test_an_index_that_is_wrong_is_said(change: Any, count: int, what: str, tars: Path) -> None:
    edit(tars / "0.json", change)

    faults = find(tars)

    assert len(faults) == count
    assert faults[0].startswith(what)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 10**5])
def test_an_index_that_is_not_json_is_said(data: bytes, tars: Path) -> None:
    (tars / "0.json").write_bytes(data)

    (fault,) = find(tars)

    assert fault.startswith("0.json: is not JSON: ")


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"4.caption": b"x"}, "0.tar: 4.caption: belongs into tar 1"),
        ({"6.caption": b"x", "3.caption": b"x"}, "0.tar: 3.caption: follows 6: ids ascend"),
        ({"3.caption": b""}, "0.tar: 3.caption: is empty: empty texts are left out"),
        ({"03.caption": b"x"}, "0.tar: 03.caption: is not named by an id"),
        ({f"{2**63}.caption": b"x"}, f"0.tar: {2**63}.caption: is not named by an id"),
        ({"3.txt": b"x"}, "the members' names end in .caption, .txt: allowed is one of them"),
    ],
)
def test_members_that_do_not_belong_there_are_said(members: dict[str, bytes], what: str, tars: Path) -> None:
    write(tars, members)

    assert what in find(tars)
