from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dataset_assets.captions.select import SELECTION_SCHEMA
from dataset_assets.errors import DamagedError
from dataset_assets.images.store import CROP_SCHEMA
from dataset_assets.records import sample_key
from dataset_assets.shards.index import ROW_GROUP, SAMPLE_SCHEMA, scan_tar, write_groups, write_rows, writing_samples
from dataset_assets.shards.pack import CROP_COLUMNS, Shard, Tally, admit, pack
from dataset_assets.shards.sample import NO_CAPTION, check_fields
from dataset_assets.shards.tar import TarReader, TarWriter

SHARD = "buckets/p1216x832/shard-000000.tar"


def shard(policy: str = "empty") -> Shard:
    return Shard(
        path=SHARD,
        bucket_id="p1216x832",
        target=(608, 416),
        image_mode="reencode_jpeg",
        missing_caption_policy=policy,
    )


def crop(slot: int, **other: Any) -> dict[str, Any]:
    image_id = f"Käse/{slot} \"'\\.jpg"
    return {
        "slot": slot,
        "key": sample_key(image_id),
        "image_id": image_id,
        "made_from": "",
        "source_sha256": "ab" * 32,
        "reason": "",
        "detail": "",
        "passing": False,
        "timeout": 0.0,
        "jpeg": bytes([slot % 256]) * (slot * 997),
        "w": 608,
        "h": 416,
        "src_w": 900 + slot,
        "src_h": 600,
        "scale": 0.1 + slot / 3,
        "x": slot,
        "y": 0,
        "corner": 3,
        "quality": 95,
        "subsampling": "4:2:0",
        "spread": 1.0,
        "look": "0" * 16,
        **other,
    }


def choice(slot: int, text: str = "", **other: Any) -> dict[str, Any]:
    row = {"slot": slot, "variant": "caption_a", "selector_index": 1, "caption_source": 7, "text": text, "drop": ""}
    return {**row, **other}


def uncaptioned(slot: int) -> dict[str, Any]:
    variant, index, source = NO_CAPTION
    return choice(slot, variant=variant, selector_index=index, caption_source=source)


def crops_of(*rows: dict[str, Any]) -> list[pa.Table]:
    """Return crops as a file has them, a few at a time."""
    table = pa.Table.from_pylist(list(rows), CROP_SCHEMA).select(CROP_COLUMNS)
    return [table.slice(start, 3) for start in range(0, len(table), 3)]


def chosen_of(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SELECTION_SCHEMA)


def write(folder: Path, crops: list[pa.Table], chosen: pa.Table, policy: str = "empty") -> Tally:
    """Write a.tar and its index a.parquet."""
    tally = Tally()
    with (folder / "a.tar").open("wb") as file, writing_samples(folder / "a.parquet") as table:
        tar = TarWriter(file)
        write_groups(table, pack(tar, admit(crops, chosen, shard(policy), tally), shard(policy)))
        tar.close()
    return tally


def slots_in(folder: Path) -> list[int]:
    """Return the slots of the samples in a.tar, by the first byte of their pictures."""
    with (folder / "a.tar").open("rb") as file:
        return [member.data[0] for member in TarReader(file) if member.name.endswith(".jpg")]


def test_the_index_is_byte_for_byte_the_one_that_is_made_of_the_tar(tmp_path: Path) -> None:
    slots = [*range(1, 40), 200, 255]
    chosen = [choice(slot, f"Ein Bild, {slot}\nmit Umbruch \u2028 und 🐈") for slot in slots]

    write(tmp_path, crops_of(*map(crop, slots)), chosen_of(*chosen))

    with writing_samples(tmp_path / "b.parquet") as table:
        write_rows(table, scan_tar(tmp_path / "a.tar", SHARD))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert slots_in(tmp_path) == slots


