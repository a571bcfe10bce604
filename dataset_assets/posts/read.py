"""Reading the chosen captions of a range of tars, tar by tar: all of its texts at once may be more than memory has."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_assets.errors import DamagedError
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import open_table


def find_groups(path: Location) -> dict[int, list[tuple[int, int]]]:
    """Return which row groups of a file of chosen captions are each tar's: their numbers and rows.

    Raises StorageError where it cannot be read; DamagedError, which is one, where a row group is of several tars.
    """
    with open_table(path) as file:
        return _list_groups(file, path)


def iter_tars(path: Location) -> Iterator[tuple[int, pa.Table]]:
    """Yield the number of each tar that has records in a file of chosen captions, with its rows by id.

    Raises as `find_groups` does, also where the rows of a tar are damaged.
    """
    with open_table(path) as file:
        for tar, groups in _list_groups(file, path).items():
            yield tar, file.read_row_groups([group for group, _ in groups], use_threads=False)


def _list_groups(file: pq.ParquetFile, path: Location) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    column = file.schema_arrow.get_field_index("tar")
    for number in range(file.num_row_groups if column >= 0 else 0):
        group = file.metadata.row_group(number)
        statistics = group.column(column).statistics
        if statistics is None or not statistics.has_min_max or statistics.min != statistics.max:
            raise DamagedError(f"{path}: row group {number} is not of one tar")
        found.setdefault(statistics.min, []).append((number, group.num_rows))
    return found
