"""The three members of a sample, and what its JSON may hold."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.records import sample_key
from dataset_assets.shards.sample import SAMPLE_FIELDS, check_fields, dump_fields, sample_members

KEY = sample_key("cat é.png")


def good() -> dict[str, Any]:
    return {
        "image_id": "cat é.png",
        "bucket_id": "p1024x1024",
        "target_w": 512,
        "target_h": 512,
        "w": 512,
        "h": 512,
        "src_w": 1024,
        "src_h": 1024,
        "image_mode": "reencode_jpeg",
        "jpeg": {"quality": 95, "subsampling": "4:4:4"},
        "crop": {"scale": 0.5, "x": 0, "y": 0, "corner": 2},
        "source_sha256": "0" * 64,
        "caption_variant": "",
        "caption_selector_index": -1,
        "caption_source_id": -1,
    }


def test_the_members_and_their_bytes() -> None:
    text = (
        '{"image_id":"cat é.png","bucket_id":"p1024x1024","target_w":512,"target_h":512,"w":512,"h":512,'
        '"src_w":1024,"src_h":1024,"image_mode":"reencode_jpeg","jpeg":{"quality":95,"subsampling":"4:4:4"},'
        '"crop":{"scale":0.5,"x":0,"y":0,"corner":2},"source_sha256":"'
        "0000000000000000000000000000000000000000000000000000000000000000"
        '","caption_variant":"","caption_selector_index":-1,"caption_source_id":-1}'
    )
    assert sample_members(KEY, b"jpeg", "a cat,\na chat é", good()) == (
        (f"{KEY}.jpg", b"jpeg"),
        (f"{KEY}.txt", "a cat,\na chat é\n".encode()),
        (f"{KEY}.json", text.encode()),
    )


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not text.endswith(("\n", "\r"))))
def test_a_caption_comes_back_without_the_added_newline(caption: str) -> None:
    _, (_, text), _ = sample_members(KEY, b"", caption, good())
    assert text[:-1].decode() == caption
    assert text[-1:] == b"\n"


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(exclude_categories=["Cs"])))
def test_the_json_says_exactly_what_was_given(scale: float, image_id: str) -> None:
    meta = good() | {"image_id": image_id, "crop": {"scale": scale, "x": 0, "y": 0, "corner": -1}}
    data = dump_fields(meta)
    assert json.loads(data) == meta
    assert dump_fields(json.loads(data)) == data
    assert check_fields(json.loads(data)) == []


@pytest.mark.parametrize("caption", ["\n", "a cat\n", "a cat\r\n"])
def test_a_caption_that_ends_in_a_line_break_is_refused(caption: str) -> None:
    with pytest.raises(ValueError, match="ends in a line break"):
        sample_members(KEY, b"", caption, good())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"caption_variant": None}, "caption_variant is not str but NoneType"),
        ({"w": 512.0}, "w is not int but float"),
        ({"w": True}, "w is not int but bool"),
        ({"crop": {"scale": 1, "x": 0, "y": 0, "corner": 2}}, "crop.scale is not float but int"),
        ({"crop": {"scale": float("nan"), "x": 0, "y": 0, "corner": 2}}, "crop.scale is not a finite number"),
        (
            {"crop": {"x": 0, "scale": 1.0, "y": 0, "corner": 2}},
            "the fields of crop are not in the order of the format",
        ),
        ({"jpeg": {"quality": 95}}, "jpeg.subsampling is missing"),
        ({"jpeg": "4:4:4"}, "jpeg is not an object"),
        ({"a.b": 1}, "a.b is not a field of the format"),
    ],
)
def test_a_wrong_field_is_named_and_never_written(change: dict[str, Any], fault: str) -> None:
    meta = good() | change
    assert check_fields(meta) == [fault]
    with pytest.raises(ValueError, match=fault):
        sample_members(KEY, b"", "", meta)


@pytest.mark.parametrize("field", SAMPLE_FIELDS)
def test_every_field_is_needed(field: str) -> None:
    meta = good()
    del meta[field]
    assert check_fields(meta) == [f"{field} is missing"]


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_only_an_object_holds_fields(value: object) -> None:
    assert check_fields(value) == ["the JSON is not an object"]


def test_the_order_of_the_fields_is_the_formats() -> None:
    assert check_fields(good()) == []
    assert check_fields(dict(reversed(good().items()))) == ["the fields of the JSON are not in the order of the format"]
