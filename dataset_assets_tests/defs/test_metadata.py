from dagster import TableMetadataValue

from dataset_assets.catalog.state import StageState
from dataset_assets.defs.metadata import describe, make_table
from dataset_assets.work import Outcome


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
    shown = describe(outcome(samples=10, bytes=5, drops={"decode_errors": 1}))

    assert {name: shown[name] for name in ("reused", "samples", "bytes")} == {
        "reused": False, "samples": 10, "bytes": 5,
    }  # fmt: skip
    assert rows(shown["drops"]) == [{"reason": "decode_errors", "images": 1}]


def test_what_only_fingerprints_need_is_left_out() -> None:
    assert describe(outcome(inputs={"a": "b"}, digests={"a": "b"}, sources=[1])) == {"reused": False}
