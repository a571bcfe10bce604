"""What Parquet files offer, kept between two scans: a file that has not changed is not opened again.

Two files are kept for one: its rows, as Parquet, and what is known of its images as JSON lines, of which any is read
alone. They can be removed at any time: the next scan makes them again.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import BinaryIO, NamedTuple, Self

import pyarrow as pa

from dataset_assets.errors import StorageError
from dataset_assets.sources.parquet.columns import ColumnRule
from dataset_assets.sources.parquet.rows import Row
from dataset_assets.storage.atomic import remove, writing
from dataset_assets.storage.location import Location, read_part
from dataset_assets.storage.parquet import read_table, writing_table

_FORMAT = 1  # one more whenever the same file would be listed differently
_ROWS, _LINES = ".parquet", ".jsonl"
_BATCH = 10_000  # rows that are in memory at once as Python objects

# fmt: off
_SCHEMA = pa.schema([
    ("image_id", pa.string()), ("size", pa.int64()), ("where", pa.string()), ("path", pa.string()),
    ("fault", pa.string()), ("start", pa.int64()), ("length", pa.int64()),
])
# fmt: on


class KeptRow(NamedTuple):
    """One row of a file: the fields of Row, but for the metadata, which is a line of what is kept."""

    image_id: str
    size: int
    where: str
    path: str
    fault: str
    start: int  # of the line, bytes
    length: int  # of the line, bytes; 0: there is none


class Line(NamedTuple):
    """Where the metadata of an image is kept; `str` and `parse` are each other's reverse."""

    key: str  # of its file
    start: int  # bytes
    length: int

    def __str__(self) -> str:
        return "-".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the line that a text names. Raises ValueError where it names none."""
        key, start, length = text.split("-")
        return cls(key, int(start), int(length))

    def read(self, folder: Location, most: int) -> bytes:
        """Return `most` bytes of it, or all where it has fewer. Raises OSError, also where it is kept no more."""
        return read_part(folder / f"{self.key}{_LINES}", self.start, min(self.length, most))


def make_key(path: str, version: str, rule: ColumnRule) -> str:
    """Return what the rows of a file are kept under: its path in the source, its version, and how its columns go."""
    return sha256(repr((_FORMAT, path, version, rule)).encode()).hexdigest()[:32]


def recall(folder: Location, key: str) -> Iterator[KeptRow] | None:
    """Return the rows that were kept, None where that is not to be had."""
    if not (folder / f"{key}{_LINES}").is_file():
        return None
    try:
        table = read_table(folder / f"{key}{_ROWS}")
    except StorageError:
        return None
    return (
        KeptRow(*row) for batch in table.to_batches(_BATCH) for row in zip(*batch.to_pydict().values(), strict=True)
    )


def keep(folder: Location, key: str, rows: Iterable[list[Row]]) -> None:
    """Keep the rows of a file, given some at a time. Raises StorageError, and what `rows` does, but no OSError."""
    with (
        writing_table(folder / f"{key}{_ROWS}", _SCHEMA, compression="zstd") as writer,
        writing(folder / f"{key}{_LINES}") as lines,  # there before the rows are
    ):
        for some in rows:
            kept = [_write_line(lines, row) for row in some]
            columns = zip(zip(*kept, strict=True), _SCHEMA.types, strict=True)
            writer.write_table(pa.table([pa.array(*column) for column in columns], schema=_SCHEMA))


def forget_others(folder: Location, keys: Iterable[str]) -> None:
    """Remove what is kept under all keys but these. Raises StorageError."""
    there = {f"{key}{suffix}" for key in keys for suffix in (_ROWS, _LINES)}
    for suffix in (_ROWS, _LINES):
        for path in folder.glob(f"[!.]*{suffix}"):  # hidden ones are being written
            if path.name not in there:
                remove(path)


def _write_line(lines: BinaryIO, row: Row) -> KeptRow:
    start = lines.tell()
    if row.metadata:
        lines.write(row.metadata + b"\n")
    return KeptRow(row.image_id, row.size, row.where, row.path, row.fault, start, len(row.metadata))
