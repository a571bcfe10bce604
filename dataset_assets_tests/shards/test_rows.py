"""Slices of a table of samples, and whether they say what the tars do."""

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_assets.shards.index import SAMPLE_SCHEMA
from dataset_assets.shards.rows import Rows, same_rows
from dataset_assets_tests.exports import make_draft


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    folder = tmp_path_factory.mktemp("export")
    make_draft().write(folder, tables=True)
    return pq.read_table(folder / "samples.parquet")


@settings(deadline=None)  # files are written
@given(data=st.data(), cuts=st.lists(st.integers(0, 5), max_size=4), group=st.integers(1, 5))
def test_slices_are_those_of_the_table(
    table: pa.Table, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, cuts: list[int], group: int
) -> None:
    path = tmp_path_factory.mktemp("rows") / "samples.parquet"
    pq.write_table(table, path, row_group_size=group)
    with Rows() as rows:
        for first, end in pairwise(sorted({0, *cuts, 7})):  # two rows more than there are
            assert rows.read(path, first, end - first).equals(table.slice(first, end - first))
        first = data.draw(st.integers(0, 7))
        assert rows.read(path, first, 2).equals(table.slice(first, 2))


def test_another_table_is_another(table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table, tmp_path / "a")
    pq.write_table(table.slice(3), tmp_path / "b")
    with Rows() as rows:
        assert rows.read(tmp_path / "a", 0, 5).equals(table)
        assert rows.read(tmp_path / "b", 0, 5).equals(table.slice(3))
        with pytest.raises(OSError, match="No such file"):
            rows.read(tmp_path / "c", 0, 5)


def test_rows_are_the_same_only_when_every_cell_is(table: pa.Table) -> None:
    columns = table.to_pydict()
    assert same_rows(table, columns, 5)
    assert not same_rows(table.slice(1), {name: values[:4] for name, values in columns.items()}, 4)
    assert not same_rows(table, columns, 4)
    for place, field in enumerate(SAMPLE_SCHEMA):
        values = columns[field.name]
        for wrong in ("x" if isinstance(values[2], str) else 7, None):
            changed = pa.array([*values[:2], wrong, *values[3:]], field.type)
            assert not same_rows(table.set_column(place, pa.field(field.name, field.type), changed), columns, 5)


def test_one_value_is_of_every_row(table: pa.Table) -> None:
    columns = table.to_pydict() | {"image_mode": "reencode_jpeg", "quality": 95}
    assert same_rows(table, columns, 5)
    assert not same_rows(table, columns | {"quality": 94}, 5)
    assert not same_rows(table, columns | {"image_mode": "passthrough_jpeg"}, 5)
