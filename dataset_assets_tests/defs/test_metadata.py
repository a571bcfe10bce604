from pathlib import Path

from dagster import DataVersion, MarkdownMetadataValue, TableMetadataValue

from dataset_assets.catalog.state import StageState
from dataset_assets.defs.metadata import as_result, describe, make_table, show_faults, tell_selected
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


def test_a_rate_is_of_the_run_that_made_it() -> None:
    assert describe(outcome(images_per_second=9.5, images=3))["images_per_second"] == 9.5
    assert describe(outcome(reused=True, images_per_second=9.5, images=3)) == {"reused": True, "images": 3}


def test_what_only_fingerprints_need_is_left_out() -> None:
    assert describe(outcome(inputs={"a": "b"}, digests={"a": "b"}, sources=[1])) == {"reused": False}


def test_the_first_faults_are_shown_as_text_and_cut() -> None:
    shown = show_faults(f"*fault* {number} {'x' * 400}" for number in range(30))

    assert list(shown) == ["first_faults"]
    assert isinstance(shown["first_faults"], MarkdownMetadataValue)
    assert shown["first_faults"].value is not None
    first, *lines, last = shown["first_faults"].value.splitlines()
    assert (first, last) == ("```text", "```")
    assert [line.split()[1] for line in lines] == [str(number) for number in range(20)]
    assert {len(line) for line in lines} == {301}


def test_no_fault_is_no_entry() -> None:
    assert show_faults([]) == {}


def test_the_version_of_a_result_is_what_was_made() -> None:
    result = as_result(outcome(images=3), {"images": 3})

    assert (result.data_version, result.metadata) == (DataVersion("o"), {"images": 3})
