"""Reading the chosen captions of a range of tars: whole, or tar by tar."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from dataset_assets.dataset import Dataset
from dataset_assets.freshness import Stage
from dataset_assets.storage.parquet import open_table, read_table
from dataset_assets.work import condemning


def read_range(dataset: Dataset, key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the chosen captions of a range, or some columns of them (form.caption_schema), by tar and id.

    All of its texts are in memory then: `iter_tars` has those of one tar at a time. Raises StorageError.
    """
    path = dataset.layout.record_captions(key)
    with condemning(dataset, (Stage.RECORD_CAPTIONS, key, 0), path):
        return read_table(path, list(columns) if columns is not None else None)


def iter_tars(
    path: Path, wanted: Collection[int] | None = None, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, pa.Table]]:
    """Yield the number of each tar that has records in a file of captions, with its rows by id; `wanted` are the tars.

    Only the row groups of these are read. Raises StorageError, and DamagedError where the file is damaged.
    """
    with open_table(path) as file:
        place = file.schema_arrow.names.index("tar")
        groups: dict[int, list[int]] = {}  # one a tar, unless it has more rows than fit
        for number in range(file.num_row_groups):
            groups.setdefault(file.metadata.row_group(number).column(place).statistics.min, []).append(number)
        for tar, numbers in groups.items():
            if wanted is None or tar in wanted:
                yield (
                    tar,
                    file.read_row_groups(numbers, list(columns) if columns is not None else None, use_threads=False),
                )
