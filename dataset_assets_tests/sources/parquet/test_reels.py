from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.sources.parquet.columns import BY_NAME, ColumnRule
from dataset_assets.sources.parquet.reels import Spot, read_sizes
from dataset_assets_tests.sources.tables import images, noise, write

COLUMN = [*noise(100), b"", None, *noise(50, seed=1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    encoding = {"image.bytes": "DELTA_LENGTH_BYTE_ARRAY"}
    columns = {"image": images(COLUMN)}
    return write(tmp_path / "a.parquet", columns, row_group_size=120, use_dictionary=False, column_encoding=encoding)


@pytest.mark.parametrize("order", [1, -1, 37])
def test_images_are_read_in_any_order(path: Path, order: int) -> None:
    rows = [row * order % len(COLUMN) for row in range(len(COLUMN))]

    with path.open("rb") as file:
        for row in rows:
            if COLUMN[row] is not None:
                assert Spot(*divmod(row, 120)).read(file.fileno(), BY_NAME) == COLUMN[row]


def test_a_reel_outlives_the_file_it_was_begun_with(path: Path) -> None:
    for row in range(40):
        with path.open("rb") as file:
            assert Spot(0, row).read(file.fileno(), BY_NAME) == COLUMN[row]


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    read = []
    for name in ("one", "two"):
        write(tmp_path / f"{name}.parquet", {"image": [name.encode()] * 3})
        with (tmp_path / f"{name}.parquet").open("rb") as file:
            read += [Spot(0, row).read(file.fileno(), BY_NAME) for row in (1, 2)]

    assert read == [b"one", b"one", b"two", b"two"]


def test_another_column_is_another_reel(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"image": [b"a"], "other": [b"b"]})
    with path.open("rb") as file:
        assert Spot(0, 0).read(file.fileno(), BY_NAME) == b"a"
        assert Spot(0, 0).read(file.fileno(), ColumnRule(image="other")) == b"b"


def test_a_row_without_an_image_is_said(path: Path) -> None:
    with path.open("rb") as file:
        with pytest.raises(ValueError, match="no image in this row"):
            Spot(0, 101).read(file.fileno(), BY_NAME)
        with pytest.raises(ValueError, match="no such row"):
            Spot(1, 32).read(file.fileno(), BY_NAME)
        assert Spot(1, 31).read(file.fileno(), BY_NAME) == COLUMN[151]


def test_sizes(path: Path) -> None:
    with pq.ParquetFile(path) as parquet:
        sizes = [*read_sizes(parquet, 0, ("image", "bytes")), *read_sizes(parquet, 1, ("image", "bytes"))]

    assert sizes == [None if value is None else len(value) for value in COLUMN]


@pytest.mark.parametrize("kind", [pa.large_binary(), pa.binary_view()])
def test_sizes_of_other_kinds_of_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    with pq.ParquetFile(write(tmp_path / "a.parquet", {"image": pa.array([b"abc", None], kind)})) as parquet:
        assert read_sizes(parquet, 0, ("image",)) == [3, None]


@pytest.mark.parametrize("spot", [Spot(0, 0), Spot(12, 1 << 40)])
def test_a_spot_survives_being_text(spot: Spot) -> None:
    assert Spot.parse(str(spot)) == spot


@pytest.mark.parametrize("text", ["", "group1", "group1-row", "group-1-row2", "group1-row2-3", "12-34", "group¹-row2"])
def test_other_text_is_no_spot(text: str) -> None:
    assert Spot.parse(text) is None
