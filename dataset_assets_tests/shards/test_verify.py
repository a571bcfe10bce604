"""A good export is clean; whatever is damaged in it is found, with the file and the sample named."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dataset_assets.buckets.protos import list_buckets
from dataset_assets.progress import Silence
from dataset_assets.records import sample_key
from dataset_assets.release.manifest import ShardEntry
from dataset_assets.shards.check import Promise
from dataset_assets.shards.report import Fault, Report
from dataset_assets.shards.sample import NO_CAPTION
from dataset_assets.shards.verify import verify, verify_shard
from dataset_assets_tests.exports import (
    SQUARE,
    SQUARE_0,
    SQUARE_1,
    WIDE,
    WIDE_0,
    Draft,
    bucket_of,
    edit_manifest,
    list_again,
    make_draft,
    make_jpeg,
    make_sample,
)

A, B, C, D, E = (sample_key(image_id) for image_id in ("a.png", "b.png", "c.png", "sub/d é.png", "e.png"))
MANIFEST, SAMPLES = "manifest.json", "samples.parquet"
SQUARE_JSON, WIDE_JSON = SQUARE_0.replace(".tar", ".json"), WIDE_0.replace(".tar", ".json")

Expected = list[tuple[str, str, str]]


def check(export: Path, workers: int = 1, *, pixels: bool = False) -> Report:
    return verify(export, workers=workers, pixels=pixels, progress=Silence())


def assert_found(report: Report, expected: Expected) -> None:
    assert [(fault.file, fault.sample) for fault in report.faults] == [(file, sample) for file, sample, _ in expected]
    for fault, (_, _, reason) in zip(report.faults, expected, strict=True):
        assert re.search(reason, fault.reason), fault
    assert not report.ok


@pytest.fixture
def export(tmp_path: Path) -> Path:
    make_draft().write(tmp_path)
    return tmp_path


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_good_export_is_clean(export: Path, workers: int) -> None:
    size = sum((export / path).stat().st_size for path in (SQUARE_0, SQUARE_1, WIDE_0))
    assert check(export, workers) == Report(faults=(), files=5, samples=5, bytes=size)
    assert check(export).ok


@pytest.mark.parametrize(
    "changes",
    [
        {"images": {"crop": {"strategy": "center"}}},
        {"images": {"crop": {"strategy": "random"}}},
        {"images": {"crop": {"allowed_corners": [0, 1, 3], "corner_jitter": 4}}},
        {"images": {"subsampling_policy": "444", "quality": 80}},
        {"images": {"subsampling_policy": "420"}},
    ],
)
def test_an_export_of_other_settings_is_clean(changes: dict[str, Any], tmp_path: Path) -> None:
    make_draft(**changes).write(tmp_path)
    assert check(tmp_path).faults == ()


def replace(image_id: str, extension: str, change: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    """Return the damage that changes the data of one member."""

    def damage(draft: Draft) -> None:
        members = draft.sample(image_id)
        index = ("jpg", "txt", "json").index(extension)
        members[index] = (members[index][0], change(members[index][1]))

    return damage


def jpeg(data: bytes) -> Callable[[Draft], None]:
    return replace("a.png", "jpg", lambda _: data)


def text(data: bytes) -> Callable[[Draft], None]:
    return replace("a.png", "txt", lambda _: data)


def fields(image_id: str = "a.png", /, **changes: Any) -> Callable[[Draft], None]:
    return lambda draft: draft.fields(image_id, **changes)


def caption(variant: str, index: int, source: int) -> Callable[[Draft], None]:
    return fields(caption_variant=variant, caption_selector_index=index, caption_source_id=source)


def crop(**changes: Any) -> Callable[[Draft], None]:
    """Return the damage to the crop of e.png, which is resized to 72x49 and cropped to 72x48."""

    def damage(draft: Draft) -> None:
        draft.fields("e.png", crop=json.loads(draft.sample("e.png")[2][1])["crop"] | changes)

    return damage


def move(draft: Draft) -> None:
    draft.tars[WIDE_0][1] = draft.tars[SQUARE_0].pop()


def repeat(draft: Draft) -> None:
    draft.tars[SQUARE_1].append(draft.sample("a.png"))


def rename(draft: Draft) -> None:
    draft.sample("a.png")[:] = [(name.replace(A, "0" * 64), data) for name, data in draft.sample("a.png")]


def shorten(draft: Draft) -> None:
    draft.sample("a.png")[:] = [(name.replace(A, A[:32]), data) for name, data in draft.sample("a.png")]


def swap(draft: Draft) -> None:
    draft.sample("b.png").append(draft.sample("b.png").pop(1))


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return make_jpeg((64, 64), "4:4:4", exif=exif)


def grey() -> bytes:
    file = BytesIO()
    Image.open(BytesIO(make_jpeg((64, 64), "4:4:4"))).convert("L").save(file, "JPEG", quality=95)
    return file.getvalue()


GOOD_JPEG = make_jpeg((64, 64), "4:4:4")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        pytest.param(jpeg(b""), [(SQUARE_0, A, "not a JPEG")], id="empty jpg"),
        pytest.param(jpeg(b"\x89PNG"), [(SQUARE_0, A, "not a JPEG")], id="not a JPEG"),
        pytest.param(jpeg(GOOD_JPEG[:-2]), [(SQUARE_0, A, "does not end in its end marker")], id="no end marker"),
        pytest.param(jpeg(GOOD_JPEG + b"\n"), [(SQUARE_0, A, "does not end in its end marker")], id="more after it"),
        pytest.param(jpeg(GOOD_JPEG[:30] + b"\xff\xd9"), [(SQUARE_0, A, "segments are damaged")], id="cut header"),
        pytest.param(jpeg(GOOD_JPEG.replace(b"\xff\xc0", b"\xff\xc8")), [(SQUARE_0, A, "no frame")], id="no frame"),
        pytest.param(jpeg(with_exif()), [(SQUARE_0, A, "more than pixels: EXIF")], id="EXIF"),
        pytest.param(
            jpeg(make_jpeg((64, 64), "4:4:4", icc_profile=b"p")),
            [(SQUARE_0, A, "pixels: ICC profile")],
            id="ICC profile",
        ),
        pytest.param(jpeg(make_jpeg((64, 64), "4:4:4", comment=b"hi")), [(SQUARE_0, A, "pixels: COM")], id="comment"),
        pytest.param(jpeg(grey()), [(SQUARE_0, A, "1 components instead of 3")], id="grey JPEG"),
        pytest.param(
            jpeg(make_jpeg((64, 64), "4:2:0")),
            [(SQUARE_0, A, "'4:4:4', but the JPEG's is 4:2:0")],
            id="other subsampling",
        ),
        pytest.param(
            jpeg(make_jpeg((72, 64), "4:4:4")),
            [(SQUARE_0, A, "64x64, but the JPEG is 72x64"), (SQUARE_0, A, "but the bucket's target is 64x64")],
            id="other size",
        ),
        pytest.param(
            fields(jpeg={"quality": 94, "subsampling": "4:4:4"}), [(SQUARE_0, A, "quality is 94")], id="other quality"
        ),
        pytest.param(
            fields("b.png", jpeg={"quality": 95, "subsampling": "4:4:4"}),
            [(SQUARE_0, B, "but the JPEG's is 4:2:0"), (SQUARE_0, B, "adaptive_scale makes it 4:2:0")],
            id="subsampling against the policy",
        ),
        pytest.param(text(b"a square"), [(SQUARE_0, A, "exactly one newline")], id="no newline"),
        pytest.param(text(b"a square\n\n"), [(SQUARE_0, A, "exactly one newline")], id="two newlines"),
        pytest.param(text(b""), [(SQUARE_0, A, "exactly one newline")], id="empty txt"),
        pytest.param(text(b"caf\xe9\n"), [(SQUARE_0, A, "not UTF-8")], id="Latin-1"),
        pytest.param(text(b"\n"), [(SQUARE_0, A, "does not fit the text")], id="origin without a caption"),
        pytest.param(caption(*NO_CAPTION), [(SQUARE_0, A, "does not fit the text")], id="caption without an origin"),
        pytest.param(
            caption("caption_title", 1, 1), [(SQUARE_0, A, "'caption_title', but caption_prio")], id="variant"
        ),
        pytest.param(caption("caption_title", 2, 1), [(SQUARE_0, A, "has 2 entries")], id="selector index"),
        pytest.param(caption("caption_title", -1, 1), [(SQUARE_0, A, "index is -1")], id="negative selector index"),
        pytest.param(caption("caption_title", 0, 9), [(SQUARE_0, A, "9 is not in caption_sources")], id="source id"),
        pytest.param(caption("caption_title", 0, 2), [(SQUARE_0, A, "not of the backend")], id="source's backend"),
        pytest.param(
            fields(caption_variant=None), [(SQUARE_0, A, "caption_variant is not str but NoneType")], id="null"
        ),
        pytest.param(fields(w="64"), [(SQUARE_0, A, "w is not int but str")], id="wrong type"),
        pytest.param(fields(source_meta={}), [(SQUARE_0, A, "source_meta is not a field")], id="a field too many"),
        pytest.param(
            fields(image_id="z.png"), [(SQUARE_0, A, "not the sha256 of image_id")], id="id of another sample"
        ),
        pytest.param(fields(target_w=72), [(SQUARE_0, A, "target is 72x64, but the bucket's is 64x64")], id="target"),
        pytest.param(fields(w=72), [(SQUARE_0, A, "72x64, but the JPEG is 64x64")], id="wrong w"),
        pytest.param(fields(bucket_id=WIDE), [(SQUARE_0, A, "but the tar is p1024x1024's")], id="bucket id"),
        pytest.param(fields(image_mode="passthrough_jpeg"), [(SQUARE_0, A, "the manifest's is reencode")], id="mode"),
        pytest.param(fields(source_sha256="0"), [(SQUARE_0, A, "source_sha256 is not 64")], id="source_sha256"),
        pytest.param(fields(src_w=0), [(SQUARE_0, A, "no image's size: 0x128")], id="no source size"),
        pytest.param(fields(src_w=10**30), [(SQUARE_0, A, "no image's size")], id="absurd source size"),
        pytest.param(
            fields(src_w=1280), [(SQUARE_0, A, "1280x128 belongs to p2048x512")], id="source of another bucket"
        ),
        pytest.param(
            fields(src_w=60, src_h=62),
            [(SQUARE_0, A, "60x62 belongs to no bucket"), (SQUARE_0, A, "60x62 covers 64x64 at 1.06")],
            id="upsampled",
        ),
        pytest.param(
            crop(scale=0.999), [(WIDE_0, E, "crop.scale is 0.999, but 72x49 covers 72x48 at 1.0")], id="scale"
        ),
        pytest.param(crop(x=1), [(WIDE_0, E, "the hash chooses 0, 1 and")], id="crop outside"),
        pytest.param(crop(y=0), [(WIDE_0, E, "the hash chooses 0, 1 and")], id="crop elsewhere"),
        pytest.param(crop(corner=0), [(WIDE_0, E, "the hash chooses 0, 1 and")], id="corner that is not allowed"),
        pytest.param(replace("a.png", "json", lambda _: b"{"), [(SQUARE_0, A, "JSON cannot be read")], id="cut JSON"),
        pytest.param(
            replace("a.png", "json", lambda _: b"[" * 10**5), [(SQUARE_0, A, "cannot be read")], id="deep JSON"
        ),
        pytest.param(replace("a.png", "json", lambda _: b"null"), [(SQUARE_0, A, "is not an object")], id="null JSON"),
        pytest.param(
            replace("a.png", "json", lambda data: data + b"\n"),
            [(SQUARE_0, A, "not written as the format")],
            id="newline",
        ),
        pytest.param(
            replace("a.png", "json", lambda data: data.replace(b'"a.png"', b'"\\ud800"')),
            [(SQUARE_0, A, "JSON cannot be read")],
            id="lone surrogate",
        ),
        pytest.param(
            replace("a.png", "json", lambda data: data.replace(b'"w":64', b'"w":1,"w":64')),
            [(SQUARE_0, A, "not written as the format")],
            id="a field twice",
        ),
        pytest.param(swap, [(SQUARE_0, B, "the members are jpg, json, txt, not jpg, txt, json")], id="swapped members"),
        pytest.param(
            lambda draft: draft.sample("a.png").pop(), [(SQUARE_0, A, "members are jpg, txt, not")], id="no json"
        ),
        pytest.param(
            lambda draft: draft.sample("a.png").pop(0), [(SQUARE_0, A, "are txt, json, not jpg")], id="no jpg"
        ),
        pytest.param(
            lambda draft: draft.sample("a.png").append((f"{A}.png", b"")),
            [(SQUARE_0, A, "members are jpg, txt, json, png, not")],
            id="a member too many",
        ),
        pytest.param(rename, [(SQUARE_0, "0" * 64, "key is not the sha256 of image_id")], id="key of another id"),
        pytest.param(
            shorten,
            [(SQUARE_0, A[:32], "not 64 hexadecimal digits"), (SQUARE_0, A[:32], "not the sha256 of image_id")],
            id="key that is no hash",
        ),
        pytest.param(repeat, [(SQUARE_1, A, f"the same sample is in {SQUARE_0}")], id="a sample in two tars"),
        pytest.param(
            move,
            [
                (WIDE_0, B, "but the tar is p1216x832's"),
                (WIDE_0, B, "target is 64x64"),
                (WIDE_0, B, "70x72 belongs to p1024x1024"),
                (WIDE_0, B, "crop.scale is"),
                (WIDE_0, B, "the bucket's target is 72x48"),
            ],
            id="a sample in the wrong bucket's tar",
        ),
    ],
)
def test_a_damaged_sample_is_found(damage: Callable[[Draft], None], expected: Expected, tmp_path: Path) -> None:
    draft = make_draft()
    damage(draft)
    draft.write(tmp_path)
    assert_found(check(tmp_path), expected)


def test_a_cut_jpeg_that_the_manifest_agrees_with_is_found_by_decoding(tmp_path: Path) -> None:
    draft = make_draft()
    jpeg(GOOD_JPEG[:-900] + b"\xff\xd9")(draft)
    draft.write(tmp_path)
    assert check(tmp_path).faults == ()
    assert_found(check(tmp_path, pixels=True), [(SQUARE_0, A, "does not decode")])


def test_where_the_hash_is_another_the_damaged_jpeg_is_named(tmp_path: Path) -> None:
    draft = make_draft()
    jpeg(GOOD_JPEG[:-900] + b"\xff\xd9")(draft)
    draft.write(tmp_path)
    edit_manifest(tmp_path, put("0" * 64, "buckets", SQUARE, "shards", 0, "sha256"))
    assert_found(check(tmp_path), [(SQUARE_0, A, "does not decode"), (SQUARE_0, "", "sha256 is")])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_good_export_is_clean_when_it_is_decoded(export: Path, workers: int) -> None:
    assert check(export, workers, pixels=True) == check(export)


def flip(path: str, needle: bytes, offset: int = 0) -> Callable[[Path], None]:
    """Return the damage of one flipped bit, `offset` bytes after `needle` in a file."""

    def damage(export: Path) -> None:
        data = bytearray((export / path).read_bytes())
        data[data.index(needle) + offset] ^= 1
        (export / path).write_bytes(data)

    return damage


def cut(path: str, size: int) -> Callable[[Path], None]:
    return lambda export: os.truncate(export / path, size)


def empty_tar(export: Path) -> None:
    (export / SQUARE_1).write_bytes(bytes(10240))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        pytest.param(flip(SQUARE_0, b"\xff\xda", 200), [(SQUARE_0, "", "file's sha256 is")], id="one bit of pixels"),
        pytest.param(flip(SQUARE_0, b"a square"), [(SQUARE_0, "", "file's sha256 is")], id="one bit of a caption"),
        pytest.param(
            flip(SQUARE_0, b"ustar"),
            [
                (SQUARE_0, "", "byte 0: the header's checksum is wrong"),
                (SQUARE_0, "", "sha256"),
                (SQUARE_0, "", "0 samples"),
            ],
            id="one bit of a header",
        ),
        pytest.param(
            cut(SQUARE_1, 600),
            [
                (SQUARE_1, "", "byte 512: the file ends"),
                (SQUARE_1, "", "has 600 bytes, but the manifest says"),
                (SQUARE_1, "", "sha256"),
                (SQUARE_1, "", "has 0 samples, but the manifest says 1"),
            ],
            id="cut tar",
        ),
        pytest.param(
            empty_tar,
            [(SQUARE_1, "", "has 10240 bytes"), (SQUARE_1, "", "sha256"), (SQUARE_1, "", "has 0 samples")],
            id="tar without samples",
        ),
        pytest.param(
            cut(SQUARE_1, 0),
            [
                (SQUARE_1, "", "byte 0: the file ends"),
                (SQUARE_1, "", "has 0 bytes"),
                (SQUARE_1, "", "sha256"),
                (SQUARE_1, "", "has 0 samples"),
            ],
            id="empty file",
        ),
        pytest.param(lambda export: (export / WIDE_0).unlink(), [(WIDE_0, "", "file is missing")], id="missing tar"),
        pytest.param(lambda export: (export / "README.md").unlink(), [("README.md", "", "missing")], id="no README"),
        pytest.param(
            lambda export: (export / "buckets" / ".shard.tar.7.writing").touch(),
            [("buckets/.shard.tar.7.writing", "", "does not list this file")],
            id="a half-written file",
        ),
        pytest.param(
            lambda export: (export / "buckets" / SQUARE / "shard-000002.tar").touch(),
            [(f"buckets/{SQUARE}/shard-000002.tar", "", "does not list this file")],
            id="a tar that is not listed",
        ),
        pytest.param(
            lambda export: (export / WIDE_0).replace(export / SQUARE_1),
            [
                (WIDE_0, "", "missing"),
                *[
                    (SQUARE_1, sample, reason)
                    for sample in (D, E)
                    for reason in ("but the tar is", "target is 72x48", "belongs to", "crop.scale", "target is 64x64")
                ],
                (SQUARE_1, "", "sha256"),
                (SQUARE_1, "", "has 2 samples"),
            ],
            id="a tar in the place of another",
        ),
        pytest.param(lambda export: (export / MANIFEST).unlink(), [(MANIFEST, "", "cannot read")], id="no manifest"),
        pytest.param(cut(MANIFEST, 100), [(MANIFEST, "", "is not JSON")], id="cut manifest"),
        pytest.param(
            lambda export: (export / MANIFEST).write_text("[" * 10**5), [(MANIFEST, "", "not JSON")], id="deep manifest"
        ),
        pytest.param(
            lambda export: (export / MANIFEST).write_bytes(b'"\xff"'), [(MANIFEST, "", "not JSON")], id="not UTF-8"
        ),
        pytest.param(
            lambda export: (export / MANIFEST).write_text("[]"), [(MANIFEST, "", "not a JSON object")], id="a list"
        ),
    ],
)
def test_a_damaged_file_is_found(damage: Callable[[Path], object], expected: Expected, export: Path) -> None:
    damage(export)
    assert_found(check(export), expected)


def put(value: object, *path: str | int) -> Callable[[dict[str, Any]], None]:
    """Return the edit that sets one value of the manifest."""

    def edit(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value

    return edit


def reverse(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: put(dict(reversed(manifest[key].items())), key)(manifest)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        pytest.param(
            put(99, "buckets", SQUARE, "count"),
            [(MANIFEST, "", "buckets hold 101"), (MANIFEST, "", "count is 99, but its shards hold 3")],
            id="bucket's count",
        ),
        pytest.param(
            put(1, "buckets", SQUARE, "shards", 0, "count"),
            [(MANIFEST, "", "count is 3, but its shards hold 2"), (SQUARE_0, "", "2 samples, but the manifest says 1")],
            id="shard's count",
        ),
        pytest.param(
            put("0" * 64, "buckets", SQUARE, "shards", 1, "sha256"), [(SQUARE_1, "", "sha256 is")], id="shard's sha256"
        ),
        pytest.param(put(7, "buckets", WIDE, "shards", 0, "bytes"), [(WIDE_0, "", "says 7")], id="shard's bytes"),
        pytest.param(
            put(2, "summary", "decode_errors"), [(MANIFEST, "", "seen is 8, but .* add up to 9")], id="counter"
        ),
        pytest.param(
            lambda manifest: manifest["summary"].update(images_exported=4, encode_errors=1),
            [(MANIFEST, "", "images_exported is 4, but the buckets hold 5")],
            id="images_exported",
        ),
        pytest.param(reverse("summary"), [(MANIFEST, "", "summary does not start with")], id="order of the summary"),
        pytest.param(lambda manifest: manifest.pop("crop"), [(MANIFEST, "", "crop: Field required")], id="no crop"),
        pytest.param(put(1, "extra"), [(MANIFEST, "", "extra: Extra inputs")], id="a key too many"),
        pytest.param(put("512", "divisible"), [(MANIFEST, "", "divisible: Input should be")], id="type"),
        pytest.param(put(None, "created_at"), [(MANIFEST, "", "created_at: Input should be")], id="null"),
        pytest.param(
            put("2026-02-27T11:42:10Z", "created_at"), [(MANIFEST, "", "created_at: String")], id="created_at"
        ),
        pytest.param(put([2, 2], "crop", "allowed_corners"), [(MANIFEST, "", "each corner once")], id="corners"),
        pytest.param(
            reverse("export_settings"), [(MANIFEST, "", "not in the order of the format")], id="order of keys"
        ),
        pytest.param(
            reverse("buckets"), [(MANIFEST, "", "buckets are not in the string order")], id="order of buckets"
        ),
        pytest.param(
            lambda manifest: manifest["proto_buckets_1024"].reverse(),
            [(MANIFEST, "", "not the protos in use")],
            id="protos",
        ),
        pytest.param(put("bucketed_shards_v2", "format"), [(MANIFEST, "", "make it bucketed_shards_v1")], id="format"),
        pytest.param(put(32, "base_resolution"), [(MANIFEST, "", "the first of base_resolutions is 64")], id="base"),
        pytest.param(
            put({"w": 72, "h": 64}, "buckets", SQUARE, "scaled"),
            [(MANIFEST, "", "should be p1024x1024, 64x64")],
            id="scaled",
        ),
        pytest.param(
            lambda manifest: manifest["buckets"][WIDE]["shards"][0].update(path="../../secret.tar"),
            [
                (MANIFEST, "", "'../../secret.tar' is not a shard's path"),
                ("../../secret.tar", "", "file is missing"),
                (WIDE_0, "", "does not list this file"),
            ],
            id="a path out of the export",
        ),
        pytest.param(
            lambda manifest: manifest["buckets"][SQUARE]["shards"].reverse(),
            [(MANIFEST, "", "not in the order of their numbers")],
            id="order of shards",
        ),
        pytest.param(
            lambda manifest: manifest["buckets"].update(p704x1344=manifest["buckets"].pop(WIDE)),
            [
                (MANIFEST, "", "p704x1344: base_resolutions and divisible make no bucket of this id"),
                (MANIFEST, "", "is not a shard's path"),
                (MANIFEST, "", "not the protos in use"),
            ],
            id="a bucket that is not in the table",
        ),
        pytest.param(
            put(65, "divisible"), [(MANIFEST, "", "base 64 with divisible 65 makes p1024x1024 0x0")], id="divisible"
        ),
        pytest.param(
            lambda manifest: manifest["caption_sources"].pop("2"),
            [(SQUARE_0, B, "2 is not in caption_sources"), (WIDE_0, E, "2 is not in caption_sources")],
            id="a source that is gone",
        ),
        pytest.param(put("drop", "missing_caption_policy"), [(SQUARE_1, C, "policy is drop")], id="policy"),
        pytest.param(
            put("center", "crop", "strategy"),
            [(file, key, "the hash chooses") for file, key in [(SQUARE_0, A), (SQUARE_0, B), (SQUARE_1, C)]]
            + [(WIDE_0, D, "the hash chooses"), (WIDE_0, E, "the hash chooses")],
            id="crop strategy",
        ),
    ],
)
def test_a_wrong_manifest_is_found(edit: Callable[[dict[str, Any]], object], expected: Expected, export: Path) -> None:
    edit_manifest(export, edit)
    assert_found(check(export), expected)


def test_another_version_may_count_and_set_more(export: Path) -> None:
    edit_manifest(export, lambda manifest: manifest["summary"].update(skipped_by_a_later_rule=0))
    edit_manifest(export, put("a later setting", "export_settings", "resampling"))
    assert check(export).ok


def test_a_whole_number_for_a_decimal_is_found(tmp_path: Path) -> None:
    make_draft(images={"adaptive_scale_threshold": 1.0}).write(tmp_path)
    assert check(tmp_path).ok
    edit_manifest(tmp_path, put(1, "image_codec", "adaptive_scale_threshold"))
    assert_found(check(tmp_path), [(MANIFEST, "", "a number is not of its type")])


def test_a_manifest_of_other_content_is_found(export: Path) -> None:
    edit_manifest(export, put(512, "export_settings", "max_pixels"), sign=False)
    assert_found(check(export), [(MANIFEST, "", "export_id is [0-9a-f]{16}, but the content's is")])


def test_what_a_host_puts_beside_an_export_is_not_its_content(export: Path) -> None:
    (export / ".gitattributes").touch()
    (export / ".cache" / "huggingface").mkdir(parents=True)
    (export / ".cache" / "huggingface" / "manifest.json.metadata").touch()
    assert check(export).ok


def test_an_unreadable_folder_is_a_fault(tmp_path: Path) -> None:
    assert [fault.file for fault in check(tmp_path / "nothing").faults] == [MANIFEST, "README.md"]


def test_faults_are_the_same_at_every_degree_of_parallelism(tmp_path: Path) -> None:
    draft = make_draft()
    draft.fields("a.png", w=1)
    draft.fields("e.png", w=1)
    repeat(draft)
    draft.write(tmp_path)
    assert check(tmp_path, workers=2) == check(tmp_path, workers=1)
    assert len(check(tmp_path).faults) == 4


def test_processes_find_what_threads_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = make_draft()
    draft.fields("e.png", w=1)
    draft.write(tmp_path, tables=True)
    threads = check(tmp_path, workers=2)
    monkeypatch.setattr("dataset_assets.shards.pool._WORTH_A_PROCESS", 1)
    assert check(tmp_path, workers=2) == threads
    assert [fault.sample for fault in threads.faults] == [E]


def test_a_fault_in_every_sample_is_not_listed_without_end(tmp_path: Path) -> None:
    draft = make_draft(shards={"shard_size": 500})
    samples = [
        make_sample(draft.settings, f"{number}.png", (64, 64), bucket_of(draft.settings, SQUARE), "x", NO_CAPTION)
        for number in range(130)
    ]
    draft.tars = {SQUARE_0: samples}
    draft.write(tmp_path)
    faults = check(tmp_path).faults
    assert len(faults) == 101
    assert faults[-1] == Fault(SQUARE_0, "", "and 30 more faults that are not listed")


def test_one_tar_is_checked_before_there_is_a_manifest(export: Path) -> None:
    settings = make_draft().settings
    promise = Promise.of_settings(settings, bucket_of(settings, SQUARE), list_buckets(settings.buckets))
    listed = json.loads((export / MANIFEST).read_bytes())["buckets"][SQUARE]["shards"][0]
    report = verify_shard(export / SQUARE_0, ShardEntry(**listed), promise)
    assert (report.faults, report.samples, report.bytes) == ((), 2, listed["bytes"])
    assert report.digests.hex() == A + B
    wrong = verify_shard(export / SQUARE_0, ShardEntry(**listed | {"count": 3}), promise)
    assert [(fault.file, fault.reason) for fault in wrong.faults] == [
        (SQUARE_0, "the file has 2 samples, but the manifest says 3")
    ]
    gone = verify_shard(export / "gone.tar", ShardEntry(**listed), promise)
    assert [fault.reason for fault in gone.faults] == ["the file cannot be read: No such file or directory"]


def test_a_report_is_json(export: Path) -> None:
    (export / "README.md").unlink()
    assert json.loads(json.dumps(check(export).to_dict())) == {
        "ok": False,
        "faults": [{"file": "README.md", "sample": "", "reason": "the file is missing"}],
        "files": 4,
        "samples": 5,
        "bytes": sum((export / path).stat().st_size for path in (SQUARE_0, SQUARE_1, WIDE_0)),
    }
    assert str(check(export).faults[0]) == "README.md: the file is missing"


@pytest.mark.parametrize("name", [".DS_Store", "buckets/p1024x1024/Thumbs.db", "buckets/.nfs0001"])
def test_what_desktops_leave_is_no_fault(export: Path, name: str) -> None:
    (export / name).touch()

    assert check(export).ok


def test_the_card_of_another_export_is_a_fault(export: Path) -> None:
    (export / "README.md").write_text("- **Export ID**: `0123456789abcdef`\n")

    (fault,) = check(export).faults

    assert fault.file == "README.md"
    assert "0123456789abcdef" in fault.reason


@pytest.fixture
def with_tables(tmp_path: Path) -> Path:
    """A good export with every table that may lie beside its tars."""
    make_draft().write(tmp_path, tables=True)
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2])
def test_an_export_with_tables_is_clean(with_tables: Path, workers: int) -> None:
    report = check(with_tables, workers)

    assert (report.faults, report.files, report.samples) == ((), 9, 5)


def edit_table(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    """Return the damage to samples.parquet that the manifest agrees with."""

    def damage(export: Path) -> None:
        pq.write_table(change(pq.read_table(export / SAMPLES)), export / SAMPLES, row_group_size=2)
        list_again(export, SAMPLES)

    return damage


def put_cell(row: int, column: str, value: object) -> Callable[[Path], None]:
    def change(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        rows[row][column] = value
        return pa.Table.from_pylist(rows, schema=pa.schema([field.with_nullable(True) for field in table.schema]))

    return edit_table(change)


def edit_index(path: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Return the damage to a tar's index that the manifest agrees with."""

    def damage(export: Path) -> None:
        index = json.loads((export / path).read_bytes())
        change(index)
        (export / path).write_text(json.dumps(index, ensure_ascii=False, separators=(",", ":")))
        list_again(export, path)

    return damage


