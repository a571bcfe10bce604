import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.parquet import encryption

from dataset_assets.errors import DropReason, SampleError, SourceError
from dataset_assets.sources.parquet.columns import BY_NAME, ColumnRule
from dataset_assets.sources.parquet.rows import Row, open_image, read_image, read_rows
from dataset_assets_tests.sources.tables import IMAGE, SHAPES, images, noise, write

COLUMN = [*noise(30, 300), None, b""]
IDS = [f"id {row}" for row in range(len(COLUMN))]
BY_ID = ColumnRule(id="id")


def rows_of(path: Path, rule: ColumnRule = BY_NAME) -> list[Row]:
    with path.open("rb") as file:
        return [row for rows in read_rows(file.fileno(), rule) for row in rows]


def read_all(path: Path, rows: list[Row], rule: ColumnRule = BY_NAME) -> list[bytes | None]:
    with path.open("rb") as file:
        return [read_image(file.fileno(), row.where, rule) if row.where else None for row in rows]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_each_row_says_where_its_image_lies(tmp_path: Path, shape: str, compression: str) -> None:
    columns = {"id": IDS, "image": images(COLUMN, shape), "title": IDS}
    path = write(tmp_path / "a.parquet", columns, compression=compression, row_group_size=10)

    rows = rows_of(path, BY_ID)

    assert [row.image_id for row in rows] == IDS
    assert [json.loads(row.metadata) for row in rows] == [{"title": image_id} for image_id in IDS]
    assert [row.size for row in rows] == [len(value or b"") for value in COLUMN]
    assert read_all(path, rows) == COLUMN
    assert [row.where.startswith("group") for row in rows] == [False] * len(rows)


@pytest.mark.parametrize("encoding", ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
def test_images_in_other_encodings_are_read_in_their_order(tmp_path: Path, encoding: str) -> None:
    columns = {"id": IDS, "image": COLUMN}
    path = write(tmp_path / "a.parquet", columns, use_dictionary=False, column_encoding={"image": encoding})

    rows = rows_of(path, BY_ID)

    assert [row.where for row in rows[:2]] == ["group0-row0", "group0-row1"]
    assert [row.size for row in rows] == [len(value or b"") for value in COLUMN]
    assert read_all(path, rows) == COLUMN
    with path.open("rb") as file, open_image(file.fileno(), rows[3].where, BY_NAME) as image:
        assert image.read() == COLUMN[3]


def test_a_row_without_bytes_may_have_a_path(tmp_path: Path) -> None:
    values = [
        {"bytes": b"a", "path": "inside.jpg"},
        {"bytes": None, "path": "sub/outside.jpg"},
        {"bytes": None, "path": "https://example.org/a.jpg"},
        {"bytes": None, "path": "hf://datasets/a/b.jpg"},
        {"bytes": None, "path": "data:image/png;base64,AAAA"},
        {"bytes": None, "path": "a\0b.jpg"},
        {"bytes": None, "path": ""},
        {"bytes": None, "path": None},
        None,
        {"bytes": None, "path": "100%: ½.jpg"},
    ]
    path = write(tmp_path / "a.parquet", {"image": pa.array(values, IMAGE)})

    rows = rows_of(path)

    assert [row.path for row in rows] == ["", "sub/outside.jpg", "", "", "", "", "", "", "", "100%25: ½.jpg"]
    assert [row.fault for row in rows] == [
        "",
        "",
        "is a URL",
        "is a URL",
        "is a URL",
        "a path with a NUL character",
        "no image in this row",
        "no image in this row",
        "no image in this row",
        "",
    ]


def test_a_row_without_an_id_has_a_fault_but_keeps_its_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"id": ["a", None], "image": [b"one", b"two"]})

    first, second = rows_of(path, BY_ID)

    assert (first.image_id, first.fault) == ("a", "")
    assert (second.image_id, second.fault, second.size) == ("", "no id in this row", 3)


def test_rows_come_in_small_portions_also_where_nothing_but_images_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"image": pa.array([b"x"] * 2500)})
    with path.open("rb") as file:
        assert [len(rows) for rows in read_rows(file.fileno(), BY_NAME)] == [1000, 1000, 500]
    path = write(tmp_path / "b.parquet", {"image": pa.array([b"x"] * 2500), "n": range(2500)}, row_group_size=2000)
    with path.open("rb") as file:
        assert [len(rows) for rows in read_rows(file.fileno(), BY_NAME)] == [1000, 1000, 500]


