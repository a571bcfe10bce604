import shutil
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize

import pytest

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.captions.select import select_captions
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DatasetError, StorageError
from dataset_assets.release.describe import describe_sample
from dataset_assets.sources.scan import scan_sources
from dataset_assets_tests.catalog.rows import add_images
from dataset_assets_tests.datasets import SQUARE, TINY, add_photo, build_library, caption, partition_keys, settings_in
from dataset_assets_tests.photos import jpeg


@pytest.fixture
def dataset(built: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(built)) as dataset:
        yield dataset


def test_a_sample_and_the_image_it_was_made_of(dataset: Dataset, built: Path) -> None:
    told = describe_sample(dataset, "000.jpg")

    assert told.stored is not None
    assert (told.now.image_id, told.stored.row["image_id"]) == ("000.jpg", "000.jpg")
    assert told.stored.shard == f"buckets/p1216x832/shard-{told.now.shard:06d}.tar"
    assert (told.path, told.missing, told.pending) == (str(built / "raw" / "000.jpg"), "", "")
    assert describe_sample(dataset, f"{told.stored.shard}:{told.stored.number}") == told


def test_every_sample_of_every_tar_is_found_both_ways(dataset: Dataset) -> None:
    names = set()
    for number in range(20):
        told = describe_sample(dataset, f"{number:03d}.jpg")
        assert told.stored is not None
        names.add(f"{told.stored.shard}:{told.stored.number}")
        assert told.stored.row["caption"] == told.now.text

    assert len(names) == 20
    assert {describe_sample(dataset, name).now.image_id for name in names} == {
        f"{number:03d}.jpg" for number in range(20)
    }


def test_images_that_are_not_exported_say_why(dataset: Dataset, built: Path) -> None:
    add_photo(built, "tiny.jpg", TINY)
    (built / "raw" / "empty.jpg").touch()
    (built / "raw" / "bad.jpg").write_bytes(jpeg(*SQUARE, 99)[:-200])
    build_library(dataset)

    missing = {name: describe_sample(dataset, f"{name}.jpg").missing for name in ("tiny", "empty", "bad")}

    assert missing["tiny"].startswith("skipped_too_small: 20×20 pixels; ")
    assert missing["empty"] == "skipped_empty_file: the file is empty"
    assert missing["bad"].startswith("decode_errors: ")


def test_an_image_without_a_caption_that_may_not_be_without(built: Path) -> None:
    with open_dataset(settings_in(built, captions={"missing_caption_policy": "drop"})) as dataset:
        pending = describe_sample(dataset, "001.jpg").pending
        build_library(dataset)
        told = describe_sample(dataset, "001.jpg")

    why = "no selector has a caption for it, so it is left out: selector 0 (caption_sidecar) has none"
    assert pending == f"the next build takes it out: {why}"
    assert (told.stored, told.missing, told.pending) == (None, why, "")


def test_an_image_that_has_no_tar_yet(dataset: Dataset, built: Path) -> None:
    add_photo(built, "new.jpg", caption="A new hill.")
    scan_sources(dataset)
    assign_buckets(dataset)

    told = describe_sample(dataset, "new.jpg")

    assert (told.stored, told.missing) == (None, "it is not made yet")


@pytest.mark.parametrize("name", ["shard-000000:3.jpg", "p1216x832/shard-000000.tar:0 b.jpg"])
def test_an_image_that_is_called_like_a_sample_of_a_tar_is_that_image(built: Path, name: str) -> None:
    (built / "raw" / name).parent.mkdir(exist_ok=True)
    shutil.copy(built / "raw" / "000.jpg", built / "raw" / name)
    with open_dataset(settings_in(built)) as dataset:
        build_library(dataset)

        for typed in (name, str(built / "raw" / name)):
            assert describe_sample(dataset, typed).now.image_id == name
        with pytest.raises(DatasetError, match="behind the colon comes which sample"):
            describe_sample(dataset, "shard-000000:4.jpg")


def test_an_id_that_is_a_tar_and_a_number_is_that_image(dataset: Dataset) -> None:
    name = "p1216x832/shard-000000:0"
    before = describe_sample(dataset, name).now.image_id
    with dataset.catalog.writing() as connection:
        add_images(connection, name)

    assert before != name
    assert describe_sample(dataset, name).now.image_id == name


def test_what_the_next_build_changes(dataset: Dataset, built: Path) -> None:
    stored = {name: describe_sample(dataset, name).stored for name in ("000.jpg", "002.jpg")}
    (built / "raw" / "000.txt").write_text("Another hill.")
    (built / "raw" / "002.jpg").unlink()
    scan_sources(dataset)
    assign_buckets(dataset)
    for key in partition_keys(dataset):
        for variant in dataset.settings.captions.in_turn:
            caption(dataset, variant, key)
        select_captions(dataset, key)

    captioned, removed = describe_sample(dataset, "000.jpg"), stored["002.jpg"]

    assert captioned.stored == stored["000.jpg"]
    assert captioned.pending == "the next build replaces the caption that the tar has: photo number 0"
    assert removed is not None
    told = describe_sample(dataset, f"{removed.shard}:{removed.number}")
    assert (told.stored, told.now.removed) == (removed, True)
    assert told.pending == "the next build takes it out: it was removed from its source"
    assert describe_sample(dataset, "002.jpg").missing == "it was removed from its source"


def test_a_damaged_tar_is_named(dataset: Dataset, built: Path) -> None:
    told = describe_sample(dataset, "000.jpg")
    assert told.stored is not None
    (built / "out" / "export" / told.stored.shard).write_bytes(b"no tar")

    assert describe_sample(dataset, "000.jpg").missing.startswith(f"{told.stored.shard} is damaged: byte 0: ")
    with pytest.raises(StorageError, match=f"^{told.stored.shard} is damaged: byte 0: "):
        describe_sample(dataset, f"{told.stored.shard}:0")
    shutil.rmtree(built / "out" / "export")
    assert describe_sample(dataset, "000.jpg").missing == f"it is not in {told.stored.shard} yet: build"


def test_a_sample_whose_id_another_image_has_that_was_left_out(dataset: Dataset, built: Path) -> None:
    name = "h\u00fcgel.jpg"
    for form in ("NFC", "NFD"):
        add_photo(built, normalize(form, name), SQUARE, seed=30)
    build_library(dataset)
    with pytest.raises(DatasetError, match="may be any of 2 images"):
        describe_sample(dataset, name)

    told = [describe_sample(dataset, f"p1024x1024/shard-1:{number}") for number in range(2)]

    (found,) = [one for one in told if one.now.image_id == name]
    assert (found.missing, found.pending, found.now.shard) == ("", "", 1)
