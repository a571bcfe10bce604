"""The index of a tar: what it says is what Python's tarfile finds there, made on the way or from the tar."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.errors import DamagedError, StorageError
from dataset_assets.shards import index
from dataset_assets.shards.index import (
    SAMPLE_SCHEMA,
    Row,
    describe_sample,
    read_index,
    scan_tar,
    write_rows,
    writing_samples,
)
from dataset_assets.shards.sample import MEMBERS, SAMPLE_FIELDS
from dataset_assets.shards.tar import Place, TarError
from dataset_assets_tests.exports import SQUARE_0, Draft, make_draft, write_tar


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    """A good export, whose first tar is written under tmp_path."""
    draft = make_draft()
    write_tar(tmp_path, SQUARE_0, draft.tars[SQUARE_0])
    return draft


def as_tarfile_sees_it(folder: Path, shard: str) -> list[dict[str, Any]]:
    """Return the rows that a tar must have, read with Python's own module."""
    rows: list[dict[str, Any]] = []
    with tarfile.open(folder / shard) as tar:
        for member in tar:
            key, _, extension = member.name.partition(".")
            if extension == "jpg":
                rows.append({"key": key, "shard": shard})
            rows[-1] |= {f"{extension}_offset": member.offset_data, f"{extension}_size": member.size}
            data = tar.extractfile(member)
            assert data is not None
            if extension == "txt":
                rows[-1]["caption"] = data.read().decode()[:-1]
            elif extension == "json":
                fields = json.loads(data.read())
                rows[-1] |= fields.pop("jpeg") | {f"crop_{name}": value for name, value in fields.pop("crop").items()}
                rows[-1] |= fields
    return rows


def write(path: Path, rows: list[Row]) -> Path:
    with writing_samples(path) as table:
        write_rows(table, rows)
    return path


@pytest.mark.usefixtures("draft")
def test_a_tar_is_described_as_it_is(tmp_path: Path) -> None:
    rows = list(scan_tar(tmp_path / SQUARE_0, SQUARE_0))

    assert rows == as_tarfile_sees_it(tmp_path, SQUARE_0)
    assert [list(row) for row in rows] == [SAMPLE_SCHEMA.names] * 2
    assert [row["caption"] for row in rows] == ["a square, α", "two\nlines"]


def test_every_field_of_the_json_has_its_column() -> None:
    scalars = {name for name, kind in SAMPLE_FIELDS.items() if isinstance(kind, type)}
    places = {f"{extension}_{what}" for extension in MEMBERS for what in ("offset", "size")}
    nested = {"quality", "subsampling", "crop_scale", "crop_x", "crop_y", "crop_corner"}

    assert set(SAMPLE_SCHEMA.names) == scalars | places | nested | {"key", "shard", "caption"}
    assert not any(field.nullable for field in SAMPLE_SCHEMA)


def test_equal_rows_give_equal_bytes_with_types_and_without_nulls(draft: Draft, tmp_path: Path) -> None:
    rows = list(scan_tar(tmp_path / SQUARE_0, SQUARE_0))

    first, second = (write(tmp_path / name, rows) for name in ("first", "second"))

    assert first.read_bytes() == second.read_bytes()
    table = pq.read_table(first)
    assert table.schema.equals(SAMPLE_SCHEMA)
    assert table.to_pylist() == rows
    assert {column.null_count for column in table.columns} == {0}


def test_an_index_is_read_a_row_group_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "ROW_GROUP", 2)
    write_tar(tmp_path, "a.tar", [sample for samples in make_draft().tars.values() for sample in samples])
    rows = list(scan_tar(tmp_path / "a.tar", "a.tar"))

    path = write(tmp_path / "one.parquet", rows)

    tables = list(read_index(path, 5))
    assert [len(table) for table in tables] == [2, 2, 1]
    assert pa.concat_tables(tables).to_pylist() == rows


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    table = pq.read_metadata(path).row_group(0).column(0)
    data = bytearray(path.read_bytes())
    data[table.data_page_offset + table.total_compressed_size - 1] ^= 0xFF  # the end of the keys
    path.write_bytes(data)


def rename(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"image_id", b"image\xff\xff\xff"))


def replace(path: Path) -> None:
    pq.write_table(pa.table({"key": ["a", "b"]}), path)


def empty(path: Path) -> None:
    write(path, [])


