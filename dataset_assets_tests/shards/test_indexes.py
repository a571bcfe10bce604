from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.catalog.state import Piece, load_pieces
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import StorageError
from dataset_assets.shards.indexes import read_columns
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import settings_in


def tars_of(dataset: Dataset) -> list[Piece]:
    with dataset.catalog.reading() as connection:
        return load_pieces(connection, Stage.SHARDS)


def test_columns_are_those_of_the_table_in_its_order(built: Path) -> None:
    columns = ["caption", "src_w"]
    with open_dataset(settings_in(built)) as dataset:
        read = pa.concat_tables(read_columns(dataset, tars_of(dataset), columns))
        expected = pq.read_table(built / "out" / "export" / "samples.parquet", columns=columns)

    assert sorted(read.to_pylist(), key=str) == sorted(expected.to_pylist(), key=str)
    assert read.column_names == columns


def test_an_index_that_is_gone_is_named(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        (built / "out" / "index" / "p1216x832" / "shard-000000.parquet").unlink()

        with pytest.raises(StorageError, match=r"index/p1216x832/shard-000000\.parquet: No such file"):
            list(read_columns(dataset, tars_of(dataset), ["caption"]))
