from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from dataset_assets.captions.samples import measure_length, pick_samples
from dataset_assets.dataset import open_dataset
from dataset_assets.records import sample_key
from dataset_assets_tests.datasets import add_photo, build_library, settings_in

KEY = "p1216x832_000000-000001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A built dataset of eight photos of one partition: four captions of known length, one empty, three missing."""
    for seed in range(8):
        caption = "x" * (10 * seed) if seed < 5 else None
        add_photo(tmp_path, f"{seed}.jpg", seed=seed, caption=caption)
    with open_dataset(settings_in(tmp_path)) as dataset:
        build_library(dataset)
    return tmp_path


def test_the_mean_length_is_of_captions_that_can_be_selected(folder: Path) -> None:
    with open_dataset(settings_in(folder)) as dataset:
        (variant,) = dataset.settings.captions.variants

        assert measure_length(dataset, variant, KEY) == (10 + 20 + 30 + 40) / 4


def test_what_a_variant_read_before_its_settings_changed_counts_no_more(folder: Path) -> None:
    (folder / "raw" / "1.caption").write_text("y" * 7)
    with open_dataset(
        settings_in(folder, captions={"variants": [{"name": "caption_sidecar", "extension": "caption"}]})
    ) as dataset:
        build_library(dataset)
        (variant,) = dataset.settings.captions.variants

        assert measure_length(dataset, variant, KEY) == 7
        assert {sample.text for sample in pick_samples(dataset, variant, KEY)} == {"", "y" * 7}


def test_without_a_caption_the_mean_is_0(tmp_path: Path) -> None:
    add_photo(tmp_path, "0.jpg")
    with open_dataset(settings_in(tmp_path)) as dataset:
        build_library(dataset)

        assert measure_length(dataset, dataset.settings.captions.variants[0], KEY) == 0


def test_samples_are_those_of_the_lowest_keys(folder: Path) -> None:
    with open_dataset(settings_in(folder)) as dataset:
        samples = pick_samples(dataset, dataset.settings.captions.variants[0], KEY, 3)

    names = sorted((f"{seed}.jpg" for seed in range(8)), key=sample_key)[:3]
    assert [sample.image_id for sample in samples] == names
    for sample in samples:
        number = int(sample.image_id[0])
        assert sample.text == ("x" * (10 * number) if number < 5 else "")
        assert sample.status == ("missing" if number > 4 else "ok" if number else "empty")
        with Image.open(BytesIO(sample.thumbnail)) as thumbnail:
            assert max(thumbnail.size) <= 96
