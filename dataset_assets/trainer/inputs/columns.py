"""Parquet files: an id or key, and columns named as the fields of the JSON files; or the captions of our own records.

What the values are good for is rows.py's to say.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_assets.errors import SourceError
from dataset_assets.posts.batch import LARGEST_ID
from dataset_assets.posts.form import TAGS, text_column
from dataset_assets.posts.texts import TextStatus
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import open_file, open_table
from dataset_assets.trainer.inputs.keys import judge_id
from dataset_assets.trainer.inputs.rows import (
    LARGEST_SIDE,
    SIZE_FIELDS,
    Input,
    Lack,
    decode,
    judge_size,
    make_text_columns,
    mend_text,
    size_columns,
)
from dataset_assets.trainer.inputs.spill import Ids

_KEYS = ("id", "key")
_SIDES = ("width", "height")
_OWN_TAGS = text_column(TAGS)
_BATCH = 1 << 25  # bytes in memory at a time, about


@contextmanager
def _opening(source: Input) -> Iterator[pq.ParquetFile]:
    """Yield a Parquet file. Raises DamagedError where one of ours is damaged, SourceError where another cannot be read.

    What is wrong while the block reads it is said in the same way.
    """
    if source.own:
        with open_table(source.path) as file:
            yield file
        return
    try:
        file = open_file(source.place)
        try:
            yield file
        finally:
            file.close(force=True)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # the last: of the columns' names
        if isinstance(error, OSError) and error.errno:
            raise SourceError(f"cannot read {source.path}: {os.strerror(error.errno)}") from error
        raise SourceError(f"{source.path} cannot be read as Parquet: {' '.join(str(error).split())}") from error


def list_groups(source: Input) -> list[int]:
    """Return how many bytes each row group of a file has in memory, about.

    Raises SourceError where it is no Parquet file with an id or key, and DamagedError where it is ours and damaged.
    """
    path = source.path
    with _opening(source) as file:
        if not set(_KEYS) & set(file.schema_arrow.names):
            raise SourceError(f"{path} has no column {' or '.join(_KEYS)}: {', '.join(file.schema_arrow.names)} given")
        return [file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)]


def read_columns(source: Input, groups: Sequence[int]) -> Iterator[tuple[pa.Table, list[dict[str, Any]]]]:
    """Yield what some row groups say, in parts: the table that make_columns makes, and the faults."""
    with _opening(source) as file:
        wanted = [name for name in _list_columns(source) if name in file.schema_arrow.names]
        rows = sum(file.metadata.row_group(group).num_rows for group in groups)
        size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        batch_rows = max(_BATCH * max(rows, 1) // max(size, 1), 1)
        row = sum(file.metadata.row_group(group).num_rows for group in range(groups[0]))
        for batch in file.iter_batches(batch_rows, row_groups=list(groups), columns=wanted):
            names = batch.schema.names  # of two of a name, the first counts
            columns = {name: _simplify(batch.column(names.index(name))) for name in names}
            yield _read_batch(pa.table(columns), source, row)
            row += len(batch)


def _list_columns(source: Input) -> list[str]:
    names = list(_KEYS)
    if "tags" in source.roles:
        names.append(_OWN_TAGS if source.own else "tags")
    if "captions" in source.roles:
        names += ["caption", "variant", "status"] if source.own else ["caption"]
    if "latents" in source.roles:
        names += [*SIZE_FIELDS, *_SIDES]
    return names


def _read_batch(table: pa.Table, source: Input, row: int) -> tuple[pa.Table, list[dict[str, Any]]]:
    ids, spellings, wrong = _read_ids(table)
    faults: list[dict[str, Any]] = [{"fault": fault, "row": row + index} for index, fault in wrong.items()]
    known = np.ones(len(table), bool)
    known[list(wrong)] = False
    rows = row + np.flatnonzero(known)
    table = table.filter(pa.array(known)).combine_chunks()
    columns: dict[str, Any] = {"id": pa.array(ids[known])}
    if spellings.any():
        columns["spelling"] = pa.array(spellings[known])
    if "tags" in source.roles:
        columns |= _read_texts(table, _OWN_TAGS if source.own else "tags", "tags", rows, faults)
    if "captions" in source.roles:
        columns |= _read_texts(table, "caption", "caption", rows, faults)
        if source.own:
            partial = pc.equal(table["status"], pa.scalar(TextStatus.PARTIAL.value, table["status"].type))
            mark = pc.if_else(partial, pa.scalar(":partial"), pa.scalar(""))
            columns["source"] = pc.binary_join_element_wise(pc.cast(table["variant"], pa.string()), mark, "")
    if "latents" in source.roles:
        columns |= _read_sizes(table)
    return pa.table(columns), faults


def _read_ids(table: pa.Table) -> tuple[Ids, Ids, dict[int, str]]:
    """Return the ids, their spellings, and what is wrong with the rows that have none."""
    values = table[next(name for name in _KEYS if name in table.column_names)].combine_chunks()
    none = np.zeros(len(values), np.int64)
    if pa.types.is_integer(values.type) and not values.null_count:
        least, most = pc.min_max(values).as_py().values() if len(values) else (0, 0)
        if least >= 0 and most <= LARGEST_ID:
            return values.cast(pa.int64()).to_numpy(False), none, {}
    found = [judge_id(value) for value in _list_values(values)]
    keys = [(0, 0) if isinstance(key, str) else key for key in found]
    ids, spellings = (np.array([key[part] for key in keys], np.int64) for part in (0, 1))
    return ids, spellings, {index: key for index, key in enumerate(found) if isinstance(key, str)}


def _simplify(values: pa.Array) -> pa.Array:
    """Return texts as large_string, numbers and lists of numbers as they are, and of any other value False."""
    kind = values.type
    if _is_text(kind):
        return values.cast(pa.large_string())
    if _is_number(kind) or pa.types.is_null(kind) or (_is_list(kind) and _is_number(kind.value_type)):
        return values
    return pa.array(np.zeros(len(values), bool), mask=values.is_null().to_numpy(False))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _list_values(values: pa.Array) -> list[Any]:
    """Return what is in a column, texts as `mend_text` takes them."""
    if not pa.types.is_large_string(values.type):
        return list(values.to_pylist())
    return [None if text is None else decode(text) for text in values.cast(pa.large_binary()).to_pylist()]


def _read_texts(
    table: pa.Table, column: str, name: Literal["tags", "caption"], rows: Ids, faults: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the columns of texts; what is not UTF-8 in them is added to `faults`."""
    values = table[column].combine_chunks() if column in table.column_names else pa.nulls(len(table))
    if pa.types.is_null(values.type):
        return make_text_columns(values.cast(pa.large_string()), name)
    if not pa.types.is_large_string(values.type):
        columns = make_text_columns(pa.nulls(len(table), pa.large_string()), name)
        given = values.is_valid().to_numpy(False)
        return columns | {f"{name}_lack": np.where(given, Lack.NOT_TEXT, Lack.NO_TEXT).astype(np.int8)}
    texts = values
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        mended = [None if text is None else mend_text(text) for text in _list_values(texts)]
        texts = pa.array([one and one[0] for one in mended], pa.large_string())
        faults += (
            {"fault": fault.value, "row": int(row), "field": name}
            for row, one in zip(rows, mended, strict=True)
            for fault in (one[1] if one else ())
        )
    return make_text_columns(texts, name)


