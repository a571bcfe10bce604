from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.posts import tables
from dataset_assets.posts.batch import Fields
from dataset_assets.posts.faults import Faults, read_list
from dataset_assets.posts.tables import TableReader

FIELDS = Fields(id="id", names=("text", "more"))


def read(folder: Path, table: pa.Table, *, fields: Fields = FIELDS, **options: Any) -> tuple[list[Any], list[Any]]:
    """Return the rows of a table as (row, id, texts …), and its faults as (row, fault, detail)."""
    path = folder / "some.parquet"
    pq.write_table(table, path, **options)
    return read_file(path, fields)


def read_file(path: Path, fields: Fields = FIELDS) -> tuple[list[Any], list[Any]]:
    listed = path.with_name("faults")
    with Faults(path.name, listed) as faults:
        reader = TableReader(fields, faults)
        rows: list[Any] = []
        for batch in reader.read(path):
            columns = [
                batch.lines.tolist(),
                batch.ids.tolist(),
                *(batch.texts[one].to_pylist() for one in fields.names),
            ]
            rows += zip(*columns, strict=True)
    assert reader.rows == len(rows) + faults.dropped
    return rows, [(one["line"], one["fault"], one["detail"]) for one in read_list(listed)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("number", [pa.int64(), pa.int32(), pa.uint64(), pa.int16()])
def test_a_row_has_its_number_its_id_and_the_wanted_columns(
    tmp_path: Path, kind: pa.DataType, number: pa.DataType
) -> None:
    table = pa.table({"text": pa.array(["a", None, "é"], kind), "other": [1, 2, 3], "id": pa.array([5, 0, 7], number)})

    assert read(tmp_path, table) == ([(1, 5, "a", None), (2, 0, None, None), (3, 7, "é", None)], [])


@pytest.mark.parametrize(
    ("ids", "faults"),
    [
        (pa.array([5, None, -1]), [(2, "no_id", "null"), (3, "id_out_of_range", "-1")]),
        (
            pa.array([5, 2**63, 2**64 - 1], pa.uint64()),
            [(2, "id_out_of_range", str(2**63)), (3, "id_out_of_range", str(2**64 - 1))],
        ),
        (pa.array(["5", None]), [(1, "id_not_an_integer", "a text"), (2, "no_id", "null")]),
        (
            pa.array([5.5, 5.0, float("nan"), -1.0, None, 2.0**53 + 2]),
            [
                (1, "id_not_an_integer", "a number"),
                (3, "id_not_an_integer", "a number"),
                (4, "id_out_of_range", "-1"),
                (5, "no_id", "null"),
                (6, "id_not_an_integer", "a number"),
            ],
        ),
        (pa.array([True]), [(1, "id_not_an_integer", "a boolean")]),
        (pa.array([[1]]), [(1, "id_not_an_integer", "a list")]),
        (pa.array([{"a": 1}]), [(1, "id_not_an_integer", "of type struct<a: int64>")]),
        (pa.nulls(2), [(1, "no_id", "null"), (2, "no_id", "null")]),
    ],
)
def test_a_row_without_a_usable_id_is_dropped_and_listed(tmp_path: Path, ids: pa.Array, faults: list[Any]) -> None:
    rows, said = read(tmp_path, pa.table({"id": ids, "text": ["t"] * len(ids)}))

    assert said == faults
    assert len(rows) == len(ids) - len(faults)


def test_whole_numbers_that_are_floats_are_ids(tmp_path: Path) -> None:
    table = pa.table({"id": [5.0, None, 0.0, 2.0**40], "text": ["a", "b", "c", "d"]})

    rows, faults = read(tmp_path, table)

    assert rows == [(1, 5, "a", None), (3, 0, "c", None), (4, 2**40, "d", None)]
    assert all(type(row[1]) is int for row in rows)
    assert faults == [(2, "no_id", "null"), (4, "large_id", str(2**40))]


def test_floats_that_may_stand_for_another_number_are_no_ids(tmp_path: Path) -> None:
    rows, faults = read(tmp_path, pa.table({"id": pa.array([2.0**24 - 1, 2.0**24], pa.float32())}))

    assert [row[1] for row in rows] == [2**24 - 1]
    assert faults == [(2, "id_not_an_integer", "a number")]


def test_large_ids_are_listed_by_row(tmp_path: Path) -> None:
    for ids in ([2**31 - 1, 2**31], [None, 2**31]):
        rows, faults = read(tmp_path, pa.table({"id": pa.array(ids, pa.int64())}))

        assert rows[-1][:2] == (2, 2**31)
        assert faults[-1] == (2, "large_id", str(2**31))


def test_a_file_without_ids_has_no_records(tmp_path: Path) -> None:
    assert read(tmp_path, pa.table({"text": ["a", "b"]})) == ([], [(1, "no_id", ""), (2, "no_id", "")])


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (pa.array([5, None]), "text is a number"),
        (pa.array([["a"], None]), "text is a list"),
        (pa.array([{"a": 1}, None]), "text is of type struct<a: int64>"),
        (pa.array([b"raw", None]), "text is of type binary"),
    ],
)
def test_what_is_not_text_counts_as_absent(tmp_path: Path, texts: pa.Array, said: str) -> None:
    rows, faults = read(tmp_path, pa.table({"id": [1, 2], "text": texts, "more": ["x", "y"]}))

    assert rows == [(1, 1, None, "x"), (2, 2, None, "y")]
    assert faults == [(1, "not_text", said)]


def test_a_text_that_is_not_utf8_costs_its_row(tmp_path: Path) -> None:
    wrong = pa.array([b"fine", b"\xff", b"\xed\xa0\x80", None]).view(pa.string())

    rows, faults = read(tmp_path, pa.table({"id": [1, 2, 3, 4], "text": wrong}))

    assert rows == [(1, 1, "fine", None), (4, 4, None, None)]
    assert faults == [(2, "not_utf8", "text"), (3, "not_utf8", "text")]


def test_rows_count_on_over_row_groups_and_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_MOST_ROWS", 3)
    table = pa.table({"id": range(10), "text": [str(number) for number in range(10)]})

    rows, _ = read(tmp_path, table, row_group_size=4)

    assert rows == [(number + 1, number, str(number), None) for number in range(10)]


def test_texts_of_a_megabyte_come_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_BATCH", 1 << 20)
    path = tmp_path / "some.parquet"
    pq.write_table(
        pa.table({"id": range(6), "text": [str(number) * 1_000_000 for number in range(6)]}), path, use_dictionary=False
    )

    with Faults("", tmp_path / "faults") as faults:
        sizes = [len(batch.ids) for batch in TableReader(FIELDS, faults).read(path)]

    assert sizes == [1] * 6


def test_a_damaged_row_group_costs_its_rows_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    table = pa.table({"id": range(9), "text": [f"the text number {number}" for number in range(9)]})
    pq.write_table(table, path, row_group_size=3, compression="none", use_dictionary=False, write_page_checksum=True)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"the text number 4", b"THE text number 4"))

    rows, faults = read_file(path)

    assert [row[1] for row in rows] == [0, 1, 2, 6, 7, 8]
    ((place, fault, said),) = faults
    assert (place, fault) == (4, "damaged_rows")
    assert said.startswith("3 rows cannot be read: ")


def test_a_file_without_rows_has_none(tmp_path: Path) -> None:
    assert read(tmp_path, pa.table({"id": pa.array([], pa.int64())})) == ([], [])
