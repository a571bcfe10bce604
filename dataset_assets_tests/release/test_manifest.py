"""manifest.json: its keys and their order, arithmetic that refuses, and an id that follows the content."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.errors import DropReason, IncompleteError, StorageError
from dataset_assets.release.check import check_manifest
from dataset_assets.release.manifest import (
    BucketShards,
    FileEntry,
    ShardEntry,
    SourceEntry,
    build_manifest,
    dump_manifest,
    export_id,
    load_manifest,
    open_manifest,
)
from dataset_assets.settings import Settings, parse_settings
from dataset_assets.storage.layout import shard_path
from dataset_assets_tests.exports import CREATED_AT, bucket_of

SETTINGS = parse_settings(
    {
        "captions": {
            "priority": [{"variant": "caption_title", "backend": "sidecar"}, {"variant": "caption_sidecar"}],
            "variants": [{"name": "caption_title", "field": "title"}, {"name": "caption_sidecar"}],
        }
    },
    folder=Path(),
)
SOURCE = SourceEntry(
    backend="openrouter", model="m", created_at=1_776_589_694, system_prompt_sha256="5" * 64, user_prompt_sha256=""
)

FILES = [
    FileEntry(path="samples.parquet", bytes=4096, sha256="a" * 64),
    FileEntry(path="buckets/p1216x832/shard-000001.json", bytes=512, sha256="b" * 64),
]


def shard(bucket_id: str, number: int, count: int) -> ShardEntry:
    return ShardEntry(path=shard_path(bucket_id, number), count=count, bytes=10240, sha256=f"{number:064x}")


def bucket(bucket_id: str, *counts: int) -> BucketShards:
    shards = tuple(shard(bucket_id, number, count) for number, count in enumerate(counts))
    return BucketShards(bucket=bucket_of(SETTINGS, bucket_id), count=sum(counts), shards=shards)


def build(settings: Settings = SETTINGS, **changes: Any) -> dict[str, Any]:
    inputs: dict[str, Any] = {
        "created_at": CREATED_AT,
        "buckets": [bucket("p1216x832", 1024, 3), bucket("p1024x1024", 10), bucket("p512x2048")],
        "caption_sources": {10: SOURCE, 2: SOURCE},
        "images_seen": 1040,
        "drops": {DropReason.DUPLICATE_ID: 1, DropReason.NO_CAPTION: 2},
        "files": FILES,
    }
    return build_manifest(settings, **inputs | changes)


def test_the_manifest_is_written_as_the_format_says() -> None:
    assert dump_manifest(build()) == (Path(__file__).parent / "manifest.json").read_bytes()
    assert check_manifest(build())[1] == []


def test_the_jitter_is_named_where_there_is_one() -> None:
    settings = parse_settings({"images": {"crop": {"corner_jitter": 4}}}, folder=Path())
    assert build(settings)["crop"] == {"strategy": "corner", "allowed_corners": [2, 3], "corner_jitter": 4}


def test_every_reason_is_counted_and_the_summary_adds_up() -> None:
    summary = build()["summary"]
    assert list(summary) == ["images_seen", "images_exported", *DropReason]
    assert summary["images_seen"] == sum(summary.values()) - summary["images_seen"] == 1040


def test_nothing_exported_is_a_manifest_too() -> None:
    manifest = build(buckets=[], caption_sources={}, images_seen=1, drops={DropReason.TOO_SMALL: 1})
    assert (manifest["buckets"], manifest["proto_buckets_1024"], manifest["caption_sources"]) == ({}, [], {})
    assert check_manifest(manifest)[1] == []


@pytest.mark.parametrize("seen", [1039, 1041])
def test_images_that_are_not_accounted_for_are_refused(seen: int) -> None:
    with pytest.raises(IncompleteError, match=f"{seen} images were seen, but 1037 are exported and 3 dropped"):
        build(images_seen=seen)


def test_shards_that_do_not_hold_their_bucket_are_refused() -> None:
    entry = BucketShards(bucket=bucket_of(SETTINGS, "p1024x1024"), count=5, shards=(shard("p1024x1024", 0, 4),))
    with pytest.raises(IncompleteError, match="bucket p1024x1024 has 5 samples, but its shards hold 4"):
        build(buckets=[entry])


def test_the_order_of_what_is_given_does_not_matter() -> None:
    buckets = [bucket("p1024x1024", 10), bucket("p512x2048"), bucket("p1216x832", 1024, 3)]
    again = build(buckets=buckets, caption_sources={2: SOURCE, 10: SOURCE}, files=FILES[::-1])
    assert dump_manifest(again) == dump_manifest(build())


def test_without_other_files_there_is_no_key_for_them() -> None:
    manifest = build(files=[])
    assert list(manifest)[-1] == "summary"
    assert [*manifest, "files"] == list(build())
    assert check_manifest(manifest)[1] == []
    assert check_manifest(manifest | {"files": []})[0] is None


@pytest.mark.parametrize(
    "path",
    [
        *("../secret", "/etc/passwd", "buckets/../x", "./x", ".", "", "a//b", "a\nb", "x/"),
        *("manifest.json", "README.md", "buckets/p1216x832/shard-000001.tar"),
    ],
)
def test_a_path_that_is_not_another_files_is_refused(path: str) -> None:
    manifest = build(files=[FileEntry(path=path, bytes=1, sha256="a" * 64)])
    assert check_manifest(manifest)[1] == [f"files: {path!r} is not the path of another file"]


def test_files_out_of_order_or_twice_are_faults() -> None:
    manifest = build()
    for files in (manifest["files"][::-1], manifest["files"][:1] * 2):
        said = check_manifest(manifest | {"files": files})[1]
        assert said == ["files are not in the string order of their paths, each once"]


def test_equal_content_has_an_equal_id() -> None:
    later = SOURCE.model_copy(update={"created_at": 2_000_000_000})
    again = build(
        created_at="2027-01-01T00:00:00.000000+00:00",
        caption_sources={2: later, 10: later},
        images_seen=1041,
        drops={DropReason.DECODE_ERROR: 4},
        files=[],
    )
    assert again["export_id"] == build()["export_id"] == export_id(build())


@pytest.mark.parametrize(
    "change",
    [
        {"settings": parse_settings({"images": {"quality": 94}}, folder=Path())},
        {"settings": parse_settings({"shards": {"shard_size": 2048}}, folder=Path())},
        {"buckets": [bucket("p1216x832", 1024, 3), bucket("p1024x1024", 9, 1)]},
        {"caption_sources": {2: SOURCE}},
    ],
)
def test_other_content_has_another_id(change: dict[str, Any]) -> None:
    assert build(**change)["export_id"] != build()["export_id"]


def test_a_manifest_comes_back(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(dump_manifest(build()))
    assert load_manifest(tmp_path / "manifest.json") == build()


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00"])
def test_what_is_no_manifest_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(StorageError, match=r"manifest\.json is not "):
        load_manifest(tmp_path / "manifest.json")
    with pytest.raises(StorageError, match="No such file"):
        load_manifest(tmp_path / "nothing.json")


def test_a_manifest_that_is_opened_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(dump_manifest(build()))
    assert open_manifest(path).export_id == build()["export_id"]
    path.write_bytes(dump_manifest(build() | {"divisible": "32"}))
    with pytest.raises(StorageError, match=r"manifest\.json is not a manifest: (?s:.*)divisible"):
        open_manifest(path)
    path.unlink()
    with pytest.raises(StorageError, match="No such file"):
        open_manifest(path)


def test_several_bases_make_version_two() -> None:
    manifest = json.loads(dump_manifest(build()))
    manifest |= {"format": "bucketed_shards_v2", "base_resolutions": [512, 256]}
    manifest["buckets"] = {f"r512_{name}": entry for name, entry in manifest["buckets"].items()}
    for name, entry in manifest["buckets"].items():
        for item in entry["shards"]:
            item["path"] = item["path"].replace(name.removeprefix("r512_"), name)
    manifest["export_id"] = export_id(manifest)
    assert check_manifest(manifest)[1] == []
    manifest["base_resolutions"] = [256, 512]
    assert len(check_manifest(manifest)[1]) == 3
