"""Parquet → batches of rows. A row's line is its number in the file, from 1.

A column that a file lacks is absent in all its rows. Texts stay Arrow's as long as nothing is wrong with them. Whole
numbers that are floats are ids here: pandas makes these of a column of integers in which one is null.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_assets.posts.batch import LARGEST_ID, TEXT, Batch, Fields, Row, judge_row, note_large_ids, take_rows
from dataset_assets.posts.faults import Faults, RowFault
from dataset_assets.storage.location import Location

_BATCH = 8 << 20  # bytes, about, of rows that are Arrow's at a time
_MOST_ROWS = 10_000
_EXACT = {16: 2**11, 32: 2**24, 64: 2**53}  # by bits of a float: a larger one may be another id than the one meant
_BUFFER = 1 << 20  # bytes of a column that are read at a time


class TableReader:
    """Reads one Parquet file. `rows` is how many it has seen."""

    def __init__(self, fields: Fields, faults: Faults) -> None:
        self.rows = 0
        self._fields = fields
        self._faults = faults

    def read(self, path: Location) -> Iterator[Batch]:
        """Yield the rows of a file, some at a time.

        Raises OSError and pa.ArrowException where nothing can be read; whatever else is wrong is counted.
        """
        with (
            path.open("rb") as file,
            pq.ParquetFile(file, buffer_size=_BUFFER, page_checksum_verification=True) as parquet,
        ):
            wanted = {self._fields.id, *self._fields.names}
            columns = [name for name in dict.fromkeys(parquet.schema_arrow.names) if name in wanted]
            for group in range(parquet.num_row_groups):
                yield from self._read_group(parquet, group, columns)

    def _read_group(self, parquet: pq.ParquetFile, group: int, columns: list[str]) -> Iterator[Batch]:
        about = parquet.metadata.row_group(group)
        end = self.rows + about.num_rows
        size = max(1, min(_MOST_ROWS, _BATCH * about.num_rows // max(about.total_byte_size, 1)))
        try:
            for batch in parquet.iter_batches(size, row_groups=[group], columns=columns, use_threads=False):
                first, self.rows = self.rows + 1, self.rows + len(batch)
                yield self._read_batch(batch, first)
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            lost, said = end - self.rows, " ".join(str(error).split())
            self._faults.add(RowFault.DAMAGED_ROWS, self.rows + 1, f"{lost:,} rows cannot be read: {said}", count=lost)
            self.rows = end

    def _read_batch(self, batch: pa.RecordBatch, first: int) -> Batch:
        columns = {name: batch.column(batch.schema.names.index(name)) for name in batch.schema.names}
        ids = columns.get(self._fields.id)
        texts = {name: _read_texts(columns.get(name), len(batch)) for name in self._fields.names}
        if ids is not None and _are_ids(ids) and all(text is not None for text in texts.values()):
            lines = np.arange(first, first + len(batch))
            read = Batch(ids=ids.cast(pa.int64()).to_numpy(), lines=lines, texts=texts)
            note_large_ids(read, self._faults)
            return read
        listed = {name: _list_values(column) for name, column in columns.items()}
        if ids is not None and pa.types.is_floating(ids.type):
            listed[self._fields.id] = _find_whole(listed[self._fields.id], _EXACT[ids.type.bit_width])
        numbers = range(first, first + len(batch))
        rows = (
            self._judge({name: values[place] for name, values in listed.items()}, number)
            for place, number in enumerate(numbers)
        )
        return take_rows(rows, numbers, self._fields, self._faults)

    def _judge(self, values: Mapping[str, Any], number: int) -> Row | None:
        """Return one row, None where it has no usable id or a text that is none; count what is wrong with it."""
        for name, value in values.items():
            if isinstance(value, bytes):
                self._faults.add(RowFault.NOT_UTF8, number, name)
                return None
        return judge_row(values, number, self._fields, self._faults)


def _are_ids(column: pa.Array) -> bool:
    """Return whether every value is an id."""
    if not pa.types.is_integer(column.type) or column.null_count:
        return False
    least, most = pc.min_max(column).as_py().values()
    return least is None or (least >= 0 and most <= LARGEST_ID)


def _find_whole(values: Sequence[float | None], end: int) -> list[float | None]:
    """Return floats with the whole ones among them, up to where they are no longer exact, as integers."""
    return [int(one) if one is not None and one.is_integer() and abs(one) < end else one for one in values]


def _read_texts(column: pa.Array | None, rows: int) -> pa.Array | None:
    """Return a column as text; None where some of its values are none."""
    if column is None or column.null_count == rows:
        return pa.nulls(rows, TEXT)
    if not _is_text(column.type):
        return None
    text = column.cast(TEXT)
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return text


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _list_values(column: pa.Array) -> list[Any]:
    """Return the values of a column: of a text that is not UTF-8 its bytes, of what JSON has no word for its type."""
    kind = column.type
    if _is_text(kind):
        return [_decode(value) for value in column.cast(TEXT).cast(pa.large_binary()).to_pylist()]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return list(column.to_pylist())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [[] if valid else None for valid in column.is_valid().to_pylist()]
    return [kind if valid else None for valid in column.is_valid().to_pylist()]


def _decode(value: bytes | None) -> str | bytes | None:
    try:
        return value if value is None else value.decode()
    except UnicodeDecodeError:
        return value