@pytest.mark.usefixtures("draft")
@pytest.mark.parametrize("damage", [cut, flip, rename, replace, empty])
def test_a_damaged_index_is_removed_and_said(damage: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "index" / "one.parquet", list(scan_tar(tmp_path / SQUARE_0, SQUARE_0)))
    damage(path)

    with pytest.raises(DamagedError, match=r"one\.parquet was damaged and has been removed: build again"):
        list(read_index(path, 2))

    assert not path.exists()
    with pytest.raises(StorageError, match=r"cannot read .*one\.parquet"):
        list(read_index(path, 2))


@pytest.mark.usefixtures("draft")
def test_one_changed_byte_is_found_or_changes_nothing(tmp_path: Path) -> None:
    rows = list(scan_tar(tmp_path / SQUARE_0, SQUARE_0))
    path = write(tmp_path / "one.parquet", rows)
    good, found = path.read_bytes(), 0

    for place in range(0, len(good), 31):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        try:
            assert pa.concat_tables(read_index(path, 2)).to_pylist() == rows, place
        except DamagedError:
            found += 1

    assert found > len(good) // 31 // 2


def swap(draft: Draft) -> None:
    members = draft.tars[SQUARE_0][0]
    members[1:] = members[:0:-1]


def drop(draft: Draft) -> None:
    draft.tars[SQUARE_0][1].pop()


def mix(draft: Draft) -> None:
    draft.tars[SQUARE_0][0][1] = (draft.tars[SQUARE_0][1][1][0], b"x\n")


def garble(draft: Draft) -> None:
    draft.tars[SQUARE_0][0][2] = (draft.tars[SQUARE_0][0][2][0], b"{")


def deepen(draft: Draft) -> None:
    draft.tars[SQUARE_0][0][2] = (draft.tars[SQUARE_0][0][2][0], b"[" * 10**5)


def forget(draft: Draft) -> None:
    draft.fields("a.png", w=None)


def latin(draft: Draft) -> None:
    draft.tars[SQUARE_0][0][1] = (draft.tars[SQUARE_0][0][1][0], b"caf\xe9\n")


@pytest.mark.parametrize(
    ("damage", "offset", "what"),
    [
        (swap, 512, "the members are not jpg, txt, json of one sample"),
        (drop, None, "the members are not jpg, txt, json of one sample"),
        (mix, 512, "the members are not"),
        (garble, 512, "the sample [0-9a-f]{64}: "),
        (deepen, 512, "the sample [0-9a-f]{64}: "),
        (forget, 512, "w is not int but NoneType"),
        (latin, 512, "'utf-8' codec"),
    ],
)
def test_what_is_no_sample_is_refused(damage: Any, offset: int | None, what: str, tmp_path: Path) -> None:
    draft = make_draft()
    damage(draft)
    write_tar(tmp_path, SQUARE_0, draft.tars[SQUARE_0])

    with pytest.raises(TarError, match=what) as caught:
        list(scan_tar(tmp_path / SQUARE_0, SQUARE_0))

    assert offset in (None, caught.value.offset)


def test_a_tar_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TarError, match="the file cannot be read: No such file"):
        list(scan_tar(tmp_path / "gone.tar", "gone.tar"))
    with pytest.raises(TarError, match="the file cannot be read: Is a directory"):
        list(scan_tar(tmp_path, "."))


def test_a_sample_is_described_from_its_parts(draft: Draft) -> None:
    (name, jpeg), (_, text), (_, fields) = draft.sample("b.png")
    key = name.removesuffix(".jpg")
    places = [Place(f"{key}.jpg", 512, len(jpeg)), Place(f"{key}.txt", 9000, 10), Place(f"{key}.json", 10_000, 400)]

    row = describe_sample(SQUARE_0, places, text, fields)

    assert (row["key"], row["image_id"], row["shard"]) == (key, "b.png", SQUARE_0)
    assert (row["jpg_offset"], row["jpg_size"], row["txt_offset"], row["json_size"]) == (512, len(jpeg), 9000, 400)
    assert (row["quality"], row["subsampling"], row["crop_corner"]) == (
        95,
        "4:2:0",
        json.loads(fields)["crop"]["corner"],
    )
    with pytest.raises(ValueError, match="image_id is missing"):
        describe_sample(SQUARE_0, places, text, b"{}")
