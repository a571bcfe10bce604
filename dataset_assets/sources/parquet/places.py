"""Where values lie in a file, compressed or not, and how one is read without what lies around it.

A piece is what can be decompressed by itself. With Snappy, which takes 65,536 bytes at a time and never refers back to
those before, that is a few such blocks; with any other codec all that was compressed together: `pages` says what was.
"""

import threading
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataset_assets.sources.parquet.snappy import BLOCK, find_blocks
from dataset_assets.sources.parquet.thrift import read_varint, write_varint
from dataset_assets.sources.slices import Handle, identify, read_at

_SNAPPY = "snappy"
_LONGEST_LENGTH = 5  # bytes of the length that a Snappy stream begins with

Numbers = NDArray[np.int64]


class Place(NamedTuple):
    """Where a value lies in a file; `str` and `parse` are each other's reverse. All but `codec` are bytes."""

    offset: int  # where the piece begins
    stored: int  # the piece in the file
    expanded: int  # the piece when it is decompressed, 0 where it is not compressed
    skip: int  # of that, before the value
    size: int  # the value
    codec: str = ""  # "": not compressed, and the piece is the value

    def __str__(self) -> str:
        return "-".join(map(str, self)) if self.codec else f"{self.offset}-{self.size}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the place that a text names. Raises ValueError where it names none."""
        match text.split("-"):
            case [offset, size]:
                return cls(int(offset), int(size), 0, 0, int(size))
            case [offset, stored, expanded, skip, size, codec]:
                return cls(int(offset), int(stored), int(expanded), int(skip), int(size), codec)
        raise ValueError(f"no place: {text}")

    def read(self, file: Handle) -> bytes:
        """Return the value from this file. Raises OSError, and ValueError where it is damaged."""
        return _read_piece(file, self)[self.skip : self.skip + self.size]


class Content:
    """A run of bytes that were compressed together, as it is when decompressed: only what is asked for is."""

    def __init__(self, file: Handle, codec: str, start: int, end: int, size: int) -> None:
        """Look where pieces begin. Raises OSError, and ValueError where it is shorter than `size` or damaged."""
        self.size = size
        self._file = file
        self._codec = codec
        self._edges, self._length = np.array([start, end]), max(size, 1)  # of pieces in the file, and decompressed
        if codec == _SNAPPY:
            edges, self._length = _find_pieces(file, start, end, size)
            self._edges = np.array(edges)
        elif not codec and end - start != size:
            raise ValueError(f"it has {end - start} bytes instead of {size}")

    def take(self, start: int, size: int) -> bytes:
        """Return `size` bytes of it. Raises OSError, and ValueError where it is damaged or too short."""
        if start < 0 or size < 0 or start + size > self.size:
            raise ValueError(f"bytes {start} to {start + size} of {self.size}")
        ((offset, stored, expanded, skip, _),) = self.locate(np.array([start]), np.array([size])).tolist()
        return Place(offset, stored, expanded, skip, size, self._codec).read(self._file)

    def locate(self, starts: Numbers, sizes: Numbers) -> Numbers:
        """Return where parts of it lie in the file.  # (parts, 5) int64: the numbers of a Place."""
        if not self._codec:
            nothing = np.zeros_like(sizes)
            return np.stack([self._edges[0] + starts, sizes, nothing, nothing, sizes], axis=1)
        last = len(self._edges) - 2
        first = np.minimum(starts // self._length, last)
        behind = np.clip((starts + sizes - 1) // self._length, first, last) + 1
        offsets, expanded = self._edges[first], np.minimum(behind * self._length, self.size) - first * self._length
        return np.stack(
            [offsets, self._edges[behind] - offsets, expanded, starts - first * self._length, sizes], axis=1
        )


def read_exactly(file: Handle, offset: int, size: int) -> bytes:
    """Return `size` bytes from `offset` on. Raises OSError, and ValueError where the file ends before."""
    data = read_at(file, size, offset)
    if len(data) != size:
        raise ValueError(f"it ends at byte {offset + len(data)}")
    return data


_recent = threading.local()  # the piece that was decompressed last: values that follow each other share theirs


def _read_piece(file: Handle, place: Place) -> bytes:
    if not place.codec:
        return read_exactly(file, place.offset, place.stored)
    key = (identify(file), place.offset, place.stored)
    if getattr(_recent, "key", None) != key:
        _recent.key, _recent.piece = None, b""  # it may be large: it goes before the next comes
        _recent.piece = _expand(read_exactly(file, place.offset, place.stored), place)
        _recent.key = key
    piece: bytes = _recent.piece
    return piece


def _expand(data: bytes, place: Place) -> bytes:
    if place.codec == _SNAPPY:
        data = write_varint(place.expanded) + data  # a stream begins with its length, blocks do not
    try:
        return bytes(pa.Codec(place.codec).decompress(data, place.expanded, asbytes=True))
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"it cannot be decompressed at byte {place.offset}: {error}") from None


def _find_pieces(file: Handle, start: int, end: int, size: int) -> tuple[list[int], int]:
    """Return where each piece of a Snappy stream begins and the last one ends, and the bytes that a piece becomes."""
    stated, length = read_varint(read_at(file, _LONGEST_LENGTH, start), 0)
    if stated != size:
        raise ValueError(f"it has {stated} bytes instead of {size}")
    blocks = find_blocks(file, start + length, end, size)
    return (blocks, BLOCK) if blocks else ([start + length, end], max(size, 1))