def test_every_sample_has_the_fields_of_the_format(tmp_path: Path) -> None:
    rows = list(map(crop, range(1, 8)))
    tally = Tally()
    samples = admit(crops_of(*rows), chosen_of(*(choice(slot, "x") for slot in range(1, 8))), shard(), tally)
    with (tmp_path / "a.tar").open("wb") as file:
        tables = list(pack(tar := TarWriter(file), samples, shard()))
        tar.close()

    described = list(scan_tar(tmp_path / "a.tar", SHARD))
    assert [row for table in tables for row in table.to_pylist()] == described
    assert all(table.schema == SAMPLE_SCHEMA for table in tables)
    assert check_fields({}) != []
    assert [row["crop_scale"] for row in described] == [row["scale"] for row in rows]


def test_what_is_left_out_is_counted_with_its_reason(tmp_path: Path) -> None:
    crops = crops_of(
        crop(1),
        crop(2, reason="decode_errors", jpeg=None, w=None, scale=None),
        crop(3),
        crop(4),
        crop(5, reason="source_changed", jpeg=None),
    )
    chosen = chosen_of(
        choice(1, "a"), choice(2, "b"), uncaptioned(3), choice(4, drop="blank_image"), choice(5, drop="blank_image")
    )

    kept = write(tmp_path, crops, chosen)
    assert (kept.count, slots_in(tmp_path)) == (2, [1, 3])
    assert kept.drops == {"decode_errors": 1, "blank_image": 1, "source_changed": 1}
    assert (kept.selected, kept.sources) == (Counter({"1": 1}), {7})

    strict = write(tmp_path, crops, chosen, "drop")
    assert (strict.count, slots_in(tmp_path)) == (1, [1])
    assert strict.drops == {**kept.drops, "skipped_no_caption": 1}


def test_the_selection_of_a_slot_is_found_by_its_slot(tmp_path: Path) -> None:
    chosen = chosen_of(*(choice(slot, f"of {slot}") for slot in range(1, 9)))

    write(tmp_path, crops_of(crop(2), crop(5), crop(8)), chosen)

    assert [row["caption"] for row in scan_tar(tmp_path / "a.tar", SHARD)] == ["of 2", "of 5", "of 8"]


def test_a_crop_that_lacks_a_fact_is_damage(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="without src_w"):
        write(tmp_path, crops_of(crop(1), crop(2, src_w=None)), chosen_of(choice(1), choice(2)))


@pytest.mark.parametrize(("other", "said"), [({"scale": float("nan")}, "JSON"), ({"key": "../key"}, "relative")])
def test_what_the_format_cannot_hold_is_refused(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        write(tmp_path, crops_of(crop(1, **other)), chosen_of(choice(1)))


def test_a_caption_that_ends_in_a_line_break_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ends in a line break"):
        write(tmp_path, crops_of(crop(1)), chosen_of(choice(1, "a cat\n")))


def test_row_groups_are_the_same_however_the_rows_come(tmp_path: Path) -> None:
    row = {
        name: "" if kind == pa.string() else 1
        for name, kind in zip(SAMPLE_SCHEMA.names, SAMPLE_SCHEMA.types, strict=True)
    }
    rows = [{**row, "jpg_offset": number} for number in range(2 * ROW_GROUP + 5)]
    table = pa.Table.from_pylist(rows, SAMPLE_SCHEMA)

    with writing_samples(tmp_path / "a.parquet") as writer:
        write_rows(writer, rows)
    with writing_samples(tmp_path / "b.parquet") as writer:
        write_groups(writer, [table.slice(0, 7), table.slice(7, 0), table.slice(7, 15_000), table.slice(15_007)])

    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("slots", [[1, 3], [2, 1, 3], [1, 2], []])
def test_a_selection_of_other_samples_is_damage(slots: list[int]) -> None:
    crops = crops_of(*map(crop, [1, 2, 3]))

    with pytest.raises(DamagedError, match="not of the same samples"):
        list(admit(crops, chosen_of(*map(choice, slots)), shard(), Tally()))


@pytest.mark.parametrize("where", ["reason", "drop"])
def test_a_sample_of_which_nobody_says_whether_it_belongs_in_is_damage(where: str) -> None:
    crops, chosen = crops_of(crop(1), crop(2) | {where: None}), chosen_of(choice(1), choice(2) | {where: None})

    with pytest.raises(DamagedError, match="is not said"):
        list(admit(crops, chosen, shard(), Tally()))
