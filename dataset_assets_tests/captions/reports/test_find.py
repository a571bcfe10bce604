import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_assets.captions.reports.find import find_image
from dataset_assets.catalog.images import insert_images, known_images, update_images
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DatasetError
from dataset_assets.records import sample_key
from dataset_assets_tests.catalog.rows import image
from dataset_assets_tests.datasets import settings_in

TWO = [{"name": "one", "path": "first"}, {"name": "two", "path": "second", "prefix": "more/"}]
CAFE = unicodedata.normalize("NFC", "café.jpg")


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(tmp_path, sources=TWO)) as dataset:
        yield dataset


def add(dataset: Dataset, source: str, uri: str, image_id: str = "", *, removed: bool = False) -> None:
    with dataset.catalog.writing() as connection:
        insert_images(connection, [image(uri, source=source, image_id=image_id or uri, removed=removed)])


def found(dataset: Dataset, name: str) -> tuple[str, str]:
    one = find_image(dataset, name)
    return one.source, one.uri


def refused(dataset: Dataset, name: str) -> str:
    with pytest.raises(DatasetError) as error:
        find_image(dataset, name)
    return str(error.value)


def test_an_image_has_an_id_a_path_and_a_key(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(dataset, "two", "hills/a%25.jpg", "more/hills/a%.jpg")
    add(dataset, "one", "b.jpg")
    key = sample_key("more/hills/a%.jpg")
    (tmp_path / "second" / "hills").mkdir(parents=True)
    names = ["more/hills/a%.jpg", "hills/a%.jpg", "hills/a%25.jpg", f"{tmp_path}/second/hills/a%.jpg"]

    for name in [*names, f"{tmp_path}/second/../second/./hills/a%.jpg", key, key.upper(), key[:8]]:
        assert found(dataset, name) == ("two", "hills/a%25.jpg")
    monkeypatch.chdir(tmp_path / "second" / "hills")
    assert found(dataset, "a%.jpg") == ("two", "hills/a%25.jpg")
    assert found(dataset, "../../first/b.jpg") == ("one", "b.jpg")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_an_id_is_found_however_its_accents_are_typed(dataset: Dataset, form: str) -> None:
    add(dataset, "one", unicodedata.normalize("NFD", CAFE), CAFE)

    assert find_image(dataset, unicodedata.normalize(form, CAFE)).image_id == CAFE  # type: ignore[arg-type]


def test_a_file_whose_name_is_no_text_is_found_by_its_path(dataset: Dataset, tmp_path: Path) -> None:
    add(dataset, "one", "odd%FF.jpg", "odd\\xff.jpg")

    for name in ("odd\udcff.jpg", "odd%FF.jpg", "odd\\xff.jpg", f"{tmp_path}/first/odd\udcff.jpg"):
        assert found(dataset, name) == ("one", "odd%FF.jpg")


def test_an_image_that_is_there_comes_before_one_that_was_removed(dataset: Dataset) -> None:
    add(dataset, "one", "old.jpg", "a.jpg", removed=True)
    add(dataset, "two", "new.jpg", "a.jpg")
    assert found(dataset, "a.jpg") == ("two", "new.jpg")

    with dataset.catalog.writing() as connection:
        ids = dict(zip(*(known_images(connection)[name].to_pylist() for name in ("uri", "id")), strict=True))
        update_images(connection, [{"id": ids["new.jpg"], "image_id": "b.jpg"}])
    assert found(dataset, "a.jpg") == ("one", "old.jpg")


def test_a_name_of_several_images_lists_their_paths_each_of_which_is_one(dataset: Dataset, tmp_path: Path) -> None:
    add(dataset, "one", "a.jpg")
    add(dataset, "two", "a.jpg", "more/a.jpg")

    said = refused(dataset, "a.jpg")

    paths = [f"{tmp_path}/first/a.jpg", f"{tmp_path}/second/a.jpg"]
    assert said == f"a.jpg may be any of 2 images: {paths[0]}, {paths[1]}. Give one of these"
    assert [found(dataset, path) for path in paths] == [("one", "a.jpg"), ("two", "a.jpg")]


def test_of_very_many_images_ten_are_listed(dataset: Dataset) -> None:
    for number in range(12):
        add(dataset, "gone", f"{number}.jpg", "same")

    said = refused(dataset, "same")

    assert said.startswith("same may be any of 12 images: gone: 0.jpg, gone: 1.jpg, ")
    assert said.endswith("gone: 9.jpg and 2 more. Give one of these")


def test_digits_that_begin_several_keys_are_ambiguous(dataset: Dataset) -> None:
    name, other = "88088.jpg", "55037.jpg"  # the keys of both begin with e1827a84
    add(dataset, "one", name)
    add(dataset, "one", other)

    assert refused(dataset, "e1827a84").startswith("e1827a84 may be any of 2 images: ")
    assert found(dataset, sample_key(name)[:16]) == ("one", name)
    assert found(dataset, sample_key(other)[:16]) == ("one", other)


def test_seven_digits_are_no_key(dataset: Dataset) -> None:
    add(dataset, "one", "a.jpg")

    assert refused(dataset, sample_key("a.jpg")[:7]).startswith("there is no image ")


def test_near_names_are_told(dataset: Dataset) -> None:
    for name in ("house_001.jpg", "house_002.jpg", "hills/house_001.jpg", "house_0013.jpg", "car.png"):
        add(dataset, "one", name)
    last = "Give an image_id, a path, or 8 or more digits of a sample's key"

    said = refused(dataset, "House_001.png")
    assert said == (
        "there is no image House_001.png in the last scan; near: house_001.jpg, house_0013.jpg, hills/house_001.jpg. "
        + last
    )
    assert "near: car.png." in refused(dataset, "cat.jpg")
    assert refused(dataset, "zebra.jpg") == f"there is no image zebra.jpg in the last scan. {last}"
    assert refused(dataset, "") == f"there is no image  in the last scan. {last}"
