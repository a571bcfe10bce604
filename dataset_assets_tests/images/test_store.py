from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.errors import DropReason, StorageError
from dataset_assets.images.store import (
    CROP_SCHEMA,
    ROW_GROUP,
    find_reusable,
    make_row,
    make_table,
    open_rows,
    read_crops,
    writing_crops,
)
from dataset_assets.records import Crop, Drop
from dataset_assets.storage.parquet import read_table
from dataset_assets_tests.crops import CROP


def write(path: Path, results: list[Crop | Drop]) -> list[dict[str, object]]:
    rows = [dict(make_row(slot, f"key {slot}", f"{slot}.jpg", f"from {slot}", one)) for slot, one in enumerate(results)]
    with writing_crops(path) as writer:
        for start in range(0, len(rows), ROW_GROUP):
            writer.write_table(make_table(rows[start : start + ROW_GROUP]))
    return rows


def drop(reason: DropReason) -> Drop:
    return Drop(reason=reason, detail="why", source_sha256="cd" * 32)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "crops.parquet"
    write(path, [CROP, drop(DropReason.DECODE_ERROR), CROP])

    rows = list(read_crops(path))

    assert [list(row) for row in rows] == 3 * [CROP_SCHEMA.names]
    assert {name: rows[0][name] for name in Crop.__dataclass_fields__} == {
        name: getattr(CROP, name) for name in Crop.__dataclass_fields__
    }
    assert (rows[0]["reason"], rows[0]["detail"]) == ("", "")
    assert (rows[1]["reason"], rows[1]["detail"], rows[1]["source_sha256"]) == ("decode_errors", "why", "cd" * 32)
    assert (rows[1]["jpeg"], rows[1]["w"]) == (None, None)


def test_a_table_has_the_jpegs_themselves_and_not_copies_of_them() -> None:
    results: list[Crop | Drop] = [
        CROP,
        drop(DropReason.DECODE_ERROR),
        replace(CROP, jpeg=b""),
        replace(CROP, jpeg=bytes(100_000)),
    ]
    rows = [make_row(slot, f"key {slot}", f"{slot}.jpg", f"from {slot}", one) for slot, one in enumerate(results)]

    table = make_table(rows)

    table.validate(full=True)
    assert table.equals(pa.Table.from_pylist(rows, schema=CROP_SCHEMA))
    places = [chunk.buffers()[2].address for chunk in table["jpeg"].chunks if not chunk.null_count]
    assert places == [pa.py_buffer(row["jpeg"]).address for row in rows if row["jpeg"] is not None]


def test_rows_are_found_by_number_across_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "crops.parquet"
    write(path, [CROP] * (2 * ROW_GROUP + 3))

    with open_rows(path) as rows:
        for number in (0, 1, ROW_GROUP - 1, ROW_GROUP, 2 * ROW_GROUP + 2, 5):
            assert rows[number]["image_id"] == f"{number}.jpg"


def test_what_may_be_gone_next_time_is_not_reused(tmp_path: Path) -> None:
    path = tmp_path / "crops.parquet"
    write(path, [CROP, *(drop(reason) for reason in DropReason)])

    reusable = find_reusable(path, 120)

    again = {DropReason.UNREADABLE, DropReason.SOURCE_CHANGED}
    kept = [0, *(number for number, reason in enumerate(DropReason, start=1) if reason not in again)]
    assert reusable == {f"from {number}": number for number in kept}


def test_nothing_is_reused_of_a_file_that_is_not_there_or_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "crops.parquet"
    assert find_reusable(path, 120) == {}

    write(path, [CROP] * 70)
    data = path.read_bytes()
    for cut in (0, 3, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        assert find_reusable(path, 120) == {}


def test_a_damaged_crop_is_never_read(tmp_path: Path) -> None:
    path = tmp_path / "crops.parquet"
    write(path, [CROP] * 3)
    data = path.read_bytes()
    path.write_bytes(data.replace(CROP.jpeg, CROP.jpeg[:-1] + b"?", 1))

    with pytest.raises(StorageError, match="is damaged"):
        list(read_crops(path))
    with pytest.raises(StorageError, match="is damaged"), open_rows(path) as rows:
        rows[0]


def test_an_image_that_took_too_long_is_tried_again_with_another_limit(tmp_path: Path) -> None:
    path = tmp_path / "crops.parquet"
    slow = Drop(reason=DropReason.DECODE_ERROR, detail="took longer than 5 seconds", timeout=5)
    killed = Drop(reason=DropReason.DECODE_ERROR, detail="was ended by SIGKILL", passing=True)
    write(path, [CROP, slow, killed])

    assert set(find_reusable(path, 5)) == {"from 0", "from 1"}
    assert set(find_reusable(path, 6)) == {"from 0"}


def test_nothing_is_reused_of_a_file_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "crops.parquet"
    write(path, [CROP])
    pq.write_table(read_table(path).drop_columns(["timeout"]), path)

    assert find_reusable(path, 120) == {}
