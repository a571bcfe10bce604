"""The sieve against the exact way: it clears what is right, and never what that finds a fault in."""

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset_assets.buckets.choose import NO_BUCKET, choose_buckets
from dataset_assets.buckets.protos import list_buckets
from dataset_assets.records import Bucket, sample_key
from dataset_assets.release.manifest import ShardEntry
from dataset_assets.settings import Settings
from dataset_assets.shards import sieve
from dataset_assets.shards.check import Promise
from dataset_assets.shards.examine import examine_shard
from dataset_assets.shards.report import NO_TABLES, ShardReport, Tables
from dataset_assets.shards.rows import Rows
from dataset_assets.shards.sample import MEMBERS, NO_CAPTION, dump_fields
from dataset_assets.shards.sieve import sift_shard
from dataset_assets.shards.tar import BLOCK, TarWriter
from dataset_assets_tests.exports import (
    SOURCES,
    SQUARE,
    SQUARE_0,
    WIDE_0,
    Members,
    bucket_of,
    make_draft,
    make_jpeg,
    make_sample,
    write_tar,
)

SETTINGS = make_draft().settings
BUCKETS = list_buckets(SETTINGS.buckets)
TITLE = ("caption_title", 0, 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
CAPTION = TEXT.filter(lambda text: text != "" and text[-1] not in "\n\r")


def promise_of(settings: Settings, bucket: Bucket) -> Promise:
    return replace(Promise.of_settings(settings, bucket, list_buckets(settings.buckets)), sources=SOURCES)


SQUARES = promise_of(SETTINGS, bucket_of(SETTINGS, SQUARE))


def sift(path: Path, entry: ShardEntry, promise: Promise = SQUARES, tables: Tables = NO_TABLES) -> ShardReport | None:
    with Rows() as rows:
        return sift_shard(path, entry, promise, tables, rows)


def assert_never_wrong(path: Path, entry: ShardEntry, promise: Promise = SQUARES, tables: Tables = NO_TABLES) -> bool:
    """Assert that what the sieve says is what the exact way says, if it says something, and return whether it did."""
    said = sift(path, entry, promise, tables)
    if said is None:
        return False
    assert said == examine_shard(path, entry, promise, tables)
    assert said.faults == ()
    return True


def agree(path: Path, count: int) -> ShardEntry:
    """Return an entry that agrees with a file, whatever is in it."""
    data = path.read_bytes()
    return ShardEntry(path=SQUARE_0, count=count, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


@settings(deadline=None)  # files are written
@given(st.integers(64, 9000), st.integers(64, 9000), TEXT.filter(bool), CAPTION)
def test_what_the_pipeline_makes_is_cleared(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, image_id: str, caption: str
) -> None:
    chosen = int(choose_buckets(np.array([width]), np.array([height]), BUCKETS)[0])
    assume(chosen != NO_BUCKET)
    bucket, folder = BUCKETS[chosen], tmp_path_factory.mktemp("export")
    sample = make_sample(SETTINGS, image_id, (width, height), bucket, caption, TITLE)
    entry = write_tar(folder, SQUARE_0, [sample])
    assert assert_never_wrong(folder / SQUARE_0, entry, promise_of(SETTINGS, bucket))


@pytest.mark.parametrize("batch", [1, 2, 1024])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"images": {"crop": {"strategy": "center"}}},
        {"images": {"crop": {"strategy": "random"}}},
        {"images": {"crop": {"allowed_corners": [0, 1, 3], "corner_jitter": 4}}},
        {"images": {"subsampling_policy": "444", "quality": 80}},
    ],
)
def test_tars_of_many_settings_are_cleared_with_their_tables(
    changes: dict[str, Any], batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "_BATCH", batch)
    draft = make_draft(**changes)
    draft.write(tmp_path, tables=True)
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    first = 0
    with Rows() as rows:
        for bucket_id, bucket in manifest["buckets"].items():
            promise = promise_of(draft.settings, bucket_of(draft.settings, bucket_id))
            for shard in bucket["shards"]:
                path = tmp_path / shard["path"]
                tables = Tables(samples=tmp_path / "samples.parquet", first=first, webshart=path.with_suffix(".json"))
                report = sift_shard(path, ShardEntry(**shard), promise, tables, rows)
                assert report == examine_shard(path, ShardEntry(**shard), promise, tables)
                first += shard["count"]
    assert first == 5


