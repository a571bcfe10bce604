"""Images of a Parquet file that have no place of their own: pyarrow reads those before them in their row group as well.

Such are columns in encodings that `pages` does not understand. Going on from one image to the next is cheap.
"""

import re
import threading
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_assets.sources.parquet.columns import ColumnRule, Name, choose_columns, take
from dataset_assets.sources.slices import Handle, Slice, find_state, identify

BUFFER = 1 << 20  # bytes of a column that are read at once

_FEW = 16  # images that are in memory at once, beside their page
_SPOT = re.compile(r"group(\d+)-row(\d+)", re.ASCII)


class Spot(NamedTuple):
    """Where an image is counted; `str` and `parse` are each other's reverse."""

    group: int  # the row group
    row: int  # in it

    def __str__(self) -> str:
        return f"group{self.group}-row{self.row}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the spot that a text names, None where it names none."""
        match = _SPOT.fullmatch(text)
        return cls(int(match[1]), int(match[2])) if match else None

    def read(self, file: Handle, rule: ColumnRule) -> bytes:
        """Return the image from this file. Raises OSError and what pyarrow does for damage."""
        key = (identify(file), self.group, rule)
        if getattr(_recent, "key", None) != key:
            _recent.reel = None  # its memory goes before the next comes
            _recent.reel = _Reel(file, self.group, rule)
        _recent.key = None  # until it is read well
        image: bytes = _recent.reel.read(self.row)
        _recent.key = key
        return image


def read_sizes(parquet: pq.ParquetFile, group: int, name: Name) -> list[int | None]:
    """Return the bytes that each image of a row group has, None for a null. Raises what pyarrow does for damage."""
    sizes: list[int | None] = []
    for images in _iterate(parquet, group, name):
        sizes += pc.binary_length(images).to_pylist()
    return sizes


_recent = threading.local()  # the reel that was read last: images that follow each other share theirs


class _Reel:
    """The images of a row group, from the first to the last."""

    def __init__(self, file: Handle, group: int, rule: ColumnRule) -> None:
        whole = BufferedReader(Slice(file, 0, find_state(file).size))
        self._parquet = pq.ParquetFile(whole, buffer_size=BUFFER)
        self._group = group
        self._name = choose_columns(self._parquet.schema_arrow, rule).data or ()
        self._images: list[bytes | None] = []
        self._rest = self._begin()
        self._first = 0  # row of `_images`

    def read(self, row: int) -> bytes:
        """Return the image of a row. Raises ValueError where it has none, and what pyarrow does for damage."""
        if row < self._first:
            self._images, self._rest, self._first = [], self._begin(), 0
        while row >= self._first + len(self._images):
            self._first += len(self._images)
            self._images = next(self._rest, [])
            if not self._images:
                raise ValueError("there is no such row")
        image = self._images[row - self._first]
        if image is None:
            raise ValueError("there is no image in this row")
        return image

    def _begin(self) -> Iterator[list[bytes | None]]:
        return (images.to_pylist() for images in _iterate(self._parquet, self._group, self._name))


def _iterate(parquet: pq.ParquetFile, group: int, name: Name) -> Iterator[pa.Array]:
    for batch in parquet.iter_batches(_FEW, row_groups=[group], columns=[".".join(name)], use_threads=False):
        yield take(batch, name).cast(pa.large_binary())