def rewrite(path: str, data: bytes) -> Callable[[Path], None]:
    """Return the damage that makes a file another one, which the manifest agrees with."""

    def damage(export: Path) -> None:
        (export / path).write_bytes(data)
        list_again(export, path)

    return damage


def make_folder(path: str) -> Callable[[Path], None]:
    def damage(export: Path) -> None:
        (export / path).unlink()
        (export / path).mkdir()

    return damage


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        pytest.param(lambda export: (export / SAMPLES).unlink(), [(SAMPLES, "", "file is missing")], id="no table"),
        pytest.param(
            lambda export: (export / WIDE_JSON).unlink(), [(WIDE_JSON, "", "file is missing")], id="no index"
        ),
        pytest.param(
            make_folder(SAMPLES), [(SAMPLES, "", "file is missing")], id="a folder in the place of the table"
        ),
        pytest.param(
            cut(SAMPLES, 500),
            [
                (SAMPLES, "", "has 500 bytes, but the manifest says"),
                (SAMPLES, "", "sha256 is"),
                (SAMPLES, "", "cannot be read as Parquet"),
            ],
            id="cut table",
        ),
        pytest.param(
            flip(WIDE_JSON, b'"offset":', 1),
            [(WIDE_JSON, "", "sha256 is"), (WIDE_JSON, D, "nffset is 512, but in the tar it is missing"),
             (WIDE_JSON, D, "offset is missing, but in the tar it is 512")],
            id="one bit of an index",
        ),
        pytest.param(put_cell(1, "jpg_offset", 7), [(SAMPLES, B, "jpg_offset is 7, but in the tar")], id="offset"),
        pytest.param(put_cell(4, "txt_size", 1), [(SAMPLES, E, "txt_size is 1, but in the tar it is 9")], id="size"),
        pytest.param(put_cell(2, "caption", "x"), [(SAMPLES, C, "caption is 'x', but in the tar it is ''")], id="text"),
        pytest.param(put_cell(3, "w", 64), [(SAMPLES, D, "w is 64, but in the tar it is 72")], id="field"),
        pytest.param(put_cell(0, "crop_scale", None), [(SAMPLES, A, "crop_scale is None, but in the")], id="null"),
        pytest.param(put_cell(0, "shard", WIDE_0), [(SAMPLES, A, "shard is '.*, but in the tar it is")], id="shard"),
        pytest.param(put_cell(0, "key", "x"), [(SAMPLES, A, "row 0, where the sample belongs, has key 'x'")], id="key"),
        pytest.param(
            edit_table(lambda table: table.slice(1)),
            [(SAMPLES, "", "has 4 rows, but the buckets hold 5 samples")],
            id="a row too few",
        ),
        pytest.param(
            edit_table(lambda table: table.take([1, 0, 2, 3, 4])),
            [(SAMPLES, A, "row 0, where"), (SAMPLES, B, "row 1, where")],
            id="rows in another order",
        ),
        pytest.param(
            edit_table(lambda table: table.drop_columns("caption")),
            [(SAMPLES, "", "caption string missing, none too many")],
            id="a column too few",
        ),
        pytest.param(rewrite(SAMPLES, b"x"), [(SAMPLES, "", "cannot be read as Parquet")], id="no Parquet"),
        pytest.param(rewrite(SQUARE_JSON, b"x"), [(SQUARE_JSON, "", "is not JSON")], id="no JSON"),
        pytest.param(
            edit_index(SQUARE_JSON, lambda index: index["files"][f"{B}.txt"].update(offset=1)),
            [(SQUARE_JSON, B, f"{B}.txt: offset is 1, but in the tar it is")],
            id="offset in an index",
        ),
        pytest.param(
            edit_index(SQUARE_JSON, lambda index: index.update(filesize=1)),
            [(SQUARE_JSON, "", "filesize is 1, but in the tar it is 30720")],
            id="size of the tar in an index",
        ),
        pytest.param(
            lambda export: (export / WIDE_JSON).rename(export / "buckets" / WIDE / "shard-000001.json"),
            [
                (WIDE_JSON, "", "file is missing"),
                (f"buckets/{WIDE}/shard-000001.json", "", "the manifest does not list this file"),
            ],
            id="an index that is not listed",
        ),
    ],
)  # fmt: skip
def test_a_damaged_table_is_found(damage: Callable[[Path], object], expected: Expected, with_tables: Path) -> None:
    damage(with_tables)
    assert_found(check(with_tables), expected)


