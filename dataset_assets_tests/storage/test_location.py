from pathlib import Path

import pytest

from dataset_assets.storage.layout import Layout
from dataset_assets.storage.location import (
    check_location,
    check_pattern,
    find_files,
    find_stamp,
    list_sizes,
    look_at,
    make_folder,
    make_location,
    path_in,
    read_part,
)
from dataset_assets.storage.objects import ObjectPath
from dataset_assets_tests import children

URL = "a URL such as s3://bucket/folder"


def test_a_path_is_a_path_and_a_url_an_object(tmp_path: Path) -> None:
    assert make_location("data", tmp_path) == tmp_path / "data"
    assert make_location("/data", tmp_path) == Path("/data")
    assert make_location("file:///data", tmp_path) == Path("/data")
    assert make_location("file:///a%20b%25/%C3%BC", tmp_path) == Path("/a b%/ü")
    assert make_location("s3://bucket/data/", tmp_path) == ObjectPath("s3://bucket/data")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data", ""),
        ("/data?", ""),
        ("s3://bucket", ""),
        ("s3://bucket/data/more", ""),
        ("s3:///data", "a URL such as s3://bucket/folder"),
        ("s3://bucket/data?versionId=1", "a URL such as s3://bucket/folder"),
        ("http://host/data", f"{URL}, of s3, s3a, gs, gcs, abfs, az or memory, not http"),
        ("local:///data", f"{URL}, of s3, s3a, gs, gcs, abfs, az or memory, not local"),
        ("S3://bucket/data", f"{URL}, of s3, s3a, gs, gcs, abfs, az or memory, not S3"),
        ("gs://bucket/data", ""),
        ("memory://some/data", ""),
        ("file:///data", ""),
        ("file:///a%20b?", ""),
        ("file://data", "file:///folder, which names no machine"),
        ("file://localhost/data", "file:///folder, which names no machine"),
        ("file:///a%00b", "file:///folder, which names no machine"),
        ("s3://key:secret@bucket", "a URL without user and password: these come from the environment"),
        ("s3://[bucket", "this is no URL"),
    ],
)
def test_what_can_be_no_location_is_told(text: str, said: str) -> None:
    assert check_location(text) == said


def test_files_on_a_disk_are_told_as_they_are_when_they_are_asked_for(tmp_path: Path) -> None:
    look = look_at(tmp_path, ["one"])
    (tmp_path / "one").write_bytes(b"data")

    assert look("one").st_size == 4
    assert find_stamp(look, "one") == (tmp_path / "one").stat().st_mtime_ns
    assert find_stamp(look, "two") == 0
    with pytest.raises(FileNotFoundError):
        look("two")


def test_files_of_a_folder_are_found_with_those_below(tmp_path: Path) -> None:
    for name in ("b/c", "a", "b/a", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()

    assert list(list_sizes(tmp_path).items()) == [(".hidden", 0), ("a", 0), ("b/a", 0), ("b/c", 0)]
    found = find_files(tmp_path)

    assert list(found) == [".hidden", "a", "b/a", "b/c"]
    assert found["b/c"] == tmp_path / "b" / "c"
    assert path_in(tmp_path, found["b/c"]) == "b/c"


def test_a_part_of_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"0123456789")

    assert [read_part(tmp_path / "one", *part) for part in ((2, 3), (8, 5), (20, 1), (0, 0))] == [
        b"234",
        b"89",
        b"",
        b"",
    ]


def test_what_has_to_be_on_a_disk_is_in_the_root_or_beside_it(tmp_path: Path) -> None:
    on_a_disk, in_a_store = Layout(tmp_path), Layout(ObjectPath("s3://bucket/data"), tmp_path / "home")

    assert (on_a_disk.lock, on_a_disk.dagster_home) == (tmp_path / ".build.lock", tmp_path / ".dagster")
    assert (in_a_store.lock, in_a_store.dagster_home) == (tmp_path / "home/.build.lock", tmp_path / "home/.dagster")
    assert str(in_a_store.tar("p1216x832", 3)) == "s3://bucket/data/export/buckets/p1216x832/shard-000003.tar"
    assert tmp_path / "export" in on_a_disk.local_folders
    assert in_a_store.local_folders == (tmp_path / "home",)
    with pytest.raises(ValueError, match="needs a local folder"):
        Layout(ObjectPath("s3://bucket/data")).lock  # noqa: B018


def test_a_folder_is_made_with_those_above(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b").is_dir()


def test_nothing_is_imported_for_a_root_on_a_disk(tmp_path: Path) -> None:
    code = """
import sys
from dataset_assets.dataset import open_dataset
from dataset_assets_tests.datasets import settings_in
from pathlib import Path
import dataset_assets.shards.verify
with open_dataset(settings_in(Path(sys.argv[1]))):
    print(sorted({"s3fs", "botocore", "aiohttp"} & sys.modules.keys()))
"""
    assert children.run(code, tmp_path) == "[]"


@pytest.mark.parametrize(
    "text",
    ["captions/*.jsonl", "/srv/a?.jsonl", "s3://bucket/a.jsonl", "s3://bucket/a?.jsonl", "s3://bucket/**/#[0-9].jsonl",
     "gs://bucket/a/*", "file:///srv/a*.jsonl"],
)  # fmt: skip
def test_paths_and_urls_of_files_are_possible(text: str) -> None:
    assert check_pattern(text) == ""


@pytest.mark.parametrize(
    "text",
    ["s3://me:secret@bucket/*.jsonl", "s3://", "s3://bucket", "s3://bucket/", "s3://bucket/captions/", "s3://buck*/a.jsonl",
     "s3://bucket?/a.jsonl", "http://host/a.jsonl", "file://host/a.jsonl", "s3://bucket/a#b/c.jsonl", "s3:///a.jsonl"],
)  # fmt: skip
def test_what_is_no_url_of_files_is_said_without_secrets(text: str) -> None:
    said = check_pattern(text)

    assert said
    assert "secret" not in said
