"""Slices of samples.parquet, for the sieve: what the table says of the samples of one tar, as columns."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dataset_assets.shards.index import SAMPLE_SCHEMA
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import open_file

Column = Sequence[Any] | NDArray[Any]


class Rows:
    """Reads slices of a table that follow each other, each row group once. Use it as a context manager."""

    def __init__(self) -> None:
        self._path: Location | None = None
        self._file: pq.ParquetFile | None = None
        self._starts: list[tuple[int, int]] = []  # of each row group: its first row and the one behind its last
        self._group = -1
        self._table = SAMPLE_SCHEMA.empty_table()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close(force=True)

    def read(self, path: Location, first: int, count: int) -> pa.Table:
        """Return `count` rows from the row `first` on, fewer where the table ends.

        Raises OSError or ArrowException where they cannot be read.
        """
        if path != self._path:
            self._open(path)
        parts = [
            self._read_group(group).slice(max(first - start, 0), min(first + count, end) - max(first, start))
            for group, (start, end) in enumerate(self._starts)
            if start < first + count and first < end
        ]
        return pa.concat_tables([self._table.slice(0, 0), *parts])

    def _open(self, path: Location) -> None:
        file = open_file(path)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        self.__exit__(None, None, None)
        self._path, self._file, self._group = path, file, -1
        self._starts = list(pairwise(accumulate(sizes, initial=0)))

    def _read_group(self, group: int) -> pa.Table:
        if group != self._group and self._file is not None:
            self._table = self._file.read_row_group(group, use_threads=False)
            self._group = group
        return self._table


def same_rows(claimed: pa.Table, expected: Mapping[str, Column | str | int], count: int) -> bool:
    """Return whether a table of the format's columns says what is `expected` of `count` samples.

    A single value is expected of every sample.
    """
    return len(claimed) == count and all(
        claimed.column(field.name).equals(pa.chunked_array([_column(expected[field.name], field.type, count)]))
        for field in SAMPLE_SCHEMA
    )


def _column(values: Column | str | int, kind: pa.DataType, count: int) -> pa.Array:
    if isinstance(values, str | int):
        return pa.repeat(pa.scalar(values, kind), count)
    return pa.array(values, kind)
