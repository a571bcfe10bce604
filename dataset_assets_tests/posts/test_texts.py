import random
from typing import Any

import pyarrow as pa
import pytest

from dataset_assets.posts.batch import TEXT, Fields
from dataset_assets.posts.texts import TextStatus, make_texts
from dataset_assets.settings import RecordSettings
from dataset_assets_tests.posts.given import caption_as_card, caption_with_care, post

PIECES = [
    "",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u2028",
    "\u00a0",
    "\u3000",
    "\x0b",
    "\x1c",
    "\x00",
    "a",
    "b c",
    "é",
    "😀",
    "\u200b",
    ".",
]


def settings_of(mode: str = "careful", **more: Any) -> RecordSettings:
    return RecordSettings(paths=("some.jsonl",), mode=mode, **more)  # type: ignore[arg-type]


def texts_of(records: list[dict[str, Any]], settings: RecordSettings) -> dict[str, list[tuple[str, int]]]:
    """Return the text and the status of every record, by variant."""
    fields = {name: pa.array([record.get(name) for record in records], TEXT) for name in Fields.of(settings).names}
    return {
        name: list(zip(text.to_pylist(), status.tolist(), strict=True))
        for name, text, status in make_texts(fields, len(records), settings)
    }


def odd_posts(count: int, seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)

    def text() -> str | None:
        return None if chance.random() < 0.2 else "".join(chance.choices(PIECES, k=chance.randrange(6)))

    reasons = ["STOP", "STOP", "STOP", "MAX_TOKENS", "stop", "", None]
    return [post(number, text(), text(), text(), chance.choice(reasons)) for number in range(count)]


def test_careful_texts_are_tidy() -> None:
    records = [
        post(1, " a\n\nb ", "c\r\n", "x  y\tz"),
        post(2, "\n", " c", None),
        post(3, None, "", " "),
        post(4, "a", "b", "c", "X"),
    ]

    assert texts_of(records, settings_of()) == {
        "summary": [
            ("a b c", TextStatus.WHOLE),
            ("c", TextStatus.PARTIAL),
            ("", TextStatus.EMPTY),
            ("", TextStatus.ABSENT),
        ],
        "tags": [("x y z", TextStatus.WHOLE), ("", TextStatus.EMPTY), ("", TextStatus.EMPTY), ("c", TextStatus.WHOLE)],
    }


def test_faithful_texts_lose_line_breaks_and_nothing_else() -> None:
    records = [
        post(1, " a\n\nb ", "c\r\n", "x  y\tz"),
        post(2, "\n", " c", None),
        post(3, None, "", " "),
        post(4, "\r\n", None),
    ]

    assert texts_of(records, settings_of("faithful")) == {
        "summary": [
            (" ab  c", TextStatus.WHOLE),
            ("  c", TextStatus.WHOLE),
            ("", TextStatus.EMPTY),
            ("", TextStatus.EMPTY),
        ],
        "tags": [
            ("x  y\tz", TextStatus.WHOLE),
            ("", TextStatus.EMPTY),
            (" ", TextStatus.WHOLE),
            ("", TextStatus.EMPTY),
        ],
    }


@pytest.mark.parametrize("seed", range(5))
def test_texts_are_what_the_card_and_care_make_of_them(seed: int) -> None:
    records = odd_posts(400, seed)
    faithful, careful = texts_of(records, settings_of("faithful")), texts_of(records, settings_of())

    for place, record in enumerate(records):
        stopped = record["response_finish_reason"] == "STOP"
        assert faithful["summary" if stopped else "tags"][place][0] == caption_as_card(record)
        (summary, status), (tags, _) = careful["summary"][place], careful["tags"][place]
        assert (summary if status >= TextStatus.PARTIAL else tags) == caption_with_care(record)
        assert (status == TextStatus.ABSENT) == (not stopped)


def test_every_character_that_python_splits_at_is_whitespace_and_no_other() -> None:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    records = [{"tags": f"a{character}b"} for character in characters]
    settings = settings_of(variants=({"name": "tags", "join": ("tags",)},))

    found = [text for text, _ in texts_of(records, settings)["tags"]]

    assert found == [" ".join(record["tags"].split()) for record in records]


def test_any_number_of_fields_is_joined_in_their_order() -> None:
    settings = settings_of(variants=({"name": "all", "join": ("c", "a", "b", "a")},))
    records = [{"a": "1", "b": "2", "c": "3"}, {"b": "2"}, {"a": "1", "c": "3"}, {}, {"a": " ", "b": "2", "c": "\n"}]

    assert texts_of(records, settings)["all"] == [
        ("3 1 2 1", TextStatus.WHOLE),
        ("2", TextStatus.PARTIAL),
        ("3 1 1", TextStatus.PARTIAL),
        ("", TextStatus.EMPTY),
        ("2", TextStatus.PARTIAL),
    ]


def test_a_condition_is_just_the_text() -> None:
    variant = {"name": "good", "join": ("text",), "when": {"field": "rating", "equals": " ok"}}
    settings = settings_of(variants=(variant,))
    records = [{"text": "a", "rating": rating} for rating in (" ok", "ok", " OK", "", None)]

    statuses = [status for _, status in texts_of(records, settings)["good"]]

    assert statuses == [TextStatus.WHOLE, *[TextStatus.ABSENT] * 4]


def test_no_rows_have_no_texts() -> None:
    assert texts_of([], settings_of()) == {"summary": [], "tags": []}
