import math
from typing import Any

import pytest

from dataset_assets.captions.files.rows import Fault, Row, parse_row
from dataset_assets.catalog.captions import SourceIdentity

WHOLE: dict[str, Any] = {
    "image_id": "a.jpg",
    "text": " as it was \n",
    "variant": "caption_of_old",
    "backend": "openrouter",
    "model": "m",
    "system_prompt_sha256": "",
    "user_prompt_sha256": "0" * 64,
    "parameters": '{"max_tokens":300}',
    "source_created_at": 1_600_000_000,
}


def parse(
    row: dict[str, Any], variant: str | None = "caption_hand", model: str | None = None
) -> Row | tuple[Fault, str]:
    return parse_row(row, variant=variant, model=model, configured=["caption_hand", "caption_other"])


def test_a_minimal_row_is_of_the_variant_that_is_asked_for() -> None:
    assert parse({"image_id": "a.jpg", "text": " a text\n", "unknown": 3}) == Row(
        image_id="a.jpg",
        source="",
        identity=SourceIdentity(variant="caption_hand", backend="imported", model=""),
        source_created_at=0,
        said={"status": "ok", "text": "a text"},
    )


def test_a_row_comes_before_what_is_asked_for() -> None:
    row = {"image_id": "a", "text": "b", "variant": "caption_other", "model": "by hand", "backend": "person"}
    bare = {"image_id": "a", "text": "b", "variant": None, "model": None, "status": None}

    first, second = parse(row, model="m"), parse(bare, model="m")

    assert isinstance(first, Row)
    assert first.identity == SourceIdentity(variant="caption_other", backend="person", model="by hand")
    assert isinstance(second, Row)
    assert second.identity == SourceIdentity(variant="caption_hand", backend="imported", model="m")


def test_a_row_with_a_whole_identity_stays_as_it_is() -> None:
    row = parse(WHOLE | {"created_at": 5, "attempts": 2.0, "input_version": "", "source": "folder"})

    assert row == Row(
        image_id="a.jpg",
        source="folder",
        identity=SourceIdentity(
            variant="caption_of_old",
            backend="openrouter",
            model="m",
            user_prompt_sha256="0" * 64,
            parameters='{"max_tokens":300}',
        ),
        source_created_at=1_600_000_000,
        said={"status": "ok", "text": " as it was \n", "created_at": 5.0, "attempts": 2, "input_version": ""},
    )
    assert isinstance(row.said["attempts"], int)


@pytest.mark.parametrize("name", ["variant", "backend", "parameters", "system_prompt_sha256", "source_created_at"])
def test_an_identity_that_is_not_whole_needs_a_configured_variant(name: str) -> None:
    said = parse(WHOLE | {"variant": "caption_of_old", name: None}, variant=None)

    assert not isinstance(said, Row)
    assert said[0] == (Fault.NO_VARIANT if name == "variant" else Fault.UNKNOWN_VARIANT)


@pytest.mark.parametrize(
    ("text", "status", "expected"),
    [
        ("a", None, "ok"),
        ("", None, "empty"),
        (" \n\u3000", None, "empty"),
        ("", "ok", "empty"),
        ("", "refused", "refused"),
        ("a", "truncated", "truncated"),
        ("", "missing", "missing"),
    ],
)
def test_the_status(text: str, status: str | None, expected: str) -> None:
    for identity in (WHOLE, {"image_id": "a"}):
        row = parse({**identity, "text": text, "status": status})
        assert isinstance(row, Row)
        assert row.said["status"] == expected


@pytest.mark.parametrize(
    ("change", "fault", "detail"),
    [
        ({"image_id": None}, Fault.MISSING_FIELD, "no image_id"),
        ({"text": None}, Fault.MISSING_FIELD, "no text"),
        ({"image_id": 7}, Fault.BAD_VALUE, "image_id is of type int, not text"),
        ({"text": 7.5}, Fault.BAD_VALUE, "text is of type float, not text"),
        ({"text": ["a"]}, Fault.BAD_VALUE, "text is of type list, not text"),
        ({"text": "x" * ((1 << 20) + 1)}, Fault.BAD_VALUE, "text has 1,048,577 characters; 1,048,576 are allowed"),
        ({"text": "a\0"}, Fault.BAD_CHARACTERS, "text holds"),
        ({"text": "a\ud83d"}, Fault.BAD_CHARACTERS, "text holds"),
        ({"image_id": "\udce9.jpg"}, Fault.BAD_CHARACTERS, "image_id holds"),
        ({"provider": "\0"}, Fault.BAD_CHARACTERS, "provider holds"),
        ({"status": "OK"}, Fault.UNKNOWN_STATUS, 'status "OK"; allowed: ok, missing, '),
        ({"status": 1}, Fault.BAD_VALUE, "status is of type int, not text"),
        ({"variant": "caption_no"}, Fault.UNKNOWN_VARIANT, 'variant "caption_no" is not configured'),
        ({"variant": "No Name"}, Fault.BAD_VALUE, 'variant "No Name" is no name of a variant'),
        ({"attempts": "3"}, Fault.BAD_VALUE, "attempts is of type str, not a number"),
        ({"attempts": True}, Fault.BAD_VALUE, "attempts is of type bool, not a number"),
        ({"attempts": 1.5}, Fault.BAD_VALUE, "attempts is not a whole number from 0 to 2147483647"),
        ({"attempts": math.inf}, Fault.BAD_VALUE, "attempts is not a whole number"),
        ({"prompt_tokens": -1}, Fault.BAD_VALUE, "prompt_tokens is not a whole number"),
        ({"cost": math.nan}, Fault.BAD_VALUE, "cost is not a number from 0 to"),
        ({"created_at": 10**400}, Fault.BAD_VALUE, "created_at is not a number from 0 to 253402300799"),
        ({"source_created_at": 10**12}, Fault.BAD_VALUE, "source_created_at is not a whole number"),
        ({"user_prompt_sha256": "A" * 64}, Fault.BAD_VALUE, 'user_prompt_sha256 is "AAAA'),
        ({"system_prompt_sha256": "0"}, Fault.BAD_VALUE, 'system_prompt_sha256 is "0", not 64 hexadecimal digits'),
        ({"parameters": "[1]"}, Fault.BAD_VALUE, "parameters is no JSON object as text"),
        ({"parameters": "{"}, Fault.BAD_VALUE, "parameters is no JSON object as text"),
        ({"parameters": {"a": 1}}, Fault.BAD_VALUE, "parameters is of type dict, not text"),
    ],
)
def test_what_is_wrong_with_a_row(change: dict[str, Any], fault: Fault, detail: str) -> None:
    said = parse({"image_id": "a", "text": "b"} | change)

    assert not isinstance(said, Row)
    assert said[0] == fault
    assert said[1].startswith(detail)
    assert len(said[1]) < 300
    assert said[1].isascii()
    assert "\n" not in said[1]


def test_a_row_of_no_variant() -> None:
    assert parse({"image_id": "a", "text": "b"}, variant=None) == (Fault.NO_VARIANT, "no variant is named")
