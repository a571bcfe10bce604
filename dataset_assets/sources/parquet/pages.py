"""Where the values of a column of byte arrays lie in a Parquet file: its pages, walked without reading the values.

pyarrow reads whole pages, of 1,024 photographs in files of its own making; with their places each can be read alone.
https://parquet.apache.org/docs/file-format/data-pages/ says what pages are. Only flat columns are understood, plain or
with a dictionary. A walk that does not end just where pages and column do has found nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_assets.sources.parquet.places import Content, Numbers, Place, read_exactly
from dataset_assets.sources.parquet.thrift import Struct, Unfinished, read_struct, read_varint
from dataset_assets.sources.slices import Handle, read_at

# fmt: off
CODECS = {
    "UNCOMPRESSED": "", "SNAPPY": "snappy", "GZIP": "gzip", "BROTLI": "brotli", "ZSTD": "zstd", "LZ4": "lz4_raw",
}
# fmt: on

# What numbers mean in Parquet's definition: fields of a page's header, kinds of pages, encodings.
_KIND, _EXPANDED, _STORED = 1, 2, 3
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_OWN = {_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}  # the field that holds what only this kind of page has; in it are
_COUNT, _ENCODING, _ENCODING_2, _LEVELS_ENCODING = 1, 2, 4, 3
_LEVELS_2, _REPETITIONS_2, _COMPRESSED_2 = 5, 6, 7  # bytes of levels, and whether the values are compressed
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8

_HEADER_SIZES = (1 << 10, 1 << 16, 1 << 24)  # bytes read in turn: some headers hold a page's least and greatest value
_LARGEST_PAGE = (1 << 31) - 1  # bytes, by the format
_MOST_ROWS = 1 << 22  # of a chunk: their places are in memory at once
_WIDEST = 32  # bits of a number in a run
_NULL = -1


class Chunk(NamedTuple):
    """The values of one column in one row group, as the file's footer describes them."""

    start: int  # where the first page begins in the file, bytes
    end: int
    rows: int
    codec: str  # a value of CODECS
    level: int  # the definition level of a value that is there: how many of it and what it is in may be null


class Places:
    """Where the values of a chunk lie, by row."""

    def __init__(self, codec: str, numbers: Numbers) -> None:
        self._codec = codec
        self._numbers = numbers  # (rows, 5) int64, a row of -1 for a null

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, row: int) -> Place | None:
        """Return where the value of a row lies, None for a null."""
        offset, stored, expanded, skip, size = self._numbers[row].tolist()
        return None if offset == _NULL else Place(offset, stored, expanded, skip, size, self._codec if expanded else "")


class _Page(NamedTuple):
    kind: int
    header: Struct  # what only this kind of page has
    start: int  # of what follows its header, bytes
    end: int
    expanded: int  # bytes of that when it is decompressed


def find_places(file: Handle, chunk: Chunk) -> Places:
    """Return where the values of a chunk lie in this file.

    Raises OSError, and ValueError where it is damaged or of a kind that is not understood here.
    """
    if not 0 <= chunk.rows <= _MOST_ROWS:
        raise ValueError(f"{chunk.rows:,} rows in a row group")
    numbers = np.full((chunk.rows, 5), _NULL, np.int64)
    dictionary: Numbers = numbers[:0]
    row = 0
    for page in _read_pages(file, chunk):
        try:
            if page.kind == _DICTIONARY:
                content = Content(file, chunk.codec, page.start, page.end, page.expanded)
                dictionary = _walk_values(content, 0, _number(page.header, _COUNT))
            elif page.kind in _OWN:
                count = _number(page.header, _COUNT)
                if count > chunk.rows - row:
                    raise ValueError("more values than rows")
                there, found = (_read_data if page.kind == _DATA else _read_data_2)(file, chunk, page, dictionary)
                numbers[row : row + count][there] = found
                row += count
        except ValueError as error:
            raise ValueError(f"the page at byte {page.start}: {error}") from None
    if row != chunk.rows:
        raise ValueError("fewer values than rows")
    return Places(chunk.codec, numbers)


def _read_pages(file: Handle, chunk: Chunk) -> Iterator[_Page]:
    position = chunk.start
    while position < chunk.end:
        header, size = _read_header(file, position)
        kind, start = _number(header, _KIND), position + size
        position = start + _number(header, _STORED)
        own = header.get(_OWN.get(kind, 0), {})
        expanded = _number(header, _EXPANDED)
        if position > chunk.end or expanded > _LARGEST_PAGE or not isinstance(own, dict):
            raise ValueError(f"a page at byte {start} that is none")
        yield _Page(kind, own, start, position, expanded)