@pytest.mark.parametrize("key", [("bytes", 7), ("sha256", "0" * 64)])
def test_a_file_that_the_manifest_says_something_else_of_is_found(key: tuple[str, object], with_tables: Path) -> None:
    edit_manifest(with_tables, lambda manifest: manifest["files"][-1].update([key]))
    assert_found(check(with_tables), [(SAMPLES, "", f"but the manifest says {key[1]}")])


def test_a_table_that_the_manifest_does_not_list_is_found(with_tables: Path) -> None:
    edit_manifest(with_tables, lambda manifest: manifest.pop("files"))
    assert {str(fault) for fault in check(with_tables).faults} == {
        f"{path}: the manifest does not list this file"
        for path in (SAMPLES, SQUARE_JSON, WIDE_JSON, SQUARE_1.replace(".tar", ".json"))
    }


def test_a_sample_at_fault_is_named_once_and_its_neighbours_are_compared(with_tables: Path) -> None:
    put_cell(1, "w", 1)(with_tables)
    put_cell(0, "w", 1)(with_tables)
    flip(SQUARE_0, b'"a.png"', 1)(with_tables)  # whose key is no longer that of its id
    assert_found(
        check(with_tables),
        [
            (SQUARE_0, A, "not the sha256 of image_id"),
            (SQUARE_0, A, "the hash chooses"),
            (SQUARE_0, "", "sha256"),
            (SAMPLES, B, "w is 1, but in the tar it is 64"),
        ],
    )


