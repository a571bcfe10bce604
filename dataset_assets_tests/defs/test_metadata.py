from pathlib import Path

import pytest
from dagster import TableMetadataValue

from dataset_assets.catalog.state import StageState
from dataset_assets.defs.metadata import as_line, describe, escape, make_table, tell_selected
from dataset_assets.overview.reasons import explain_reason
from dataset_assets.work import Outcome
from dataset_assets_tests.datasets import settings_in


def outcome(*, reused: bool = False, **report: object) -> Outcome:
    return Outcome(StageState(stage="shards", fingerprint="f", output="o", report=report), reused=reused)


def rows(value: object) -> list[dict[str, object]]:
    assert isinstance(value, TableMetadataValue)
    return [dict(record.data) for record in value.records]


def test_a_table_has_the_largest_first_and_names_of_equal_counts_in_order() -> None:
    table = make_table({"b": 1, "c": 5, "a": 1}, "reason", "images")

    assert rows(table) == [
        {"reason": "c", "images": 5},
        {"reason": "a", "images": 1},
        {"reason": "b", "images": 1},
    ]


def test_an_empty_table_keeps_its_columns() -> None:
    table = make_table({}, "reason", "images")

    assert isinstance(table, TableMetadataValue)
    assert [column.name for column in table.schema.columns] == ["reason", "images"]


def test_numbers_stay_numbers_and_counts_become_tables() -> None:
    shown = describe(outcome(samples=10, bytes=5, findings={"repeated": 3}))

    assert {name: shown[name] for name in ("reused", "samples", "bytes")} == {
        "reused": False, "samples": 10, "bytes": 5,
    }  # fmt: skip
    assert rows(shown["findings"]) == [{"finding": "repeated", "images": 3}]


def test_what_was_left_out_is_counted_and_each_reason_explained() -> None:
    shown = describe(outcome(drops={"skipped_empty_file": 1, "decode_errors": 2, "not_jpeg": 0}))

    assert shown["dropped"] == 3
    assert [(row["reason"], row["images"]) for row in rows(shown["drops"])] == [
        ("decode_errors", 2), ("skipped_empty_file", 1),
    ]  # fmt: skip
    assert rows(shown["drops"])[1]["meaning"] == explain_reason("skipped_empty_file")


def test_selected_captions_are_counted_by_variant_and_as_a_share() -> None:
    two = [{"variant": "a", "model": "x"}, {"variant": "b"}, {"variant": "a"}]
    variants = [{"name": name, "backend": "imported"} for name in "ab"]
    settings = settings_in(Path("/nowhere"), captions={"variants": variants, "priority": two})

    shown = tell_selected(settings, {"selected": {"0": 3, "1": 1, "2": 2}}, 8)

    assert rows(shown["selected"]) == [
        {"variant": "a", "samples": 5}, {"variant": "no caption", "samples": 2}, {"variant": "b", "samples": 1},
    ]  # fmt: skip
    assert shown["captioned_share"] == 0.75
    assert "captioned_share" not in tell_selected(settings, {"selected": {}}, 0)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain words, 1.5 — and é 猫", "plain words, 1.5 — and é 猫"),
        ("<b>|`", "<b>|`"),
        ("two\nlines\r\n\tand more ", "two lines and more"),
        ("a\0b\x1b[31mc\x85d", "a b [31mc d"),
        ("photo\u202egpj.exe\u2066 x \u2069", "photogpj.exe x"),
        ("half \ud800 a pair", "half a pair"),
        ("\u200eleft\u200f \u061cright z\u200be\u200cr\u200do\u2060 \ufeffwidth", "left right zero width"),
        ("one\u2028two\u2029three", "one two three"),
        ("", ""),
    ],
)
def test_a_line_is_one_and_has_nothing_that_is_not_seen(text: str, line: str) -> None:
    assert as_line(text) == line


def test_nothing_in_what_is_escaped_is_markup() -> None:
    assert escape("<b>|`\n*x*") == "&#60;b&#62;&#124;&#96; &#42;x&#42;"


def test_a_rate_is_of_the_run_that_made_it() -> None:
    assert describe(outcome(images_per_second=9.5, images=3))["images_per_second"] == 9.5
    assert describe(outcome(reused=True, images_per_second=9.5, images=3)) == {"reused": True, "images": 3}


def test_what_only_fingerprints_need_is_left_out() -> None:
    assert describe(outcome(inputs={"a": "b"}, digests={"a": "b"}, sources=[1])) == {"reused": False}
