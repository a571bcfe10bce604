"""Some rows of a file of records, as they travel from the readers to the texts; and what a row must be.

How rows come out of a file is lines.py's and tables.py's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dataset_assets.posts.faults import Faults, RowFault
from dataset_assets.settings import RecordSettings

LARGEST_ID = 2**63 - 1
_LARGEST_COMMON_ID = 2**31 - 1
TEXT = pa.large_string()

Row = tuple[Any, ...]  # the id, and the text of every field or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Which fields of a record are read."""

    id: str
    names: tuple[str, ...]  # of the texts, each once

    @classmethod
    def of(cls, settings: RecordSettings) -> "Fields":
        """Return the fields that the settings name."""
        joined = [name for variant in settings.variants for name in variant.join]
        asked = [variant.when.field for variant in settings.variants if variant.when]
        return cls(id=settings.id, names=tuple(dict.fromkeys(joined + asked)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows that have an id, in the order of the file."""

    ids: npt.NDArray[np.int64]  # (rows,)
    lines: npt.NDArray[np.int64]  # (rows,), from 1
    texts: Mapping[str, pa.Array]  # by field, large_string (rows,); null where it has none


def make_batch(rows: Sequence[Row], lines: npt.NDArray[np.int64], fields: Fields) -> Batch:
    """Return rows as a batch; nothing is counted."""
    ids, *columns = zip(*rows, strict=True) if rows else ((), *(() for _ in fields.names))
    texts = {name: pa.array(column, TEXT) for name, column in zip(fields.names, columns, strict=True)}
    return Batch(ids=np.array(ids, np.int64), lines=lines, texts=texts)


def note_large_ids(batch: Batch, faults: Faults) -> None:
    """Count the ids that some readers have no room for, in a batch of which nothing else is counted."""
    for place in np.flatnonzero(batch.ids > _LARGEST_COMMON_ID):
        _note_large_id(int(batch.ids[place]), int(batch.lines[place]), faults)


def _note_large_id(number: int, line: int, faults: Faults) -> None:
    faults.add(RowFault.LARGE_ID, line, str(number))


def judge_row(values: Mapping[str, Any], line: int, fields: Fields, faults: Faults) -> Row | None:
    """Return the row that a record is, None where it has no usable id; count what is wrong with it."""
    number = values.get(fields.id)
    if number is None:
        faults.add(RowFault.NO_ID, line, "null" if fields.id in values else "")
    elif type(number) is not int:
        faults.add(RowFault.ID_NOT_AN_INTEGER, line, describe(number))
    elif not 0 <= number <= LARGEST_ID:
        faults.add(RowFault.ID_OUT_OF_RANGE, line, str(number) if number.bit_length() < 1000 else "a very large number")
    else:
        return (number, *(_judge_text(name, values.get(name), line, faults) for name in fields.names))
    return None


def _judge_text(name: str, value: Any, line: int, faults: Faults) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        faults.add(RowFault.NOT_TEXT, line, f"{name} is {describe(value)}")
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        faults.add(RowFault.LONE_SURROGATE, line, name)
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def describe(value: Any) -> str:
    """Return what a value is, in the words of JSON; of a column its type."""
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"of type {value}"


def take_rows(rows: Iterable[Row | None], lines: Iterable[int], fields: Fields, faults: Faults) -> Batch:
    """Return the batch of the rows that are not None, with their lines, and count large ids.

    `rows` may count faults of each row when it is asked for it: the list of faults is by line then.
    """
    kept = []
    for row, line in zip(rows, lines, strict=True):
        if row is not None:
            kept.append((row, line))
            if row[0] > _LARGEST_COMMON_ID:
                _note_large_id(row[0], line, faults)
    return make_batch([row for row, _ in kept], np.array([line for _, line in kept], np.int64), fields)
