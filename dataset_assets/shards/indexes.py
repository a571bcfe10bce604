"""The indexes of many tars, as their pieces name them. What is in one is index.py's; no tar is opened."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from dataset_assets.catalog.state import Piece
from dataset_assets.damage import index_path
from dataset_assets.dataset import Dataset
from dataset_assets.shards.index import read_index


def read_columns(dataset: Dataset, tars: Iterable[Piece], columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of every sample of the tars, in their order, some thousand at a time.

    All columns of SAMPLE_SCHEMA unless some are named. Raises DamagedError where an index is damaged, StorageError
    where there is none.
    """
    for tar in tars:
        yield from read_index(index_path(dataset.layout, tar), tar.facts["count"], columns)
