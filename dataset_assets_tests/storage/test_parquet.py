from pathlib import Path

import pyarrow as pa
import pytest

from dataset_assets.errors import StorageError
from dataset_assets.storage.parquet import open_table, read_table, write_table, writing_table
from dataset_assets_tests import children

SCHEMA = pa.schema([("slot", pa.int64()), ("jpeg", pa.binary())])
TABLE = pa.table({"slot": [1, 2, 3], "jpeg": [b"one", b"", bytes(3000)]}, schema=SCHEMA)
FULL = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from dataset_assets.errors import StorageError
from dataset_assets.storage.parquet import write_table, writing_table

table = pa.table({"slot": list(range(10_000)), "text": [str(number) * 9 for number in range(10_000)]})
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))  # the disk ends here
try:
    if sys.argv[2] == "whole":
        write_table(Path(sys.argv[1]), table)
    with writing_table(Path(sys.argv[1]), table.schema, compression="none") as writer:
        for _ in range(10):
            writer.write_table(table)
except StorageError as error:
    print(error)
"""


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "plans" / "one.parquet"

    write_table(path, TABLE)

    assert read_table(path).equals(TABLE)
    assert read_table(path, ["slot"]).column_names == ["slot"]
    assert [one.name for one in path.parent.iterdir()] == ["one.parquet"]


def test_row_groups_are_written_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"

    with writing_table(path, SCHEMA, compression="none") as writer:
        writer.write_table(TABLE)
        assert not path.exists()
        writer.write_table(TABLE)

    with open_table(path) as file:
        assert file.num_row_groups == 2
        assert file.read_row_group(1).equals(TABLE)


def test_some_columns_have_ranges_and_some_have_dictionaries(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"

    with writing_table(path, SCHEMA, compression="zstd", ranged=["slot"], repeating=["jpeg"]) as writer:
        writer.write_table(TABLE)

    with open_table(path) as file:
        slot, jpeg = (file.metadata.row_group(0).column(number) for number in range(2))
        assert (slot.statistics.min, slot.statistics.max, slot.has_dictionary_page) == (1, 3, False)
        assert (jpeg.statistics, jpeg.has_dictionary_page, jpeg.compression) == (None, True, "ZSTD")
        assert file.read().equals(TABLE)


def test_an_exception_leaves_no_table(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing_table(tmp_path / "one", SCHEMA, compression="none") as writer:
        writer.write_table(TABLE.slice(0, 1 // 0))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["whole", "by row groups"])
def test_a_full_disk_is_said_and_leaves_the_old_table(tmp_path: Path, how: str) -> None:
    path = tmp_path / "one.parquet"
    write_table(path, TABLE)

    said = children.run(FULL, path, how)

    assert said.startswith(f"cannot write {path}: ")
    assert "File too large" in said
    assert read_table(path).equals(TABLE)
    assert [one.name for one in tmp_path.iterdir()] == ["one.parquet"]


def test_a_missing_table_is_said(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"

    with pytest.raises(StorageError, match=f"cannot read {path}: No such file or directory"):
        read_table(path)


@pytest.mark.parametrize("left", [0, 3, 100, -1])
def test_a_table_cut_off_is_said(tmp_path: Path, left: int) -> None:
    path = tmp_path / "one.parquet"
    write_table(path, TABLE)
    path.write_bytes(path.read_bytes()[:left])

    with pytest.raises(StorageError, match=r"one\.parquet is damaged: .*; remove it and build again"):
        read_table(path)


def test_a_table_with_broken_pages_is_said(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    write_table(path, TABLE)
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\xff" * 60 + data[64:])

    with pytest.raises(StorageError, match=r"one\.parquet"):
        read_table(path)
