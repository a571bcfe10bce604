from pathlib import Path
from typing import Any

import pytest

from dataset_assets.compare.export import find_equal, open_export
from dataset_assets.errors import StorageError
from dataset_assets_tests.exports import SQUARE_0, SQUARE_1, WIDE_0, edit_manifest, make_draft


@pytest.fixture
def export(tmp_path: Path) -> Path:
    make_draft().write(tmp_path / "export")
    return tmp_path / "export"


def refusal(folder: Path) -> str:
    with pytest.raises(StorageError) as caught:
        open_export(folder)
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_tars_come_in_the_order_of_the_manifest(export: Path) -> None:
    opened = open_export(export)

    assert [(tar.path, tar.bucket, tar.count) for tar in opened.tars] == [
        (SQUARE_0, "p1024x1024", 2),
        (SQUARE_1, "p1024x1024", 1),
        (WIDE_0, "p1216x832", 2),
    ]


def test_a_folder_without_a_manifest_is_no_export(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} has no manifest.json: it is not a bucketed export"


def test_the_folder_above_an_export_is_told_from_it(export: Path) -> None:
    assert refusal(export.parent).endswith(f"{export} has one: compare that folder")


def test_the_folder_of_a_whole_dataset_is_told_from_its_export(export: Path, tmp_path: Path) -> None:
    (tmp_path / "project/data").mkdir(parents=True)
    there = export.rename(tmp_path / "project/data/export")

    assert refusal(tmp_path / "project").endswith(f"{there} has one: compare that folder")


def test_numbered_tars_are_called_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "captions").mkdir()
    (tmp_path / "captions/0000.tar").write_bytes(b"")

    assert "holds numbered tars of caption records" in refusal(tmp_path)
    assert "holds numbered tars of caption records" in refusal(tmp_path / "captions")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "webdataset"}, "is of the format 'webdataset'"),
        ({"format": None}, "is of the format None"),
        ({"buckets": []}, "lists no buckets"),
        ({"buckets": {"p1": {}}}, "lists no shards of the bucket 'p1'"),
        ({"buckets": {"p1": {"shards": [{"count": 1}]}}}, "lists a shard of the bucket 'p1' without a path"),
        ({"buckets": {"p1": {"shards": ["../../secret.tar"]}}}, "'../../secret.tar', which is not a path"),
        ({"buckets": {"p1": {"shards": ["/etc/secret.tar"]}}}, "'/etc/secret.tar', which is not a path"),
        ({"buckets": {"p1": {"shards": ["a.tar", "a.tar"]}}}, "lists a tar twice"),
    ],
)
def test_a_manifest_that_lists_no_tars_is_refused(export: Path, change: dict[str, Any], said: str) -> None:
    edit_manifest(export, lambda manifest: manifest.update(change), sign=False)

    assert said in refusal(export)


def test_a_manifest_that_is_no_json_is_refused(export: Path) -> None:
    (export / "manifest.json").write_text("{")

    assert "manifest.json is not JSON" in refusal(export)


def test_names_of_tars_alone_are_of_their_buckets(export: Path) -> None:
    edit_manifest(export, lambda said: said.update(buckets={"p1": {"shards": ["shard-000000.tar"]}}), sign=False)

    (tar,) = open_export(export).tars

    assert (tar.path, tar.count, tar.bytes, tar.sha256) == ("buckets/p1/shard-000000.tar", None, None, "")


def test_tars_with_the_same_path_hash_and_size_are_equal(export: Path) -> None:
    one = open_export(export)

    assert find_equal(one, one) == {SQUARE_0: 2, SQUARE_1: 1, WIDE_0: 2}


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"count": 1}, {"bytes": 7}, {"count": None}, {"sha256": ""}])
def test_tars_that_are_listed_otherwise_or_not_whole_are_not_equal(export: Path, change: dict[str, Any]) -> None:
    one = open_export(export)

    def edit(manifest: dict[str, Any]) -> None:
        manifest["buckets"]["p1216x832"]["shards"][0].update(change)

    edit_manifest(export, edit, sign=False)

    assert find_equal(one, open_export(export)) == {SQUARE_0: 2, SQUARE_1: 1}


def test_tars_that_are_gone_or_cut_off_are_not_equal(export: Path) -> None:
    one = open_export(export)
    (export / SQUARE_0).unlink()
    (export / WIDE_0).write_bytes((export / WIDE_0).read_bytes()[:-1])

    assert find_equal(one, one) == {SQUARE_1: 1}
