import json
import os
from pathlib import Path

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.errors import DatasetError, StorageError
from dataset_assets.records import sample_key
from dataset_assets.shards.locate import find_key, find_number, names_sample
from dataset_assets.shards.tar import list_places
from dataset_assets.storage.layout import Layout
from dataset_assets_tests.datasets import add_photo, build_library, settings_in

WIDE_0, WIDE_1 = (f"buckets/p1216x832/shard-00000{number}.tar" for number in (0, 1))


@pytest.fixture
def layout(built: Path) -> Layout:
    """Of a build: four samples in each of the first two tars of p1216x832, two in its third."""
    return Layout(built / "out")


def file_of(layout: Layout, shard: str) -> Path:
    return Path(str(layout.export / shard))


def change(tar: Path, at: int, data: bytes) -> None:
    with tar.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_which_texts_name_a_sample() -> None:
    for name in ("p1/shard-000003.tar:17", "shard-3:0", "anything.tar:17", "shard-000003.tar:", "a.tar:x", "a.tar:-1"):
        assert names_sample(name)
    for name in ("a.jpg", "shard-000003.tar", "a:17", "shard:17", "a.tar/b:17", "ab" * 32, "photos/shard-1.jpg:2", ""):
        assert not names_sample(name)


def test_a_sample_by_its_number(layout: Layout) -> None:
    found = [find_number(layout, f"p1216x832/shard-000001.tar:{number}") for number in range(4)]

    with (layout.export / WIDE_1).open("rb") as file:
        places = list(list_places(file))
    assert [one.row["jpg_offset"] for one in found] == [place.offset for place in places[::3]]
    assert [one.row["key"] for one in found] == [place.name.removesuffix(".jpg") for place in places[::3]]
    assert {(one.shard, one.fault) for one in found} == {(WIDE_1, "")}
    assert [one.number for one in found] == [0, 1, 2, 3]
    assert {one.row["key"] for one in found} == {sample_key(one.row["image_id"]) for one in found}


def test_the_box_is_a_part_of_the_source(layout: Layout) -> None:
    for number in range(4):
        stored = find_number(layout, f"{WIDE_0}:{number}")  # of 104×72, scaled to 72×50
        assert stored.box is not None
        left, top, right, bottom = stored.box
        assert (left, right) == (0.0, 1.0)
        assert bottom - top == pytest.approx(48 / 50)
        assert top == stored.row["crop_y"] / 50


