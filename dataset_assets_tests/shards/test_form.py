"""The pattern of a sample's JSON: what the format writes matches, and its parts read as what was written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.buckets.protos import list_buckets
from dataset_assets.shards.check import Promise
from dataset_assets.shards.form import compile_form, read_origin, read_text, write_crop
from dataset_assets.shards.sample import dump_fields
from dataset_assets_tests.exports import SQUARE, bucket_of, make_draft

SETTINGS = make_draft().settings
FORM = compile_form(Promise.of_settings(SETTINGS, bucket_of(SETTINGS, SQUARE), list_buckets(SETTINGS.buckets)))
FIELDS = make_draft().sample("a.png")[2][1].decode()
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT, TEXT)
def test_what_the_format_writes_matches(image_id: str, variant: str) -> None:
    meta: dict[str, Any] = json.loads(FIELDS) | {"image_id": image_id, "caption_variant": variant}
    match = FORM.fullmatch(dump_fields(meta).decode())
    assert match is not None
    name, w, h, src_w, src_h, subsampling, crop, source, origin = match.groups()
    assert read_text(name) == image_id
    assert (int(w), int(h), int(src_w), int(src_h)) == (64, 64, 128, 128)
    assert (subsampling, source) == ("4:4:4", meta["source_sha256"])
    assert crop == write_crop(**meta["crop"])
    assert read_origin(origin) == (variant, 0, 1)


@given(st.floats(0, 1), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-1, 3))
def test_a_crop_is_written_as_the_format_writes_it(scale: float, x: int, y: int, corner: int) -> None:
    assert write_crop(scale, x, y, corner).encode() == dump_fields({"scale": scale, "x": x, "y": y, "corner": corner})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"w":64', '"w": 64'),
        ('"w":64', '"w":064'),
        ('"w":64', '"w":64.0'),
        ('"w":64', '"w":"64"'),
        ('"w":64', '"w":\N{FULLWIDTH DIGIT SIX}4'),
        ('"target_w":64', '"target_w":72'),
        ('"quality":95', '"quality":94'),
        ('"quality":95', '"quality":true'),
        ("reencode_jpeg", "passthrough_jpeg"),
        (SQUARE, "p1216x832"),
        ('"h":64', '"h":64,"h":64'),
        ('"a.png"', '"a\n.png"'),
        ('"caption_source_id":1', '"caption_source_id":-0'),
        ('"caption_source_id":1', '"caption_source_id":null'),
        ('"source_sha256":"', '"source_sha256":"X'),
        ("}", "}\n"),
        ("{", "\ufeff{"),
    ],
)
def test_what_it_does_not_write_does_not_match(old: str, new: str) -> None:
    changed = FIELDS.replace(old, new)
    assert changed != FIELDS
    assert FORM.fullmatch(FIELDS)
    assert not FORM.fullmatch(changed)


@pytest.mark.parametrize("written", [r"\u0041", r"\/", r"\ud800", r"\u00e9", r"\x", "\\"])
def test_an_escape_that_the_format_does_not_write_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"format|escape|Unterminated"):
        read_text(written)


def test_an_origin_is_read_only_as_the_format_writes_it() -> None:
    rest = ',"caption_selector_index":0,"caption_source_id":1'
    assert read_origin(f'"a\\"b"{rest}') == ('a"b', 0, 1)
    with pytest.raises(ValueError, match="format"):
        read_origin(f'"\\u0041"{rest}')
