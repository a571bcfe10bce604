from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dataset_assets.catalog.state import load_pieces
from dataset_assets.dataset import open_dataset
from dataset_assets.errors import StorageError
from dataset_assets.gallery.near import collect_near, load_groups
from dataset_assets.gallery.pictures import Album
from dataset_assets.gallery.records import NEAR_IMAGES
from dataset_assets.gallery.stage import write_gallery
from dataset_assets.images.near import find_near_duplicates
from dataset_assets.records import sample_key
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import add_photo, build_library, settings_in
from dataset_assets_tests.gallery.written import opened, read_gallery
from dataset_assets_tests.photos import encoded, photo

NEAR = {"near": True, "near_distance": 3}


def write(folder: Path, shown: int = 240) -> dict[str, Any]:
    """Return what the page gets of a dataset that looks for near duplicates."""
    with opened(folder, shown=shown, duplicates=NEAR) as dataset:
        find_near_duplicates(dataset)
        write_gallery(dataset)
    return read_gallery(folder)


def add_alike(folder: Path, copies: int = 2) -> None:
    """Write five photos and smaller copies of the first of them."""
    for seed in range(5):
        add_photo(folder, f"{seed}.jpg", (312, 216), seed=seed)
    first = Image.fromarray(photo(312, 216, 0))
    for number in range(copies):
        smaller = first.resize((208 + 13 * number, 144 + 9 * number))
        (folder / "raw" / f"0 again {number:02d}.jpg").write_bytes(encoded(smaller))
    with open_dataset(settings_in(folder)) as dataset:
        build_library(dataset)


def test_images_that_look_alike_are_shown_side_by_side(tmp_path: Path) -> None:
    add_alike(tmp_path)

    data = write(tmp_path)

    (group,) = data["near"]
    assert (group["number"], group["count"]) == (1, 3)
    images = {one["image_id"]: one for one in group["images"]}
    assert images.keys() == {"0.jpg", "0 again 00.jpg", "0 again 01.jpg"}
    samples = {one["image_id"]: one for one in data["samples"]}
    for name, one in images.items():
        assert (one["key"], one["thumb"]) == (sample_key(name), samples[name]["thumb"])
        assert one["bucket_id"] == "p1216x832"
        assert one["distance"] <= 3
    assert {name: one["near"] for name, one in samples.items()} == dict.fromkeys(samples, 0) | dict.fromkeys(images, 1)
    assert (data["overview"]["near_groups"], data["overview"]["near_images"]) == (1, 3)


def test_one_that_the_gallery_does_not_show_has_a_picture_and_no_link(tmp_path: Path) -> None:
    add_alike(tmp_path)

    data = write(tmp_path, shown=1)

    (sample,) = data["samples"]
    for one in data["near"][0]["images"]:
        assert one["key"] == (sample["key"] if one["image_id"] == sample["image_id"] else "")
        assert (tmp_path / "out" / "gallery" / one["thumb"]["path"]).exists()


def test_of_a_large_group_some_are_shown(tmp_path: Path) -> None:
    add_alike(tmp_path, NEAR_IMAGES + 1)

    (group,) = write(tmp_path)["near"]

    assert len(group["images"]) == NEAR_IMAGES
    assert group["count"] == NEAR_IMAGES + 2


def test_where_nobody_looks_for_them_there_are_none(built: Path) -> None:
    with opened(built) as dataset:
        write_gallery(dataset)
    data = read_gallery(built)

    assert data["near"] == []
    assert (data["overview"]["near_groups"], data["overview"]["near_images"]) == (None, None)


def test_where_there_are_none_their_number_is_0(built: Path) -> None:
    data = write(built)

    assert data["near"] == []
    assert (data["overview"]["near_groups"], data["overview"]["near_images"]) == (0, 0)


def test_a_tar_that_is_gone_is_named(tmp_path: Path) -> None:
    add_alike(tmp_path)
    with opened(tmp_path, duplicates=NEAR) as dataset:
        find_near_duplicates(dataset)
        groups, album = load_groups(dataset), Album(dataset, anew=False)
        with dataset.catalog.reading() as connection:
            tars = load_pieces(connection, Stage.SHARDS)
        for tar in (tmp_path / "out" / "export").rglob("*.tar"):
            tar.unlink()

        with pytest.raises(StorageError, match=r"cannot read .*shard-\d{6}\.tar: No such file"):
            collect_near(dataset, groups, tars, {}, album)