def test_what_was_passed_through_is_the_whole_source(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.jpg", (208, 144))
    with open_dataset(settings_in(tmp_path, images={"mode": "passthrough_jpeg"})) as dataset:
        build_library(dataset)
        stored = find_number(dataset.layout, f"{WIDE_0}:0")

    assert (stored.box, stored.fault) == ((0.0, 0.0, 1.0, 1.0), "")
    assert (stored.row["w"], stored.row["h"]) == (208, 144)


def test_a_path_on_disk_and_every_end_of_it_name_a_tar(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file_of(layout, "buckets"))
    found = find_number(layout, f"{WIDE_1}:0")

    for name in ("p1216x832/shard-1", "../buckets/p1216x832/shard-000001.tar", layout.export / WIDE_1, "shard-000002"):
        expected = found.shard if name != "shard-000002" else "buckets/p1216x832/shard-000002.tar"
        assert find_number(layout, f"{name}:0").shard == expected


def test_a_tar_that_is_not_there(layout: Layout, tmp_path: Path) -> None:
    at = f"in {layout.export}; "
    for name, said in {
        "p1216x832/shard-000007.tar": f"{at}p1216x832 has shard-000000.tar to shard-000002.tar",
        "p1/shard-000000": f"{at}its buckets are p1024x1024, p1216x832, p832x1152",
        "/elsewhere/p1216x832/shard-000000.tar": f"{at}p1216x832 has shard-000000.tar to shard-000002.tar",
        f"{'long' * 100}.tar": f"{at}its buckets are p1024x1024, p1216x832, p832x1152",
    }.items():
        with pytest.raises(DatasetError) as raised:
            find_number(layout, f"{name}:0")
        assert str(raised.value) == f"there is no tar {name} {said}"
    with pytest.raises(DatasetError, match="it has none yet: build"):
        find_number(Layout(tmp_path / "nothing"), "p1216x832/shard-000000:0")


def test_a_tar_that_may_be_several(layout: Layout) -> None:
    with pytest.raises(DatasetError) as raised:
        find_number(layout, "shard-000000:0")

    names = ", ".join(f"{bucket}/shard-000000.tar" for bucket in ("p1024x1024", "p1216x832", "p832x1152"))
    assert str(raised.value) == f"shard-000000 may be any of 3 tars: {names}. Give one of these"


def test_a_number_beyond_the_end(layout: Layout) -> None:
    with pytest.raises(DatasetError) as raised:
        find_number(layout, f"{WIDE_0}:4")

    assert str(raised.value) == f"{WIDE_0} has 4 samples, from number 0 on: there is no number 4"


@pytest.mark.parametrize("number", ["", "-1", "x", "1.0", "٣", "9" * 5_000])
def test_what_is_no_number(layout: Layout, number: str) -> None:
    with pytest.raises(DatasetError, match=r"behind the colon comes which sample .* 0 for the first$"):
        find_number(layout, f"{WIDE_0}:{number}")


def test_a_damaged_tar_is_named_unless_the_sample_lies_before(layout: Layout) -> None:
    tar = file_of(layout, WIDE_0)
    second = find_number(layout, f"{WIDE_0}:1")
    change(tar, second.row["jpg_offset"] - 512, b"\xff")

    assert find_number(layout, f"{WIDE_0}:0").number == 0
    with pytest.raises(StorageError) as raised:
        find_number(layout, f"{WIDE_0}:1")
    assert str(raised.value).startswith(f"{WIDE_0} is damaged: byte {second.row['jpg_offset'] - 512}: not a header: ")
    assert str(raised.value).endswith(". Delete it and run `dataset-assets build`: it is written again")
    with pytest.raises(StorageError, match=r"shard-000000\.tar is damaged"):
        find_key(layout, WIDE_0, second.row["key"])


@pytest.mark.parametrize("size", [0, 100, 700])
def test_a_tar_that_is_cut_off(layout: Layout, size: int) -> None:
    os.truncate(file_of(layout, WIDE_0), size)

    with pytest.raises(StorageError, match=r"shard-000000\.tar is damaged: byte \d+: .*ends where"):
        find_number(layout, f"{WIDE_0}:0")


def test_a_damaged_jpeg_is_told(layout: Layout) -> None:
    tar, first = file_of(layout, WIDE_0), find_number(layout, f"{WIDE_0}:0").row

    change(tar, first["jpg_offset"] + first["jpg_size"] // 2, bytes(300))
    assert find_number(layout, f"{WIDE_0}:0").fault.startswith("the JPEG is damaged: ")
    change(tar, first["jpg_offset"], b"no")
    assert find_number(layout, f"{WIDE_0}:0").fault == "the JPEG is damaged: it is not a JPEG"
    assert find_number(layout, f"{WIDE_0}:1").fault == ""


def test_sizes_that_no_image_has(layout: Layout) -> None:
    tar, first = file_of(layout, WIDE_0), find_number(layout, f"{WIDE_0}:0").row
    with tar.open("rb") as file:
        file.seek(first["json_offset"])
        fields = json.loads(file.read(first["json_size"]))
    assert fields["src_w"] == 104
    data = json.dumps(fields | {"src_w": 0}, separators=(",", ":")).encode().ljust(first["json_size"])
    change(tar, first["json_offset"], data)

    stored = find_number(layout, f"{WIDE_0}:0")

    assert (stored.box, stored.fault) == (None, "its JSON has sizes that no image has")


def test_a_sample_by_its_key(layout: Layout) -> None:
    second = find_number(layout, f"{WIDE_0}:1")

    assert find_key(layout, WIDE_0, second.row["key"]) == second
    assert find_key(layout, WIDE_1, second.row["key"]) is None
    assert find_key(layout, "buckets/p1216x832/shard-000009.tar", second.row["key"]) is None
