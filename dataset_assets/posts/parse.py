"""One file of records → one Parquet file of the texts that can become captions, and the list of its faults.

It runs in a worker process and knows nothing of the catalog. What makes rows is lines.py's and tables.py's.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_assets.posts.archives import PackedDamageError
from dataset_assets.posts.batch import Batch, Fields
from dataset_assets.posts.faults import Faults, RowFault
from dataset_assets.posts.form import (
    COMPRESSION,
    cell_width,
    digest_rows,
    new_digest,
    parsed_schema,
)
from dataset_assets.posts.lines import LineReader
from dataset_assets.posts.tables import TableReader
from dataset_assets.posts.texts import make_texts
from dataset_assets.settings import RecordSettings
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import writing_table

_CHUNK = 32 << 20  # bytes of texts that are sorted together
_LEAST = 64  # bytes that a row counts for, however little it has: a row group has room for a million rows
_GROUP = 64 << 10  # bytes of texts, about, that a row group has at least


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseTask:
    """A file to read, and where what is in it goes."""

    number: int  # of its piece
    name: str  # as faults and captions name the file
    path: Location
    size: int  # bytes
    stamp: int  # another one when it was written again
    parsed: Location
    faults: Location
    settings: RecordSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What was read of a file."""

    rows: int  # records, and those that were dropped
    records: int
    faults: Mapping[str, int]  # rows by RowFault
    ranges: Mapping[str, str]  # key of each range of tars that has records → their digest
    groups: tuple[tuple[int, int, int], ...]  # of the Parquet file: first tar, last tar, bytes when it is read
    retry: bool  # it could not be read, or changed meanwhile: the next time may do better


@dataclass(slots=True)
class _Writer:
    """Sorts rows by tar, chunk by chunk, and writes them."""

    settings: RecordSettings
    table: pq.ParquetWriter
    records: int = 0
    groups: list[tuple[int, int, int]] = field(default_factory=list)
    digests: dict[str, Any] = field(default_factory=dict)
    _waiting: list[pa.Table] = field(default_factory=list)
    _size: int = 0  # bytes

    def add(self, batch: Batch) -> None:
        """Take in some rows."""
        rows = len(batch.ids)
        tars = (batch.ids % self.settings.modulus).astype(np.int32)
        columns = [pa.array(batch.ids), pa.array(batch.lines), pa.array(tars)]
        for _, text, status in make_texts(batch.texts, rows, self.settings):
            columns += [text, pa.array(status)]
        table = pa.Table.from_arrays(columns, schema=parsed_schema(self.settings))
        self.records += rows
        self._waiting.append(table)
        self._size += max(table.nbytes, rows * _LEAST)
        if self._size > _CHUNK:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait, sorted by tar and id; rows of one id stay in their order."""
        if not self._size:
            return
        table = pa.concat_tables(self._waiting)
        size, self._waiting, self._size = self._size, [], 0
        order = np.lexsort((table["id"].to_numpy(), table["tar"].to_numpy()))
        table = table.take(pa.array(order)).combine_chunks()
        tars = table["tar"].to_numpy()
        self._digest(table, tars)
        for start, stop in self._cut(tars, size):
            part = table.slice(start, stop - start)
            self.table.write_table(part, row_group_size=stop - start)
            self.groups.append((int(tars[start]), int(tars[stop - 1]), part.nbytes))

    def _digest(self, table: pa.Table, tars: npt.NDArray[np.int32]) -> None:
        columns = [column.chunk(0) for column in table.columns]
        for key, cut in self.settings.ranges.items():
            start, stop = np.searchsorted(tars, [cut.start, cut.stop])
            if start < stop:
                digest_rows(columns, start, stop, self.digests.setdefault(key, new_digest()))

    def _cut(self, tars: npt.NDArray[np.int32], size: int) -> Iterator[tuple[int, int]]:
        """Yield the first row and the one after the last of each row group: those of some whole cells."""
        width = cell_width(self.settings.modulus)
        cells = -(-self.settings.modulus // width)
        width *= max(1, -(-cells * _GROUP // max(size, 1)))
        edges = np.searchsorted(tars, np.arange(0, self.settings.modulus + width, width))
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if start < stop:
                yield start, stop


def parse_file(task: ParseTask) -> Parsed:
    """Read a file and write what is in it; a file that cannot be read has no records and says why.

    Nor has an archive that is damaged: any of its rows may be another one than was written. Its rows, as far as they
    could be counted, are dropped. Raises StorageError when the results cannot be written, and SourceError for an object
    that its store does not give as it was listed: nothing of it is taken then.
    """
    fields = Fields.of(task.settings)
    faults = Faults(task.name, task.faults)
    reader = (TableReader if task.path.suffix.lower() == ".parquet" else LineReader)(fields, faults)
    failures: list[OSError] = []
    try:
        with faults, _writing(task) as table:
            writer = _Writer(task.settings, table)
            for batch in _read(reader, task.path, faults, failures):
                writer.add(batch)
            writer.flush()
    except PackedDamageError as error:
        return _drop_all(task, reader.rows, str(error))
    return Parsed(
        rows=reader.rows,
        records=writer.records,
        faults=dict(faults.counts),
        ranges={key: digest.hexdigest() for key, digest in writer.digests.items()},
        groups=tuple(writer.groups),
        retry=bool(failures) or _has_changed(task),
    )


def _drop_all(task: ParseTask, rows: int, said: str) -> Parsed:
    """Write that a damaged archive has no records, in place of what was read of it before that was known."""
    with Faults(task.name, task.faults) as faults, _writing(task):
        if rows:
            faults.add(RowFault.DAMAGED_ROWS, 1, f"{rows:,} rows are of a damaged archive", count=rows)
        faults.add(RowFault.ARCHIVE_DAMAGED, rows + 1, said)
    return Parsed(rows=rows, records=0, faults=dict(faults.counts), ranges={}, groups=(), retry=_has_changed(task))


def _writing(task: ParseTask) -> AbstractContextManager[pq.ParquetWriter]:
    schema = parsed_schema(task.settings)
    return writing_table(task.parsed, schema, compression=COMPRESSION, ranged=["tar"], repeating=[])


def _read(reader: LineReader | TableReader, path: Location, faults: Faults, failures: list[OSError]) -> Iterator[Batch]:
    """Yield what a file has until it cannot be read any further; `failures` gets what may be gone the next time."""
    try:
        yield from reader.read(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # the last: of the names of columns
        if isinstance(error, OSError) and error.errno:
            failures.append(error)
            faults.add(RowFault.UNREADABLE_FILE, 0, os.strerror(error.errno))
        else:
            faults.add(RowFault.UNREADABLE_FILE, 0, " ".join(str(error).split()))


def _has_changed(task: ParseTask) -> bool:
    """Return whether a file is not what it was when it was listed."""
    try:
        status = task.path.stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (task.size, task.stamp)