def _read_sizes(table: pa.Table) -> dict[str, Any]:
    """Return the columns of sizes; where every row is a list of two integers, without looking at each."""
    there = {name: table[name].combine_chunks() for name in (*SIZE_FIELDS, *_SIDES) if name in table.column_names}
    first = next((there[name] for name in SIZE_FIELDS if name in there), None)
    if first is not None and _is_plain(first):
        sides = [pc.list_element(first, index) for index in (0, 1)]
        if all(pc.all(pc.and_(pc.greater(side, 0), pc.less_equal(side, LARGEST_SIDE))).as_py() for side in sides):
            width, height = (side.cast(pa.int32()) for side in sides)
            return {"width": width, "height": height, "latent_lack": np.zeros(len(table), np.int8)}
    values = [_list_values(there[name]) for name in SIZE_FIELDS if name in there]
    if there.keys() >= set(_SIDES):
        pairs = zip(*(_list_values(there[name]) for name in _SIDES), strict=True)
        values.append([None if pair == (None, None) else list(pair) for pair in pairs])
    if not values:
        values.append([None] * len(table))
    return size_columns([judge_size(*row) for row in zip(*values, strict=True)])


def _is_plain(lists: pa.Array) -> bool:
    """Return whether every value is a list of two integers."""
    if not _is_list(lists.type):
        return False
    if not pa.types.is_integer(lists.type.value_type) or lists.null_count or lists.flatten().null_count:
        return False
    return bool(pc.all(pc.equal(pc.list_value_length(lists), 2)).as_py())


def find_tags(path: Location) -> bool:
    """Return whether the captions of our own records have the texts of tags beside them. Raises StorageError."""
    with open_table(path) as file:
        return _OWN_TAGS in file.schema_arrow.names
