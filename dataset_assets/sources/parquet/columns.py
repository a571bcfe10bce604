"""Which columns of a Parquet file hold the images, their ids and what is known of them, and what the small ones say.

Where the bytes of images lie, and how they are read, is not known here.
"""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from dataset_assets.errors import SourceError

_MOST_NAMES = 30  # of columns that a message names
_MOST_SHOWN = 60  # characters of a type

Name = tuple[str, ...]  # of a column, then of fields in it


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """What the settings call the columns, with a dot between a column and a field in it."""

    image: str = "image"
    id: str = ""  # "": there is none
    metadata: tuple[str, ...] = ()  # (): all of text, numbers, truth values and lists of text


BY_NAME = ColumnRule()  # as `datasets` names them


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of one file; None or () where it has none such."""

    data: Name | None  # the images' bytes
    path: Name | None  # the paths of image files
    id: Name | None
    metadata: tuple[Name, ...]

    @property
    def small(self) -> list[str]:
        """All but the bytes, as pyarrow takes them."""
        return list(dict.fromkeys(".".join(name) for name in (self.path, self.id, *self.metadata) if name))


def choose_columns(schema: pa.Schema, rule: ColumnRule) -> Columns:
    """Return the columns of a file. Raises SourceError where one is not there, or is of a type that it cannot be."""
    image = _find(schema, "image", rule.image)
    data, path = _split_image(image, _type_of(schema, image))
    metadata = tuple(_find(schema, "metadata", name) for name in rule.metadata)
    for name in metadata:
        if not _is_metadata(_type_of(schema, name)):
            raise _refuse(name, _type_of(schema, name), "text, numbers, truth values and lists of text")
    others = ((name,) for name in schema.names if name not in (rule.id, image[0]) and schema.names.count(name) == 1)
    return Columns(
        data=data,
        path=path,
        id=_find(schema, "id", rule.id) if rule.id else None,
        metadata=metadata or tuple(name for name in others if _is_metadata(_type_of(schema, name))),
    )


def take(batch: pa.RecordBatch, name: Name) -> pa.Array:
    """Return a column as it is without dictionaries and extensions; null where what it is in is null."""
    column = batch.column(name[0])
    for field in name[1:]:
        column = pc.struct_field(_plain(column), [field])
    return _plain(column)


def read_ids(batch: pa.RecordBatch, name: Name) -> list[tuple[str, str]]:
    """Return each row's id, and why it has none."""
    column = take(batch, name)
    if types.is_integer(column.type):
        return [(str(number), "") if number is not None else ("", "no id in this row") for number in column.to_pylist()]
    if _is_text(column.type) or _is_bytes(column.type):
        return [_check_id(text) for text in column.cast(pa.large_binary()).to_pylist()]
    return [("", f"the id is {_show(column.type)}; allowed: text and whole numbers")] * len(column)


def read_paths(batch: pa.RecordBatch, name: Name) -> list[str]:
    """Return each row's path, as Python reads paths, "" where there is none."""
    return [os.fsdecode(text or b"") for text in take(batch, name).cast(pa.large_binary()).to_pylist()]


def read_metadata(batch: pa.RecordBatch, names: tuple[Name, ...]) -> Iterator[bytes]:
    """Yield a JSON object for each row: its columns by their names, UTF-8. What is no number in JSON is null."""
    columns = [_read_values(take(batch, name)) for name in names]
    keys = [".".join(name) for name in names]
    for values in zip(*columns, strict=True):
        yield json.dumps(dict(zip(keys, values, strict=True)), ensure_ascii=False, allow_nan=False).encode()


def _split_image(name: Name, kind: pa.DataType) -> tuple[Name | None, Name | None]:
    """Return the columns of an image's bytes and of its path."""
    if _is_bytes(kind):
        return name, None
    if _is_text(kind):
        return None, name
    if types.is_null(kind):
        return None, None
    fields = {field.name: _bare(field.type) for field in kind} if types.is_struct(kind) else {}
    data, path = fields.get("bytes", pa.null()), fields.get("path", pa.null())
    known = fields.keys() & {"bytes", "path"}
    if not (known and (_is_bytes(data) or types.is_null(data)) and (_is_text(path) or types.is_null(path))):
        raise _refuse(name, kind, "bytes, paths as text, and structures of bytes and path")
    return (*name, "bytes") if _is_bytes(data) else None, (*name, "path") if _is_text(path) else None


def _find(schema: pa.Schema, key: str, wanted: str) -> Name:
    """Return the column that the settings name under a key: the longest name of one, and the rest as fields in it."""
    parts = wanted.split(".")
    for count in range(len(parts), 0, -1):
        column, fields = ".".join(parts[:count]), parts[count:]
        if schema.names.count(column) > 1:
            raise SourceError(f"there are {schema.names.count(column)} columns {column}")
        if column in schema.names and _has(schema.field(column).type, fields):
            return (column, *fields)
    there = ", ".join(schema.names[:_MOST_NAMES]) + (", …" if len(schema.names) > _MOST_NAMES else "")
    raise SourceError(f"there is no column {wanted}, which `{key}` under [[sources]] names; there are: {there}")


def _has(kind: pa.DataType, fields: list[str]) -> bool:
    for field in fields:
        kind = _bare(kind)
        if not types.is_struct(kind) or kind.get_field_index(field) < 0:
            return False
        kind = kind.field(field).type
    return True


def _type_of(schema: pa.Schema, name: Name) -> pa.DataType:
    kind = schema.field(name[0]).type
    for field in name[1:]:
        kind = _bare(kind).field(field).type
    return _bare(kind)


def _bare(kind: pa.DataType) -> pa.DataType:
    """Return a type without what only says how it is stored or called."""
    while isinstance(kind, pa.BaseExtensionType) or types.is_dictionary(kind):
        kind = kind.value_type if types.is_dictionary(kind) else kind.storage_type
    return kind


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    lists = (types.is_list, types.is_large_list, types.is_list_view, types.is_large_list_view, types.is_fixed_size_list)
    return any(is_list(kind) for is_list in lists)


def _is_metadata(kind: pa.DataType) -> bool:
    if _is_list(kind):
        return _is_text(_bare(kind.value_type))
    return bool(_is_text(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _plain(column: pa.Array) -> pa.Array:
    while _bare(column.type) != column.type:
        column = column.storage if isinstance(column, pa.ExtensionArray) else column.cast(column.type.value_type)
    return column


def _check_id(text: bytes | None) -> tuple[str, str]:
    if text is None:
        return "", "no id in this row"
    try:
        found = text.decode()
    except UnicodeDecodeError:
        return "", "the id is not UTF-8"
    if not found or "\0" in found:
        return "", "the id holds a NUL character" if found else "the id is empty"
    return found, ""


def _read_values(column: pa.Array) -> list[Any]:
    kind = column.type
    if _is_text(kind):
        return [_decode(text) for text in column.cast(pa.large_binary()).to_pylist()]
    if _is_list(kind):
        lists = column.cast(pa.large_list(pa.large_binary())).to_pylist()
        return [None if texts is None else [_decode(text) for text in texts] for texts in lists]
    if types.is_floating(kind):
        return [number if number is not None and math.isfinite(number) else None for number in column.to_pylist()]
    return list(column.to_pylist())


def _decode(text: bytes | None) -> str | None:
    return None if text is None else text.decode(errors="replace")


def _refuse(name: Name, kind: pa.DataType, allowed: str) -> SourceError:
    return SourceError(f"the column {'.'.join(name)} is {_show(kind)}; allowed: {allowed}")


def _show(kind: pa.DataType) -> str:
    text = str(kind)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
