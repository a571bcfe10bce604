import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataset_assets.sources.pages import CODECS, Chunk, Places, find_places, read_runs
from dataset_assets_tests.sources.tables import Value, noise, write

NAMES = {"UNCOMPRESSED": "none"}


def describe(path: Path, group: int = 0, **changes: Any) -> Chunk:
    """Return the chunk of the first column."""
    metadata = pq.read_metadata(path)
    column = metadata.row_group(group).column(0)
    start = min(filter(None, (column.dictionary_page_offset, column.data_page_offset)))
    chunk = Chunk(
        start=start,
        end=start + column.total_compressed_size,
        rows=column.num_values,
        codec=CODECS[column.compression],
        level=metadata.schema.column(0).max_definition_level,
    )
    return chunk._replace(**changes)


def find(path: Path, group: int = 0, **changes: Any) -> Places:
    with path.open("rb") as file:
        return find_places(file.fileno(), describe(path, group, **changes))


def read(path: Path) -> list[Value]:
    """Return all values of the first column, each read by its place alone."""
    with path.open("rb") as file:
        groups = range(pq.read_metadata(path).num_row_groups)
        found = [find_places(file.fileno(), describe(path, group)) for group in groups]
        places = [places[row] for places in found for row in range(len(places))]
        return [None if place is None else place.read(file.fileno()) for place in places]


values = st.one_of(st.none(), st.just(b""), st.binary(max_size=40), st.sampled_from(noise(4, 9000)))
options = st.fixed_dictionaries(
    {
        "compression": st.sampled_from([NAMES.get(name, name.lower()) for name in CODECS]),
        "use_dictionary": st.booleans(),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
        "row_group_size": st.integers(1, 50),
        "data_page_size": st.sampled_from([1, 500, 1 << 20]),
        "write_batch_size": st.sampled_from([1, 3, 1024]),
        "dictionary_pagesize_limit": st.sampled_from([50, 1 << 20]),
        "write_page_checksum": st.booleans(),
        "use_content_defined_chunking": st.booleans(),
        "version": st.sampled_from(["1.0", "2.6"]),
    }
)


@settings(deadline=None)
@given(st.lists(values, max_size=60), options, st.booleans())
@example([b"same"] * 60, {"use_dictionary": True}, False)
@example([None] * 9, {"data_page_version": "2.0"}, False)
def test_every_value_is_found_however_it_is_written(column: list[Value], how: dict[str, Any], nested: bool) -> None:
    array = pa.array(column, pa.binary())
    if nested:
        array = pa.StructArray.from_arrays([array], ["bytes"], mask=pa.array([value == b"" for value in column]))
        column = [value or None for value in column]
    with TemporaryDirectory() as folder:
        assert read(write(Path(folder) / "a.parquet", {"image": array}, **how)) == column


def test_columns_that_cannot_be_null(tmp_path: Path) -> None:
    column = noise(300)
    schema = pa.schema([pa.field("image", pa.binary(), nullable=False)])
    pq.write_table(pa.table([pa.array(column)], schema), tmp_path / "a.parquet", data_page_size=5000)

    assert describe(tmp_path / "a.parquet").level == 0
    assert read(tmp_path / "a.parquet") == column


def test_values_that_fill_many_blocks_of_snappy(tmp_path: Path) -> None:
    column = noise(40, 300_000)
    write(tmp_path / "a.parquet", {"image": column}, write_batch_size=8)

    assert read(tmp_path / "a.parquet") == column
    places = find(tmp_path / "a.parquet")
    assert max(place.stored - place.size for row in range(40) if (place := places[row])) < 2 * 65_600


def test_what_is_not_compressed_is_found_without_reading_it(tmp_path: Path) -> None:
    column = [bytes(200_000) for _ in range(50)]
    write(tmp_path / "a.parquet", {"image": column}, compression="none", use_dictionary=False)
    before = read_bytes()

    places = find(tmp_path / "a.parquet")

    assert read_bytes() - before < 100_000
    assert [(place.stored, place.expanded) for row in range(50) if (place := places[row])] == [(200_000, 0)] * 50


def read_bytes() -> int:
    """Return how many bytes this process has asked of files so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_a_page_with_a_long_header(tmp_path: Path) -> None:
    column = noise(3, 100_000, seed=4)
    schema = pa.schema([pa.field("image", pa.binary())])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table([pa.array(column)], schema), path, compression="none", use_dictionary=False)
    plain = find(path)
    # The same page behind a header in which a value is quoted, as some writers do: 5 → statistics → 1: a text.
    chunk, data = describe(path), path.read_bytes()
    end = data.index(b"\x00\x00\x00", chunk.start)
    first = plain[0]
    assert first is not None
    header = data[chunk.start : first.offset - 4 - 6]
    assert end < first.offset
    longer = header[:-2] + b"\x1c" + b"\x18" + b"\xa0\x8d\x06" + bytes(100_000) + b"\x00" + b"\x00\x00"
    ...


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_other_encodings_are_not_understood(tmp_path: Path, encoding: str) -> None:
    path = write(
        tmp_path / "a.parquet", {"image": noise(9)}, use_dictionary=False, column_encoding={"image": encoding}
    )

    with pytest.raises(ValueError, match="an encoding that is not plain"):
        find(path)
