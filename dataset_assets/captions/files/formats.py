"""The files in which captions leave and enter the catalog: their columns and formats, and how they are read.

One row a caption. Nothing is known of the catalog here, and whether a row can be a caption is rows.py's.
"""

import gzip
import json
import os
import zlib
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_assets.errors import SettingsError, SourceError

# Prompts are not among them: their hashes tell one source from another.
COLUMNS = pa.schema(
    [
        ("image_id", pa.string()),
        ("source", pa.string()),  # name of the image's source
        ("variant", pa.string()),
        ("backend", pa.string()),
        ("model", pa.string()),
        ("system_prompt_sha256", pa.string()),
        ("user_prompt_sha256", pa.string()),
        ("parameters", pa.string()),  # JSON, as the catalog has it
        ("source_created_at", pa.int64()),  # unix seconds
        ("status", pa.string()),
        ("text", pa.string()),
        ("detail", pa.string()),
        ("input_version", pa.string()),
        ("created_at", pa.float64()),  # unix seconds
        ("attempts", pa.int32()),
        ("finish_reason", pa.string()),
        ("provider", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("cost", pa.float64()),  # USD
        ("latency", pa.float64()),  # seconds
    ]
)

Read = tuple[int, Mapping[str, Any] | str]  # a row's number, and its values or why it is not one

_LONGEST_LINE = 16 << 20  # bytes
_BUFFER = 1 << 20  # bytes of a column that are read at a time
_ROWS = 1_000  # of a Parquet file that are Python's at a time
_BOM = b"\xef\xbb\xbf"


class Format(StrEnum):
    """The formats, by the extension that names each."""

    PARQUET = ".parquet"
    JSONL = ".jsonl"
    JSONL_GZ = ".jsonl.gz"


def find_format(path: Path) -> Format:
    """Return the format that a file's name says. Raises SettingsError for any other."""
    for one in Format:
        if path.name.lower().endswith(one.value):
            return one
    raise SettingsError(f"{path}: captions are in files named *{', *'.join(Format)}")


def read_rows(path: Path, required: Collection[str]) -> Iterator[Read]:
    """Yield every row with its number from 1, of JSON Lines that of its line; blank lines are none.

    A row's values are those of `COLUMNS`, others are left out. Raises SourceError when the file cannot be read or lacks
    a required column, SettingsError for a format that is not known.
    """
    form = find_format(path)
    try:
        if form is Format.PARQUET:
            yield from _read_parquet(path, required)
        else:
            with gzip.open(path) if form is Format.JSONL_GZ else path.open("rb") as file:
                yield from _read_lines(file)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        why = str(error).splitlines()[0] if str(error) else "it ends too early"
        if isinstance(error, OSError) and error.errno:  # the system's, in words of Arrow's; damage has no number
            why = os.strerror(error.errno)
        raise SourceError(f"cannot read {path}: {why}") from error


def _read_lines(file: BinaryIO | gzip.GzipFile) -> Iterator[Read]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            while (more := file.readline(_LONGEST_LINE)) and not more.endswith(b"\n"):
                pass
            yield number, f"a line of more than {_LONGEST_LINE:,} bytes"
            continue
        line = line.removeprefix(_BOM) if number == 1 else line
        if stripped := line.strip():
            yield number, _parse_line(stripped)


def _parse_line(line: bytes) -> Mapping[str, Any] | str:
    try:
        values = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error.reason} at byte {error.start}"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    return values if isinstance(values, dict) else f"of type {type(values).__name__}, not a JSON object"


def _read_parquet(path: Path, required: Collection[str]) -> Iterator[Read]:
    with pq.ParquetFile(path, buffer_size=_BUFFER, page_checksum_verification=True) as file:
        there = [name for name in COLUMNS.names if name in file.schema_arrow.names]
        if missing := [name for name in required if name not in there]:
            raise SourceError(f"{path} has no column {' and no column '.join(missing)}")
        number = 0
        for batch in file.iter_batches(_ROWS, columns=there):
            columns = [_list_values(column) for column in batch.columns]
            for values in zip(*columns, strict=True):
                number += 1
                yield number, dict(zip(batch.schema.names, values, strict=True))


def _list_values(column: pa.Array) -> list[Any]:
    """Return the values of a column; what is neither text nor number stands as its type, which no field can be."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _list_values(column.dictionary_decode())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return list(column.to_pylist())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        try:
            return list(column.to_pylist())
        except UnicodeDecodeError:  # one bad text must not cost the others: its bytes become lone surrogates
            raw = column.cast(pa.large_binary()).to_pylist()
            return [None if value is None else value.decode(errors="surrogateescape") for value in raw]
    return [kind if valid else None for valid in column.is_valid().to_pylist()]
