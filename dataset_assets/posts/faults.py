"""What can be wrong with a record, and the list of it: a line of JSON a fault, beside what was read of the file.

Nothing here decides what is wrong; who reads the rows does.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from types import TracebackType
from typing import Any, BinaryIO, Self

from dataset_assets.errors import DamagedError, StorageError
from dataset_assets.storage.atomic import remove, writing
from dataset_assets.storage.location import Location

LISTED = ".faults.jsonl"  # ending of a list of faults, in place of .parquet

_LONGEST_DETAIL = 200  # characters


class RowFault(StrEnum):
    """What is wrong with a row, or with the file it is in. Those that are `dropped` cost the row, the others do not."""

    NOT_JSON = "not_json"  # a truncated line, most often
    NOT_AN_OBJECT = "not_an_object"
    NOT_UTF8 = "not_utf8"
    NO_ID = "no_id"  # absent or null
    ID_NOT_AN_INTEGER = "id_not_an_integer"
    ID_OUT_OF_RANGE = "id_out_of_range"  # negative, or more than 63 bits
    BLANK_LINE = "blank_line"
    LINE_TOO_LONG = "line_too_long"
    DAMAGED_ROWS = "damaged_rows"  # of a Parquet file those that cannot be read, of a damaged archive all; listed once
    REPEATED_ID = "repeated_id"  # a later row has the same id, and stands for both
    LARGE_ID = "large_id"  # more than 31 bits, which some readers of ids have no room for
    NOT_TEXT = "not_text"  # a field that is a number, a list or an object: as if it were absent
    LONE_SURROGATE = "lone_surrogate"  # half a character: replaced by U+FFFD
    BOM = "bom"
    CRLF = "crlf"  # listed once a file
    ARCHIVE_CUT_SHORT = "archive_cut_short"  # what comes before the cut is read
    ARCHIVE_DAMAGED = "archive_damaged"  # a check fails: nothing in it is trusted
    UNREADABLE_FILE = "unreadable_file"

    @property
    def dropped(self) -> bool:
        """Whether the row is not among the records."""
        return self in _DROPPED


_DROPPED = frozenset(list(RowFault)[: list(RowFault).index(RowFault.REPEATED_ID)])


class Faults:
    """The faults of one file of records while it is read: counted, and listed in a file that is there if it has any.

    Use it as a context manager. Listing raises StorageError.
    """

    def __init__(self, name: str, path: Location) -> None:
        self.counts: Counter[str] = Counter()
        self._name = name
        self._path = path
        self._stack = ExitStack()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None and error is None:
            remove(self._path)
        self._stack.__exit__(kind, error, trace)

    def add(self, fault: RowFault, line: int, detail: str = "", *, count: int = 1, name: str = "") -> None:
        """Count a fault and list it; `line` counts from 1, 0 is the file. It is the first of `count` rows with it.

        `name` is the file where the list is one of several files.
        """
        if self._file is None:
            self._file = self._stack.enter_context(writing(self._path))
        self.counts[fault.value] += count
        entry = {"file": name or self._name, "line": line, "fault": fault.value, "detail": detail[:_LONGEST_DETAIL]}
        self._file.write(json.dumps(entry).encode() + b"\n")

    @property
    def dropped(self) -> int:
        """How many rows are lost so far."""
        return sum(count for fault, count in self.counts.items() if RowFault(fault).dropped)


def read_list(path: Location) -> Iterator[dict[str, Any]]:
    """Yield the faults that a list has, in its order; none where there is no list. Raises StorageError."""
    try:
        with path.open("rb") as file:
            for line in file:
                yield json.loads(line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DamagedError(f"{path} is damaged: {error}; remove it and build again") from error
