"""Parquet files: an id or key, and columns named as the fields of the JSON files; or the captions of our own records.

What the values are good for is rows.py's to say.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.errors import SourceError
from dataset_assets.storage.parquet import open_table
from dataset_assets.trainer.rows import (
    LARGEST_SIDE,
    SIZE_FIELDS,
    Input,
    Lack,
    judge_size,
    make_text_columns,
    parse_key,
    size_columns,
)

_KEYS = ("id", "key")
_SIDES = ("width", "height")
_OWN_TAGS = "text_tags"
_PARTIAL = 2  # the status of a text of which some fields were there
_BATCH = 1 << 25  # bytes in memory at a time, about


def list_groups(path: Path) -> list[int]:
    """Return how many bytes each row group of a file has in memory, about.

    Raises SourceError where it is no Parquet file with an id or key.
    """
    with open_table(path) as file:
        if not set(_KEYS) & set(file.schema_arrow.names):
            raise SourceError(f"{path} has no column {' or '.join(_KEYS)}: {', '.join(file.schema_arrow.names)} given")
        return [file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)]


def read_columns(source: Input, groups: Sequence[int]) -> Iterator[tuple[pa.Table, list[dict[str, Any]]]]:
    """Yield what some row groups say, in parts: the table that make_columns makes, and the faults."""
    with open_table(source.path) as file:
        wanted = [name for name in _list_columns(source) if name in file.schema_arrow.names]
        rows = sum(file.metadata.row_group(group).num_rows for group in groups)
        size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        batch_rows = max(_BATCH * max(rows, 1) // max(size, 1), 1)
        row = sum(file.metadata.row_group(group).num_rows for group in range(groups[0]))
        for batch in file.iter_batches(batch_rows, row_groups=list(groups), columns=wanted):
            yield _read_batch(pa.Table.from_batches([batch]), source, row)
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
    ids, known = _read_ids(table)
    faults = [{"fault": "no_id", "row": row + int(index)} for index in np.flatnonzero(~known)]
    table = table.filter(pa.array(known)).combine_chunks()
    columns: dict[str, Any] = {"id": pa.array(ids[known])}
    if "tags" in source.roles:
        columns |= _read_texts(table, _OWN_TAGS if source.own else "tags", "tags")
    if "captions" in source.roles:
        columns |= _read_texts(table, "caption", "caption")
        if source.own:
            partial = pc.equal(table["status"], pa.scalar(_PARTIAL, table["status"].type))
            mark = pc.if_else(partial, pa.scalar(":partial"), pa.scalar(""))
            columns["source"] = pc.binary_join_element_wise(pc.cast(table["variant"], pa.string()), mark, "")
    if "latents" in source.roles:
        columns |= _read_sizes(table)
    return pa.table(columns), faults


def _read_ids(table: pa.Table) -> tuple[Any, Any]:
    """Return the ids, int64, and which rows have one."""
    values = table[next(name for name in _KEYS if name in table.column_names)].combine_chunks()
    if pa.types.is_integer(values.type):
        ids = pc.fill_null(values, 0).to_numpy(False)
        known = values.is_valid().to_numpy(False) & (ids >= 0) & (ids <= np.int64((1 << 63) - 1))
        return np.where(known, ids, 0).astype(np.int64), known
    found = [parse_key(value) if isinstance(value, str) else None for value in values.to_pylist()]
    return np.array([number or 0 for number in found], np.int64), np.array([one is not None for one in found], bool)


def _read_texts(table: pa.Table, column: str, name: Any) -> dict[str, Any]:
    values = table[column].combine_chunks() if column in table.column_names else pa.nulls(len(table))
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_null(values.type):
        return make_text_columns(values.cast(pa.large_string()), name)
    columns = make_text_columns(pa.nulls(len(table), pa.large_string()), name)
    given = values.is_valid().to_numpy(False)
    return columns | {f"{name}_lack": np.where(given, Lack.NOT_TEXT, Lack.NO_TEXT).astype(np.int8)}


def _read_sizes(table: pa.Table) -> dict[str, Any]:
    """Return the columns of sizes; where every row is a list of two integers, without looking at each."""
    there = {name: table[name].combine_chunks() for name in (*SIZE_FIELDS, *_SIDES) if name in table.column_names}
    first = next((there[name] for name in SIZE_FIELDS if name in there), None)
    if first is not None and _is_plain(first):
        sides = [pc.list_element(first, index) for index in (0, 1)]
        if all(pc.all(pc.and_(pc.greater(side, 0), pc.less_equal(side, LARGEST_SIDE))).as_py() for side in sides):
            width, height = (side.cast(pa.int32()) for side in sides)
            return {"width": width, "height": height, "latent_lack": np.zeros(len(table), np.int8)}
    values = [there[name].to_pylist() for name in SIZE_FIELDS if name in there]
    if there.keys() >= set(_SIDES):
        pairs = zip(*(there[name].to_pylist() for name in _SIDES), strict=True)
        values.append([None if pair == (None, None) else list(pair) for pair in pairs])
    if not values:
        values.append([None] * len(table))
    return size_columns([judge_size(*row) for row in zip(*values, strict=True)])


def _is_plain(lists: pa.Array) -> bool:
    """Return whether every value is a list of two integers."""
    if not (
        pa.types.is_list(lists.type) or pa.types.is_large_list(lists.type) or pa.types.is_fixed_size_list(lists.type)
    ):
        return False
    if not pa.types.is_integer(lists.type.value_type) or lists.null_count or lists.flatten().null_count:
        return False
    return bool(pc.all(pc.equal(pc.list_value_length(lists), 2)).as_py())


def find_tags(path: Path) -> bool:
    """Return whether the captions of our own records have the texts of tags beside them. Raises StorageError."""
    with open_table(path) as file:
        return _OWN_TAGS in file.schema_arrow.names