def test_a_cut_tar_is_compared_as_far_as_it_goes(with_tables: Path) -> None:
    put_cell(0, "w", 1)(with_tables)
    edit_index(SQUARE_JSON, lambda index: index["files"].update(more={}))(with_tables)
    data = (with_tables / SQUARE_0).read_bytes()
    os.truncate(with_tables / SQUARE_0, data.index(f"{B}.txt".encode()) + 600)
    report = check(with_tables)
    assert [str(fault) for fault in report.faults if fault.file in (SAMPLES, SQUARE_JSON)] == [
        f"{SAMPLES}: {A}: w is 1, but in the tar it is 64"
    ]
    assert {fault.file for fault in report.faults} == {SAMPLES, SQUARE_0}


def test_another_version_may_list_more_files(with_tables: Path) -> None:
    (with_tables / "extra").mkdir()
    (with_tables / "extra" / "embeddings.npy").write_bytes(b"numbers")
    entry = {"path": "extra/embeddings.npy", "bytes": 7, "sha256": hashlib.sha256(b"numbers").hexdigest()}
    edit_manifest(
        with_tables,
        lambda manifest: manifest.update(files=sorted([*manifest["files"], entry], key=lambda file: file["path"])),
    )
    assert check(with_tables).ok
    (with_tables / "extra" / "embeddings.npy").write_bytes(b"nambers")
    assert_found(check(with_tables), [("extra/embeddings.npy", "", "sha256 is")])


def test_faults_of_a_table_do_not_hide_those_of_a_tar(tmp_path: Path) -> None:
    draft = make_draft(shards={"shard_size": 500})
    draft.tars = {
        SQUARE_0: [
            make_sample(draft.settings, f"{number}.png", (64, 64), bucket_of(draft.settings, SQUARE), "", NO_CAPTION)
            for number in range(130)
        ]
    }
    draft.write(tmp_path, tables=True)
    edit_table(lambda table: table.set_column(0, table.schema.field(0), pa.array(["x"] * 130)))(tmp_path)
    flip(SQUARE_0, b"\xff\xda", 200)(tmp_path)

    faults = check(tmp_path).faults

    files = [fault.file for fault in faults]
    assert files.count(SAMPLES) == 101
    assert str(faults[-1]) == f"{SAMPLES}: and 30 more faults that are not listed"
    assert files.count(SQUARE_0) == 1
