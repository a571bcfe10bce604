"""What the indexes of the export's tars say, column by column. No tar is opened."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from dataset_assets.catalog.state import Piece
from dataset_assets.damage import INDEX
from dataset_assets.dataset import Dataset
from dataset_assets.shards.index import read_index


def read_columns(dataset: Dataset, tars: Iterable[Piece], columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield these columns of SAMPLE_SCHEMA of every sample of the tars, in their order, some thousand rows at a time.

    Raises DamagedError where an index is damaged, StorageError where there is none.
    """
    for tar in tars:
        path = dataset.layout.root / str(tar.facts[INDEX]["path"])
        yield from read_index(path, tar.facts["count"], columns)
