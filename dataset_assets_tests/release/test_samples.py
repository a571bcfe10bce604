"""samples.parquet: the whole export in its order, read by the tools that people use; what is wrong is found."""

from hashlib import sha256
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from dataset_assets.errors import DamagedError
from dataset_assets.release.samples import SamplesCheck, check_samples, write_samples
from dataset_assets.shards import index
from dataset_assets.shards.index import SAMPLE_SCHEMA, Row, scan_tar, write_rows, writing_samples
from dataset_assets_tests.exports import SQUARE, SQUARE_0, SQUARE_1, WIDE, WIDE_0, make_draft, write_tar

TARS = (SQUARE_0, SQUARE_1, WIDE_0)  # in the export's order
COUNTS = {SQUARE_0: 2, SQUARE_1: 1, WIDE_0: 2}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A folder with three tars, the index of each, and the table of all."""
    for path, members in make_draft().tars.items():
        write_tar(tmp_path, path, members)
        with writing_samples(index_of(tmp_path, path)) as table:
            write_rows(table, scan_tar(tmp_path / path, path))
    write_samples(tmp_path / "samples.parquet", list_indexes(tmp_path))
    return tmp_path


def index_of(folder: Path, tar: str) -> Path:
    return folder / "index" / tar.replace("/", "_")


def list_indexes(folder: Path) -> list[tuple[str, Path, int]]:
    return [(tar, index_of(folder, tar), COUNTS[tar]) for tar in TARS]


def rows_of(folder: Path) -> list[Row]:
    return list(chain.from_iterable(scan_tar(folder / tar, tar) for tar in TARS))


def test_the_table_has_every_sample_in_the_exports_order(export: Path) -> None:
    table = pq.read_table(export / "samples.parquet")

    assert table.schema.equals(SAMPLE_SCHEMA)
    assert table.to_pylist() == rows_of(export)
    assert table["image_id"].to_pylist() == ["a.png", "b.png", "c.png", "sub/d é.png", "e.png"]
    assert check_samples(export / "samples.parquet", 5) == []


def test_equal_indexes_give_equal_bytes(export: Path) -> None:
    write_samples(export / "again.parquet", list_indexes(export))

    assert (export / "again.parquet").read_bytes() == (export / "samples.parquet").read_bytes()


def test_a_row_group_is_of_one_bucket_and_says_its_range(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "ROW_GROUP", 2)
    write_samples(export / "samples.parquet", list_indexes(export))

    file = pq.ParquetFile(export / "samples.parquet")
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    columns = {name: SAMPLE_SCHEMA.get_field_index(name) for name in ("bucket_id", "key", "caption")}
    assert [group.num_rows for group in groups] == [2, 1, 2]
    for group, bucket_id in zip(groups, (SQUARE, SQUARE, WIDE), strict=True):
        said = group.column(columns["bucket_id"]).statistics
        assert (said.min, said.max) == (bucket_id, bucket_id)
        keys = group.column(columns["key"]).statistics
        assert len(keys.min) == 64
        assert keys.min < keys.max or group.num_rows == 1
        assert group.column(columns["caption"]).statistics is None  # which nobody could skip by
        assert group.column(columns["caption"]).compression == "ZSTD"
    assert file.read().to_pylist() == rows_of(export)


def test_an_index_of_many_row_groups_and_many_indexes_of_one_give_the_same(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (export / "samples.parquet").read_bytes()
    rows = list(scan_tar(export / SQUARE_0, SQUARE_0))
    with writing_samples(index_of(export, SQUARE_0)) as table:
        for row in rows:
            write_rows(table, [row])

    write_samples(export / "samples.parquet", list_indexes(export))

    assert (export / "samples.parquet").read_bytes() == whole


def test_pandas_filters_by_bucket_and_reads_members_at_random(export: Path) -> None:
    drawn = make_draft().tars
    members = dict(chain.from_iterable(sample for tar in drawn.values() for sample in tar))

    table = pd.read_parquet(export / "samples.parquet")
    wide = pd.read_parquet(export / "samples.parquet", filters=[("bucket_id", "==", WIDE)])

    assert list(wide["image_id"]) == ["sub/d é.png", "e.png"]
    assert not table.isna().to_numpy().any()
    places = [(row, extension) for row in table.to_dict("records") for extension in ("jpg", "txt", "json")]
    Random(0).shuffle(places)
    for row, extension in places:
        with (export / row["shard"]).open("rb") as tar:
            tar.seek(row[f"{extension}_offset"])
            assert tar.read(row[f"{extension}_size"]) == members[f"{row['key']}.{extension}"]


def test_pyarrow_finds_a_key(export: Path) -> None:
    key = sha256(b"c.png").hexdigest()

    found = ds.dataset(export / "samples.parquet").to_table(filter=pc.field("key") == key).to_pylist()

    assert [(row["shard"], row["caption"], row["caption_selector_index"]) for row in found] == [(SQUARE_1, "", -1)]


def test_a_damaged_index_is_said_and_no_table_is_left(export: Path) -> None:
    (export / "samples.parquet").unlink()
    index_of(export, WIDE_0).write_bytes(index_of(export, SQUARE_1).read_bytes())  # with a row too few

    with pytest.raises(DamagedError, match="was damaged and has been removed: build again"):
        write_samples(export / "samples.parquet", list_indexes(export))

    assert not (export / "samples.parquet").exists()
    assert not index_of(export, WIDE_0).exists()


def rename(table: pa.Table) -> pa.Table:
    return table.rename_columns({"caption": "text"})


def widen(table: pa.Table) -> pa.Table:
    return table.set_column(table.schema.get_field_index("w"), "w", table["w"].cast(pa.int64()))


def narrow(table: pa.Table) -> pa.Table:
    return table.drop_columns(["key", "image_id", "shard", "caption"])


def reorder(table: pa.Table) -> pa.Table:
    return table.select(table.column_names[::-1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename, "caption string missing, text string too many or of another type"),
        (widen, "w int32 missing, w int64 too many or of another type"),
        (narrow, "key string, image_id string, shard string and 1 more missing, none too many"),
        (reorder, "the columns are not in the format's order"),
        (lambda table: table.slice(1), "the file has 4 rows, but the buckets hold 5 samples"),
        (lambda table: pa.concat_tables([table, table]), "the file has 10 rows, but the buckets hold 5 samples"),
    ],
)
def test_a_table_of_another_shape_is_found(change: Any, said: str, export: Path) -> None:
    path = export / "samples.parquet"
    pq.write_table(change(pq.read_table(path)), path)

    (fault,) = check_samples(path, 5)

    assert said in fault


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 9, b"not Parquet at all"])
def test_what_is_no_table_is_found(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "samples.parquet").write_bytes(content)

    assert check_samples(tmp_path / "samples.parquet", 5) == ["the file cannot be read as Parquet"]


def compare(path: Path, rows: list[Row], first: int, count: int) -> list[list[str]]:
    check = SamplesCheck(path, first, count)
    said = [check.compare(row["key"], row) for row in rows]
    assert check.finish() == []
    return said


@pytest.mark.parametrize("group", [1, 2, 3, 100])
def test_each_tar_is_compared_with_its_own_rows(export: Path, group: int) -> None:
    rows = rows_of(export)
    pq.write_table(pq.read_table(export / "samples.parquet"), export / "samples.parquet", row_group_size=group)

    for first, count in ((0, 2), (2, 1), (3, 2), (0, 5)):
        assert compare(export / "samples.parquet", rows[first : first + count], first, count) == [[]] * count


def test_a_row_that_says_something_else_is_named_by_its_columns(export: Path) -> None:
    rows = rows_of(export)
    wrong: Row = {**rows[1], "jpg_offset": 7, "crop_scale": 0.5, "caption": "x" * 100}

    _, said = compare(export / "samples.parquet", [rows[0], wrong], 0, 2)

    assert said == [
        f"jpg_offset is {rows[1]['jpg_offset']}, but in the tar it is 7",
        f"crop_scale is {rows[1]['crop_scale']}, but in the tar it is 0.5",
        f"caption is 'two\\nlines', but in the tar it is '{'x' * 59}…",
    ]


def test_a_row_of_another_sample_and_one_that_is_not_there_are_named(export: Path) -> None:
    rows = rows_of(export)

    said = compare(export / "samples.parquet", [rows[0], rows[2], rows[1]], 0, 2)

    assert said == [
        [],
        [f"row 1, where the sample belongs, has key '{rows[1]['key'][:59]}…"],
        ["the sample has no row where its shard's are"],
    ]


def test_a_sample_that_cannot_be_told_uses_its_row_up(export: Path) -> None:
    rows = rows_of(export)
    check = SamplesCheck(export / "samples.parquet", 0, 2)

    assert check.compare("?", None) == []
    assert check.compare(rows[1]["key"], rows[1]) == []


def test_rows_that_cannot_be_read_are_said_once(export: Path) -> None:
    path = export / "samples.parquet"
    column = pq.read_metadata(path).row_group(0).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 0xFF
    path.write_bytes(data)

    said = compare(path, rows_of(export)[:2], 0, 2)

    assert said == [["the rows of the shard from this sample on cannot be read"], []]