def tiny(**options: Any) -> bytes:
    """Return a JPEG with little in it, so that every byte of a tar can be tried."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 99, 199)).save(file, "JPEG", quality=95, subsampling="4:4:4", **options)
    return file.getvalue()


def small_sample(image_id: str = "a.png", caption: str = "a square, α") -> Members:
    bucket = bucket_of(SETTINGS, SQUARE)
    origin = TITLE if caption else NO_CAPTION
    members = make_sample(SETTINGS, image_id, (128, 131), bucket, caption, origin)
    return [(members[0][0], tiny()), *members[1:]]


@pytest.mark.parametrize("change", [0x01, 0x80])
def test_no_changed_byte_of_a_tar_is_cleared_wrongly(change: int, tmp_path: Path) -> None:
    entry = write_tar(tmp_path, SQUARE_0, [small_sample()])
    path = tmp_path / SQUARE_0
    assert assert_never_wrong(path, entry)
    good, cleared = path.read_bytes(), 0
    places = [*range(7 * BLOCK), *range(7 * BLOCK, len(good), 61), len(good) - 1]
    for place in places:
        path.write_bytes(good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])
        assert sift(path, entry) is None  # the hash is another
        cleared += assert_never_wrong(path, agree(path, 1))
    assert cleared < len(places) / 2  # pixels, tables of the JPEG, letters of the caption


def write_members(path: Path, members: Members) -> ShardEntry:
    with path.open("wb") as file:
        writer = TarWriter(file)
        for name, data in members:
            writer.add(name, data)
        writer.close()
    return agree(path, 1)


VALUES: list[Any] = [
    *(0, 1, -1, 2, 3, 64, 72, 95, 127, 128, 131, 10**9, 10**30, 0.5, 0.49, 1.0, 1e-7, True, False, None),
    *("", "a.png", "z.png", SQUARE, "p1216x832", "4:4:4", "4:2:0", "source", "passthrough_jpeg", "0" * 64, "A" * 64),
    *("caption_title", "caption_sidecar", 'q"', [], {}),
]
NAMES = [
    *("image_id", "bucket_id", "target_w", "target_h", "w", "h", "src_w", "src_h", "image_mode", "source_sha256"),
    *("caption_variant", "caption_selector_index", "caption_source_id"),
    *("jpeg.quality", "jpeg.subsampling", "crop.scale", "crop.x", "crop.y", "crop.corner", "jpeg", "crop", "more"),
]


def put(meta: dict[str, Any], name: str, value: object) -> None:
    first, _, second = name.partition(".")
    if second:
        meta[first][second] = value
    else:
        meta[first] = value


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("caption", ["a square", ""])
def test_no_changed_field_is_cleared_wrongly(name: str, caption: str, tmp_path: Path) -> None:
    cleared = []
    for value in VALUES:
        members = small_sample(caption=caption)
        meta = json.loads(members[2][1])
        put(meta, name, value)
        members[2] = (members[2][0], dump_fields(meta))
        if assert_never_wrong(tmp_path / "a.tar", write_members(tmp_path / "a.tar", members)):
            cleared.append(meta)
    assert len(cleared) <= 2  # the value that it has, and another source's hash


@settings(deadline=None)  # files are written
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=3), st.sampled_from(["", "x"]))
def test_no_changed_fields_are_cleared_wrongly(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, object]], caption: str
) -> None:
    members = small_sample(caption=caption)
    for name, value in changes:
        meta = json.loads(members[2][1])
        if "." in name and not isinstance(meta[name.partition(".")[0]], dict):
            continue
        put(meta, name, value)
        members[2] = (members[2][0], dump_fields(meta))
    path = tmp_path_factory.mktemp("export") / "a.tar"
    assert_never_wrong(path, write_members(path, members))


REWRITES: list[Callable[[bytes], bytes]] = [
    lambda data: data + b"\n",
    lambda data: b"\xef\xbb\xbf" + data,
    lambda data: data.replace(b":", b": ", 1),
    lambda data: data.replace(b"a.png", b"\\u0061.png"),
    lambda data: data.replace(b"a.png", b"\xff.png"),
    lambda data: data.replace(b"a.png", b"\\ud800"),
    lambda data: data.replace(b'"w":64', b'"w":64.0'),
    lambda data: data.replace(b'"w":64', b'"w":6_4'),
    lambda data: data.replace(b'"w":64', b'"w":64,"w":64'),
    lambda data: data.replace(b'"scale":0.5', b'"scale":5e-1'),
    lambda data: data.replace(b'"scale":0.5', b'"scale":0.50'),
    lambda data: data.replace(b'"corner":', b'"corner":-'),
    lambda data: data.replace(b'"caption_selector_index":0', b'"caption_selector_index":-0'),
    lambda data: data.replace(b'"caption_variant":"c', b'"caption_variant":"\\u0063'),
    lambda data: data.replace(b"{", b"[").replace(b"}", b"]"),
    lambda _: b"",
]


@pytest.mark.parametrize("rewrite", REWRITES)
def test_json_that_is_written_otherwise_is_not_cleared(rewrite: Callable[[bytes], bytes], tmp_path: Path) -> None:
    members = small_sample()
    rewritten = rewrite(members[2][1])
    assert rewritten != members[2][1]
    members[2] = (members[2][0], rewritten)
    assert not assert_never_wrong(tmp_path / "a.tar", write_members(tmp_path / "a.tar", members))


@pytest.mark.parametrize("text", [b"", b"x", b"x\n\n", b"x\r\n", b"\n", b"\n\n", b"\xff\n", b"x\n\0"])
def test_text_that_is_wrong_is_not_cleared(text: bytes, tmp_path: Path) -> None:
    members = small_sample()
    members[1] = (members[1][0], text)
    assert not assert_never_wrong(tmp_path / "a.tar", write_members(tmp_path / "a.tar", members))


JPEG = tiny()


@pytest.mark.parametrize(
    "jpeg",
    [
        *(b"", b"\xff\xd8", b"\xff\xd8\xff\xda\xff\xd9", JPEG[:-2], JPEG + b"\0", JPEG[:300] + b"\xff\xd9"),
        *(tiny(comment=b"hi"), tiny(icc_profile=b"p"), make_jpeg((64, 64), "4:2:0"), make_jpeg((72, 64), "4:4:4")),
        JPEG.replace(b"\xff\xc0", b"\xff\xc8"),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_a_jpeg_that_is_wrong_is_not_cleared(jpeg: bytes, before: bool, tmp_path: Path) -> None:
    members = small_sample("b.png")
    members[0] = (members[0][0], jpeg)
    good = small_sample()
    entry = write_members(tmp_path / "a.tar", good + members if before else members + good)
    assert not assert_never_wrong(tmp_path / "a.tar", entry.model_copy(update={"count": 2}))


@pytest.mark.parametrize("options", [{"optimize": True}, {"progressive": True}])
def test_a_jpeg_of_another_encoder_is_cleared(options: dict[str, Any], tmp_path: Path) -> None:
    members = small_sample("b.png")
    members[0] = (members[0][0], tiny(**options))
    entry = write_members(tmp_path / "a.tar", small_sample() + members + small_sample("c.png"))
    assert assert_never_wrong(tmp_path / "a.tar", entry.model_copy(update={"count": 3}))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_count_is_not_cleared(count: int, tmp_path: Path) -> None:
    entry = write_tar(tmp_path, SQUARE_0, [small_sample(), small_sample("b.png")])
    assert assert_never_wrong(tmp_path / SQUARE_0, entry)
    assert sift(tmp_path / SQUARE_0, entry.model_copy(update={"count": count})) is None


def test_what_cannot_be_read_is_not_cleared(tmp_path: Path) -> None:
    entry = write_tar(tmp_path, SQUARE_0, [small_sample()])
    assert sift(tmp_path / "gone.tar", entry) is None
    assert sift(tmp_path / SQUARE_0, entry, tables=Tables(samples=tmp_path / "gone.parquet")) is None
    assert sift(tmp_path / SQUARE_0, entry, tables=Tables(webshart=tmp_path / "gone.json")) is None
    (tmp_path / "samples.parquet").write_bytes(b"no Parquet")
    assert sift(tmp_path / SQUARE_0, entry, tables=Tables(samples=tmp_path / "samples.parquet")) is None


def test_a_tar_of_another_bucket_is_not_cleared(tmp_path: Path) -> None:
    draft = make_draft()
    entry = write_tar(tmp_path, WIDE_0, draft.tars[WIDE_0])
    assert assert_never_wrong(tmp_path / WIDE_0, entry, promise_of(SETTINGS, bucket_of(SETTINGS, "p1216x832")))
    assert sift(tmp_path / WIDE_0, entry) is None


@pytest.mark.parametrize("place", range(4))
def test_no_changed_byte_of_an_index_is_cleared(place: int, tmp_path: Path) -> None:
    make_draft().write(tmp_path, tables=True)
    shard = json.loads((tmp_path / "manifest.json").read_bytes())["buckets"][SQUARE]["shards"][0]
    index = (tmp_path / SQUARE_0).with_suffix(".json")
    data = index.read_bytes()
    at = place * (len(data) - 1) // 3
    tables = Tables(webshart=index)
    assert sift(tmp_path / SQUARE_0, ShardEntry(**shard), tables=tables)
    index.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert sift(tmp_path / SQUARE_0, ShardEntry(**shard), tables=tables) is None


def passed_through(jpeg: bytes, /, **changes: Any) -> Members:
    meta = {
        "image_id": "a.jpg",
        "bucket_id": SQUARE,
        "target_w": 64,
        "target_h": 64,
        "w": 100,
        "h": 104,
        "src_w": 100,
        "src_h": 104,
        "image_mode": "passthrough_jpeg",
        "jpeg": {"quality": 0, "subsampling": "source"},
        "crop": {"scale": 0.64, "x": 0, "y": 3, "corner": 2},
        "source_sha256": hashlib.sha256(jpeg).hexdigest(),
        "caption_variant": "caption_title",
        "caption_selector_index": 0,
        "caption_source_id": 1,
    }
    data = (jpeg, b"a caption\n", dump_fields(meta | changes))
    return [(f"{sample_key('a.jpg')}.{extension}", member) for extension, member in zip(MEMBERS, data, strict=True)]


PASSED = make_jpeg((100, 104), "4:2:2", comment=b"from a camera") + b"what cameras leave behind the end"


@pytest.mark.parametrize(
    ("jpeg", "changes", "right"),
    [
        (PASSED, {}, True),
        (PASSED, {"w": 104, "h": 100}, False),
        (PASSED, {"source_sha256": "0" * 64}, False),
        (PASSED, {"jpeg": {"quality": 95, "subsampling": "source"}}, False),
        (PASSED, {"jpeg": {"quality": 0, "subsampling": "4:2:0"}}, False),
        (PASSED, {"crop": {"scale": 0.64, "x": 0, "y": 2, "corner": 2}}, False),
        (make_jpeg((100, 103), "4:4:4"), {}, False),
        (b"no JPEG", {}, False),
    ],
)
def test_what_is_passed_through_is_cleared_when_it_is_right(
    jpeg: bytes, changes: dict[str, Any], right: bool, tmp_path: Path
) -> None:
    promise = replace(SQUARES, mode="passthrough_jpeg")
    entry = write_members(tmp_path / "a.tar", passed_through(jpeg, **changes))
    assert assert_never_wrong(tmp_path / "a.tar", entry, promise) is right