def _read_header(file: Handle, position: int) -> tuple[Struct, int]:
    for size in _HEADER_SIZES:
        try:
            return read_struct(read_at(file, size, position))
        except Unfinished:
            continue
    raise ValueError(f"a page without an end at byte {position}")


def _number(header: Struct, field: int) -> int:
    value = header.get(field)
    if not isinstance(value, int) or value < 0:
        raise ValueError("a page's header that lacks a number")
    return value


def _read_data(file: Handle, chunk: Chunk, page: _Page, dictionary: Numbers) -> tuple[NDArray[np.bool_], Numbers]:
    """Return which rows of a page have a value, and where the values lie."""
    content = Content(file, chunk.codec, page.start, page.end, page.expanded)
    start, levels = 0, b""
    if chunk.level:
        if page.header.get(_LEVELS_ENCODING) != _RLE:
            raise ValueError("levels in an old encoding")
        size = int.from_bytes(content.take(0, 4), "little")
        start, levels = 4 + size, content.take(4, size)
    there = _find_present(levels, chunk.level, _number(page.header, _COUNT))
    return there, _read_values(content, start, page.header.get(_ENCODING), int(there.sum()), dictionary)


def _read_data_2(file: Handle, chunk: Chunk, page: _Page, dictionary: Numbers) -> tuple[NDArray[np.bool_], Numbers]:
    """Return the same for a page of the second version, whose levels are not compressed."""
    size = _number(page.header, _LEVELS_2)
    if _number(page.header, _REPETITIONS_2):
        raise ValueError("a column of lists")
    there = _find_present(read_exactly(file, page.start, size), chunk.level, _number(page.header, _COUNT))
    if not there.any():
        return there, dictionary[:0]
    codec = chunk.codec if page.header.get(_COMPRESSED_2, True) else ""
    content = Content(file, codec, page.start + size, page.end, page.expanded - size)
    return there, _read_values(content, 0, page.header.get(_ENCODING_2), int(there.sum()), dictionary)


def _find_present(levels: bytes, level: int, count: int) -> NDArray[np.bool_]:
    if not level:
        return np.ones(count, np.bool_)
    present: NDArray[np.bool_] = read_runs(levels, level.bit_length(), count) == level
    return present


def _read_values(content: Content, start: int, encoding: object, count: int, dictionary: Numbers) -> Numbers:
    if encoding == _PLAIN:
        return _walk_values(content, start, count)
    if encoding not in (_PLAIN_DICTIONARY, _RLE_DICTIONARY):
        raise ValueError("values in an encoding that is not plain")
    if not count:
        return dictionary[:0]
    width, *_ = content.take(start, 1)
    entries = read_runs(content.take(start + 1, content.size - start - 1), width, count)
    if entries.max() >= len(dictionary):
        raise ValueError("a value that is not in the dictionary")
    return dictionary[entries]


def _walk_values(content: Content, start: int, count: int) -> Numbers:
    """Return where values lie that follow each other, each after its length, up to the end of what they are in."""
    starts, sizes = [], []
    for _ in range(count):
        size = int.from_bytes(content.take(start, 4), "little")
        starts.append(start + 4)
        sizes.append(size)
        start += 4 + size
    if start != content.size:
        raise ValueError("values that do not end where their page does")
    return content.locate(np.array(starts, np.int64), np.array(sizes, np.int64))


def read_runs(data: bytes, width: int, count: int) -> Numbers:
    """Return `count` numbers of `width` bits from Parquet's hybrid of repeated and packed ones.

    Raises ValueError where there are fewer.
    """
    numbers, done, position = np.zeros(count, np.int64), 0, 0
    if not 0 <= width <= _WIDEST:
        raise ValueError(f"numbers of {width} bits")
    while done < count and width:
        head, position = read_varint(data, position)
        if head & 1:  # groups of eight, packed
            size = (head >> 1) * width
            bits = np.unpackbits(np.frombuffer(data, np.uint8, size, position), bitorder="little")
            found = bits.reshape(-1, width) @ (1 << np.arange(width))
        else:  # one number, repeated
            size = (width + 7) // 8
            found = np.full(min(head >> 1, count - done), int.from_bytes(data[position : position + size], "little"))
        if not len(found):
            raise ValueError("a run of nothing")
        found = found[: count - done]
        numbers[done : done + len(found)] = found
        done, position = done + len(found), position + size
    return numbers
