"""samples.parquet: a row a sample of the whole export, in its order, from the indexes that the tars have.

The columns are in shards/index.py. Nothing of the tars is read here: what the table says of them is compared with them
by `verify`, with the help of SamplesCheck.
"""

from collections.abc import Generator, Iterable
from itertools import groupby, islice
from pathlib import PurePosixPath

from dataset_assets.errors import DamagedError, StorageError
from dataset_assets.shards.index import SAMPLE_SCHEMA, Row, read_index, write_groups, writing_samples
from dataset_assets.storage.layout import EXPORT_SAMPLES
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import open_table

Index = tuple[str, Location, int]  # path of the tar in the export, its index, and how many samples it has

_LONGEST_SHOWN = 60  # characters of a value in a message


def write_samples(path: Location, indexes: Iterable[Index]) -> None:
    """Write the table of the tars in their order, some megabytes in memory at a time.

    A row group is of one bucket, so that whoever asks for a bucket reads only its own. Raises StorageError.
    """
    with writing_samples(path) as writer:
        for _, bucket in groupby(indexes, lambda index: PurePosixPath(index[0]).parent):
            write_groups(writer, (table for _, index, count in bucket for table in read_index(index, count)))


def check_samples(path: Location, count: int) -> list[str]:
    """Return why the file is not a table of `count` samples with the columns of the format, one line a fault."""
    try:
        with open_table(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except DamagedError:
        return ["the file cannot be read as Parquet"]
    except StorageError as error:  # as its store says: nothing is known of what is in it
        return [str(error)]
    columns, expected = ([(field.name, str(field.type)) for field in one] for one in (schema, SAMPLE_SCHEMA))
    if columns != expected and sorted(columns) == sorted(expected):
        return ["the columns are not in the format's order"]
    if columns != expected:
        wrong = [f"{name} {kind}" for name, kind in columns if (name, kind) not in expected]
        lost = [f"{name} {kind}" for name, kind in expected if (name, kind) not in columns]
        return [f"the columns are not the format's: {_list(lost)} missing, {_list(wrong)} too many or of another type"]
    return [] if rows == count else [f"the file has {rows} rows, but the buckets hold {count} samples"]


class SamplesCheck:
    """Compares the table with one tar, sample by sample; `file` is what its faults are about."""

    file = EXPORT_SAMPLES

    def __init__(self, path: Location, first: int, count: int) -> None:
        """Begin with the row `first`, from 0, of the table at `path`; `count` rows are the tar's."""
        self._rows = _read_rows(path, first, count)
        self._number = first
        self._broken = False

    def compare(self, key: str, row: Row | None) -> list[str]:
        """Return where the next row differs from the tar's next sample; `row` is None where that cannot be told."""
        if self._broken:
            return []
        try:
            claimed = next(self._rows, None)
        except StorageError as error:
            self._broken = True
            why = "" if isinstance(error, DamagedError) else f": {error}"
            return [f"the rows of the shard from this sample on cannot be read{why}"]
        number = self._number
        self._number += 1
        if claimed is None:
            return ["the sample has no row where its shard's are"]
        if row is None:
            return []
        if claimed["key"] != key:
            return [f"row {number}, where the sample belongs, has key {show(claimed['key'])}"]
        return [
            f"{name} is {show(claimed[name])}, but in the tar it is {show(value)}"
            for name, value in row.items()
            if claimed[name] != value
        ]

    def finish(self) -> list[str]:
        """Close the table and return nothing: that a tar has not the samples that it should is a fault of its own."""
        self._rows.close()
        return []


def _read_rows(path: Location, first: int, count: int) -> Generator[Row, None, None]:
    """Yield `count` rows of the table from the row `first` on; fewer where it ends. Raises StorageError."""
    with open_table(path) as file:
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if start < first + count and first < end:
                rows = file.read_row_group(group).slice(max(first - start, 0), first + count - max(first, start))
                yield from rows.to_pylist()
            start = end


def _list(names: list[str]) -> str:
    return ", ".join(islice(names, 3)) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "none"


def show(value: object) -> str:
    """Return a value as a message shows it: long ones are cut off."""
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