@pytest.mark.parametrize("columns", [{"image": pa.array([], pa.binary())}, {"image": pa.nulls(0), "n": pa.nulls(0)}])
def test_a_file_without_rows_offers_none(tmp_path: Path, columns: dict[str, Any]) -> None:
    assert rows_of(write(tmp_path / "a.parquet", columns)) == []


def test_a_column_of_nothing_offers_rows_without_images(tmp_path: Path) -> None:
    rows = rows_of(write(tmp_path / "a.parquet", {"image": pa.nulls(2), "n": [1, 2]}))

    assert [row.fault for row in rows] == ["no image in this row"] * 2


def test_a_column_that_is_not_there_stops(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no column image"):
        rows_of(write(tmp_path / "a.parquet", {"picture": [b"a"]}))


@pytest.mark.parametrize("keep", [0, 3, 4, 11, 100, -1, -8, -20])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "a.parquet", {"image": noise(3)})
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(SampleError) as caught:
        rows_of(path)

    assert caught.value.reason == DropReason.UNREADABLE
    assert caught.value.detail
    assert "\n" not in caught.value.detail


def test_damage_costs_its_row_group_and_is_told_by_its_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"id": IDS, "image": images(COLUMN)}, row_group_size=10, compression="none")
    start = int(rows_of(path)[10].where.split("-")[0]) - 4  # of the length before the image
    data = bytearray(path.read_bytes())
    data[start : start + 4] = b"\xff" * 4
    path.write_bytes(data)

    rows = rows_of(path, BY_ID)

    assert len(rows) == len(COLUMN)
    assert [bool(row.fault) for row in rows[:-2]] == [False] * 10 + [True] * 10 + [False] * 10
    assert rows[10].fault.startswith(f"row group 1 cannot be read: the page at byte {start}: bytes ")
    assert read_all(path, rows) == COLUMN[:10] + [None] * 10 + COLUMN[20:]


def test_damage_in_a_small_column_costs_its_row_group(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"id": IDS, "image": COLUMN}, row_group_size=10, use_dictionary=False)
    column = pq.read_metadata(path).row_group(2).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + 20] = b"\xff" * 20
    path.write_bytes(data)

    rows = rows_of(path, BY_ID)

    assert [row.image_id for row in rows] == IDS[:20] + [""] * 10 + IDS[30:]
    assert rows[20].fault.startswith("row group 2 cannot be read: ")


def test_an_image_that_is_damaged_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"image": [b"some words, some words" * 9]})
    (row,) = rows_of(path)
    data = bytearray(path.read_bytes())
    offset = int(row.where.split("-")[0])
    data[offset : offset + 9] = b"\xff" * 9
    path.write_bytes(data)

    with path.open("rb") as file, pytest.raises(SampleError, match="cannot be decompressed") as caught:
        read_image(file.fileno(), row.where, BY_NAME)
    assert caught.value.reason == DropReason.UNREADABLE
    with path.open("rb") as file, pytest.raises(SampleError):
        open_image(file.fileno(), row.where, BY_NAME)


def test_of_an_image_that_is_not_compressed_only_the_header_is_read(tmp_path: Path) -> None:
    large = bytes(5_000_000)
    path = write(tmp_path / "a.parquet", {"image": [large]}, compression="none", use_dictionary=False)
    (row,) = rows_of(path)
    before = read_bytes()

    with path.open("rb") as file, open_image(file.fileno(), row.where, BY_NAME) as image:
        assert image.read(100) == bytes(100)
        assert read_bytes() - before < 50_000
        assert len(image.read()) == 5_000_000 - 100


def read_bytes() -> int:
    """Return how many bytes this process has asked of files so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


class _Keys(encryption.KmsClient):  # type: ignore[misc]
    """Keeps keys as badly as can be."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        return key_bytes.hex().encode()

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        return bytes.fromhex(wrapped_key.decode())


def write_encrypted(path: Path, column: str, *, plain_footer: bool) -> Path:
    how = encryption.EncryptionConfiguration("footer", column_keys={"key": [column]}, plaintext_footer=plain_footer)
    factory = encryption.CryptoFactory(lambda _: _Keys())
    table = pa.table({"id": ["a", "b"], "image": [b"one", b"two"]})
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), how)
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    return path


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="encrypted"):
        rows_of(write_encrypted(tmp_path / "a.parquet", "image", plain_footer=False))


@pytest.mark.parametrize("column", ["id", "image"])
def test_rows_of_an_encrypted_column_have_a_fault(tmp_path: Path, column: str) -> None:
    rows = rows_of(write_encrypted(tmp_path / "a.parquet", column, plain_footer=True), BY_ID)

    assert len(rows) == 2
    assert all("cannot be read: " in row.fault and "decrypt" in row.fault for row in rows)
