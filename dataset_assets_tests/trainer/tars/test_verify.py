"""Folders of numbered tars are verified whole, however many kinds there are."""

from pathlib import Path

import pytest

from dataset_assets.progress import Lines
from dataset_assets.trainer.tars.stage import write_numbered_tars
from dataset_assets.trainer.tars.verify import find_kinds, verify_numbered_tars
from dataset_assets_tests.trainer.chosen import choose, opening


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Three tars of twelve captions, and three of five texts of tags."""
    with opening(tmp_path, modulus=3, padding=1, text_tars=["tags"]) as dataset:
        choose(dataset, {one: f"caption {one}" for one in range(12)}, tags={one: f"tags {one}" for one in range(5)})
        write_numbered_tars(dataset, "0-2")
    return tmp_path / "out" / "export_1k"


def test_an_export_has_its_kinds(export: Path) -> None:
    (export / "notes").mkdir()
    (export / "notes.txt").touch()

    assert find_kinds(export) == [export / "captions", export / "tags"]
    assert find_kinds(export / "tags") == [export / "tags"]
    assert find_kinds(export / "notes") == []


def test_a_good_export_is_read_whole(export: Path) -> None:
    said: list[str] = []
    report = verify_numbered_tars(export, progress=Lines(said.append))

    assert report.ok
    assert (report.files, report.samples) == (6, 17)
    assert report.bytes == sum(path.stat().st_size for path in export.rglob("*.tar"))
    assert verify_numbered_tars(export / "tags").samples == 5


def test_a_fault_is_said_with_the_kind_it_is_in(export: Path) -> None:
    data = bytearray((export / "tags" / "1.tar").read_bytes())
    data[512] ^= 1
    (export / "tags" / "1.tar").write_bytes(data)
    (export / "captions" / "1.json").unlink()

    whole, part = verify_numbered_tars(export), verify_numbered_tars(export / "captions")

    assert {fault.file for fault in whole.faults} == {"tags/1.json", "captions/1.json"}
    assert [str(fault) for fault in part.faults] == ["1.json: cannot be read: No such file or directory"]


def test_a_tar_that_only_another_kind_has_is_missed(export: Path) -> None:
    for name in ("2.tar", "2.json"):
        (export / "tags" / name).unlink()

    (fault,) = verify_numbered_tars(export).faults

    assert str(fault) == "tags: 1 of 3 tars are not there, the first of them tar 2"


def test_a_tar_that_ends_too_soon_is_counted_as_far_as_it_could_be_read(export: Path) -> None:
    (export / "captions" / "0.tar").write_bytes((export / "captions" / "0.tar").read_bytes()[:1500])

    report = verify_numbered_tars(export / "captions")

    assert [fault.file for fault in report.faults] == ["0.tar"]
    assert (report.files, report.samples) == (3, 9)
