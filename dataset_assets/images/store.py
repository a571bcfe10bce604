"""The file that the crops of one shard rest in: one row an image of the plan, readable with any Parquet tool."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from itertools import accumulate
from struct import pack
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_assets.records import Crop, Drop
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import find_table, open_table, writing_table

# Where `reason` is not "", there is no crop and the columns after `timeout` are empty.
CROP_SCHEMA = pa.schema(
    [
        ("slot", pa.int64()),
        ("key", pa.string()),  # docs/format.md, Samples
        ("image_id", pa.string()),
        ("made_from", pa.string()),  # all that this row depends on: where it is equal the row can be copied
        ("source_sha256", pa.string()),  # "" where the source could not be read
        ("reason", pa.string()),  # a DropReason
        ("detail", pa.string()),
        ("passing", pa.bool_()),  # the next build tries again
        ("timeout", pa.float64()),  # the seconds that were not enough, else 0
        ("jpeg", pa.binary()),
        ("w", pa.int32()),  # the rest as in records.Crop
        ("h", pa.int32()),
        ("src_w", pa.int32()),
        ("src_h", pa.int32()),
        ("scale", pa.float64()),
        ("x", pa.int32()),
        ("y", pa.int32()),
        ("corner", pa.int32()),
        ("quality", pa.int32()),
        ("subsampling", pa.string()),
        ("spread", pa.float64()),
        ("look", pa.string()),
    ]
)
_FACTS = {kind: [field.name for field in fields(kind)] for kind in (Crop, Drop)}
_UNIQUE = {"key", "image_id", "made_from", "source_sha256", "jpeg", "scale", "spread", "look"}
_REPEATING = [name for name in CROP_SCHEMA.names if name not in _UNIQUE]  # a dictionary of the others would only cost
_REUSE = ["made_from", "passing", "timeout"]  # what decides whether a row can be copied
ROW_GROUP = 32  # images at most, some 3 MB, and
GROUP_BYTES = 32 << 20  # of JPEGs about: what bounds the memory of writers and readers

Row = Mapping[str, Any]


def make_row(slot: int, key: str, image_id: str, made_from: str, result: Crop | Drop) -> Row:
    """Return one row of the file."""
    facts = {name: getattr(result, name) for name in _FACTS[type(result)]}
    if isinstance(result, Drop):
        facts |= {"reason": result.reason.value, "passing": result.passing or result.reason.passing}
    return {
        "slot": slot,
        "key": key,
        "image_id": image_id,
        "made_from": made_from,
        "source_sha256": result.source_sha256,
        "reason": "",
        "detail": "",
        "passing": False,
        "timeout": 0,
        **({"jpeg": None} | facts),
    }


def make_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table, in which the JPEGs lie where they are: nothing large is copied."""
    columns = [
        pa.chunked_array([_hold(row["jpeg"]) for row in rows], field.type)
        if field.name == "jpeg"
        else pa.array([row.get(field.name) for row in rows], field.type)
        for field in CROP_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=CROP_SCHEMA)


def _hold(jpeg: bytes | None) -> pa.Array:
    """Return an array of one value, as Arrow lays it out: where it begins and ends, and its bytes."""
    if jpeg is None:
        return pa.nulls(1, pa.binary())
    ends = pa.py_buffer(pack("=ii", 0, len(jpeg)))
    return pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(jpeg)])


def find_reusable(path: Location, timeout_seconds: float) -> dict[str, int]:
    """Return the numbers of the rows that can be copied, by what they were made from; none of a damaged file.

    An image that took too long is tried again only when it is given another time. Raises StorageError where the file
    cannot be read, and may be whole.
    """
    table = find_table(path, _REUSE)
    if table is None or table.column_names != _REUSE:  # the latter: another version wrote it
        return {}
    rows = enumerate(zip(*table.to_pydict().values(), strict=True))
    return {
        made_from: number
        for number, (made_from, passing, timeout) in rows
        if not passing and timeout in (0, timeout_seconds)
    }


@contextmanager
def writing_crops(path: Location) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of tables of at most ROW_GROUP rows. Raises StorageError."""
    ranged = ["slot"]
    with writing_table(path, CROP_SCHEMA, compression="none", ranged=ranged, repeating=_REPEATING) as writer:
        yield writer


def read_crops(path: Location) -> Iterator[Row]:
    """Yield the rows of a file, some megabytes in memory at a time. Raises StorageError."""
    with open_table(path, whole=True) as file:
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group).to_pylist()


def group_rows(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield rows in row groups."""
    group: list[Row] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row["jpeg"] or b"")
        if len(group) == ROW_GROUP or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


class CropRows:
    """The rows of an open file by number; asked for in ascending order, each row group is read once."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        meta = file.metadata
        self._starts = [0, *accumulate(meta.row_group(group).num_rows for group in range(meta.num_row_groups))]
        self._group = -1
        self._rows: list[Row] = []

    def __getitem__(self, number: int) -> Row:
        group = bisect_right(self._starts, number) - 1
        if group != self._group:
            self._rows = self._file.read_row_group(group).to_pylist()
            self._group = group
        row: Row = self._rows[number - self._starts[group]]
        return row


@contextmanager
def open_rows(path: Location) -> Iterator[CropRows]:
    """Yield the rows of a file by number. Raises StorageError."""
    with open_table(path, whole=True) as file:
        yield CropRows(file)
