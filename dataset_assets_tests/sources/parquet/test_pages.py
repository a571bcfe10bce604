import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataset_assets.sources.parquet.pages import CODECS, Chunk, Places, find_places, read_runs
from dataset_assets.sources.parquet.places import Place
from dataset_assets.sources.parquet.thrift import write_varint
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
@given(st.lists(values, min_size=1, max_size=60), options, st.booleans())
@example([b"same"] * 60, {"use_dictionary": True}, False)
@example([None] * 9, {"data_page_version": "2.0"}, False)
def test_every_value_is_found_however_it_is_written(column: list[Value], how: dict[str, Any], nested: bool) -> None:
    array = pa.array(column, pa.binary())
    if nested:
        array = pa.StructArray.from_arrays(
            [array], ["bytes"], mask=pa.array([value == b"" for value in column], pa.bool_())
        )
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


def number(value: int) -> bytes:
    return write_varint(value << 1)


def page(body: bytes, count: int, *, encoding: int = 0, kind: int = 0, size: int | None = None, most: int = 0) -> bytes:
    """Return a page of a column without nulls, as it lies in a file that is not compressed.

    `size` is what it says to be where that is not so, `most` the bytes of the greatest value that it quotes.
    """
    sizes = b"\x15" + number(len(body) if size is None else size) + b"\x15" + number(len(body))
    quoted = b"\x1c\x18" + write_varint(most) + bytes(most) + b"\x00" if most else b""
    levels = b"\x15\x06\x15\x06" if kind == 0 else b""
    own = (b"\x2c" if kind == 0 else b"\x4c") + b"\x15" + number(count) + b"\x15" + number(encoding) + levels + quoted
    return b"\x15" + number(kind) + sizes + own + b"\x00\x00" + body


def plain(*column: bytes) -> bytes:
    return b"".join(len(value).to_bytes(4, "little") + value for value in column)


def find_in(data: bytes, rows: int, level: int = 0) -> list[Place | None]:
    with TemporaryFile() as file:
        file.write(data)
        file.flush()
        places = find_places(file.fileno(), Chunk(0, len(data), rows, "", level))
        return [places[row] for row in range(len(places))]


def test_pages_follow_each_other() -> None:
    first = page(plain(b"one", b""), 2)

    places = find_in(first + page(plain(b"three"), 1), 3)

    start = len(page(b"", 2)) + 4
    assert places == [
        Place(start, 3, 0, 0, 3),
        Place(start + 7, 0, 0, 0, 0),
        Place(len(first) + start, 5, 0, 0, 5),
    ]


@pytest.mark.parametrize("most", [2000, 100_000])
def test_a_header_that_quotes_a_value_is_read_to_its_end(most: int) -> None:
    (place,) = find_in(page(plain(b"value"), 1, most=most), 1)

    assert place is not None
    assert (place.offset, place.size) == (len(page(b"", 1, most=most)) + 4, 5)


def test_values_of_a_dictionary_share_their_places() -> None:
    dictionary = page(plain(b"a", b"bcd"), 2, kind=2)
    packed = page(b"\x01" + b"\x03\x0d", 5, encoding=8)  # groups of eight numbers of one bit: 1 0 1 1 0

    places = find_in(dictionary + packed, 5)

    sizes = [place.size for place in places if place]
    assert sizes == [3, 1, 3, 3, 1]
    assert places[0] == places[2] == places[3]


@pytest.mark.parametrize(
    ("data", "rows", "said"),
    [
        (page(plain(b"one"), 1), 2, "fewer values than rows"),
        (page(plain(b"one", b"two"), 2), 1, "more values than rows"),
        (page(plain(b"one"), 2), 2, "bytes 7 to 11 of 7"),
        (page(plain(b"one", b"two"), 1), 1, "do not end where their page does"),
        (page(plain(b"one")[:-1], 1), 1, "do not end where their page does"),
        (page(plain(b"one"), 1, size=8), 1, "7 bytes instead of 8"),
        (page(plain(b"one"), 1, size=1 << 40), 1, "a page at byte 22 that is none"),
        (page(plain(b"one"), 1)[:-1], 1, "a page at byte 17 that is none"),
        (page(plain(b"one"), 1, encoding=6), 1, "an encoding that is not plain"),
        (page(b"\x01\x03\x0d", 5, encoding=8), 5, "not in the dictionary"),
        (page(plain(b"a"), 1, kind=2) + page(b"\x01\x03\x0d", 5, encoding=8), 5, "not in the dictionary"),
        (page(plain(b"a"), 1, kind=2) + page(b"\x21\x03\x0d", 5, encoding=8), 5, "numbers of 33 bits"),
        (page(plain(b"a"), 1, kind=2) + page(b"\x01\x00\x00", 5, encoding=8), 5, "a run of nothing"),
        (page(plain(b"a"), 1, kind=2) + page(b"\x01\x03", 5, encoding=8), 5, "the page at byte"),
        (b"\x15\x00\x00" + bytes(9), 1, "lacks a number"),
        (b"\x19" * 30, 1, "type 9"),
        (b"\x18\xff\xff\xff\xff\x07" + bytes(30), 1, "without an end at byte 0"),
        (page(plain(b"one"), 1), (1 << 22) + 1, "4,194,305 rows in a row group"),
    ],
)
def test_what_does_not_add_up_is_refused(data: bytes, rows: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        find_in(data, rows)


def test_levels_in_the_encoding_of_long_ago_are_refused() -> None:
    old = page(plain(b"one"), 1).replace(b"\x15\x06\x15\x06", b"\x15\x08\x15\x06")

    with pytest.raises(ValueError, match="levels in an old encoding"):
        find_in(old, 1, level=1)


@given(st.binary(max_size=200), st.integers(0, 9), st.integers(0, 2))
def test_any_bytes_are_walked_or_refused(data: bytes, rows: int, level: int) -> None:
    with contextlib.suppress(ValueError):
        assert len(find_in(data, rows, level)) == rows


@given(st.integers(0, 40), st.lists(st.tuples(st.integers(0, 255), st.integers(1, 20)), max_size=9), st.booleans())
def test_runs_of_numbers(spare: int, parts: list[tuple[int, int]], packed: bool) -> None:
    numbers = [value for value, count in parts for _ in range(count * 8)]
    data = b"".join(
        write_varint(count << 1 | 1) + bytes([value] * count * 8)
        if packed
        else write_varint(count * 8 << 1) + bytes([value])
        for value, count in parts
    )

    assert read_runs(data + bytes(spare), 8, len(numbers)).tolist() == numbers
    assert read_runs(data, 8, max(0, len(numbers) - 3)).tolist() == numbers[: max(0, len(numbers) - 3)]
    with pytest.raises(ValueError, match="end before"):
        read_runs(data, 8, len(numbers) + 1)


def test_numbers_of_few_bits() -> None:
    assert read_runs(b"\x03\x88\xc6\xfa", 3, 8).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]  # the format's own example
    assert read_runs(b"\x08\x39\x05", 12, 4).tolist() == [1337] * 4
    assert read_runs(b"", 0, 4).tolist() == [0] * 4


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_other_encodings_are_not_understood(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.parquet"
    write(path, {"image": noise(9)}, use_dictionary=False, column_encoding={"image": encoding})

    with pytest.raises(ValueError, match="an encoding that is not plain"):
        find(path)
