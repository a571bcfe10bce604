from hashlib import sha256

import pytest

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.pipeline import make_crop
from dataset_assets.images.review import measure_spread
from dataset_assets.records import CropTask
from dataset_assets.settings import CropSettings, ImageSettings
from dataset_assets_tests.images.reference import cropped, decoded
from dataset_assets_tests.photos import encoded, jpeg, photo, variants


def task(target: tuple[int, int], image_id: str = "a/photo.jpg") -> CropTask:
    return CropTask(slot=0, image_id=image_id, source="folder", uri="a", version="", target=target)


@pytest.mark.parametrize("target", [(96, 64), (140, 140), (151, 151)])
@pytest.mark.parametrize("name", variants())
def test_the_stored_bytes_are_the_references(name: str, target: tuple[int, int]) -> None:
    data = variants()[name]

    crop = make_crop(data, task(target, name), ImageSettings())

    assert crop.jpeg == cropped(decoded(name, data), target, name)
    assert (crop.w, crop.h) == target


def test_the_record_says_how_it_was_made() -> None:
    data = jpeg(400, 300)
    settings = ImageSettings(quality=80, crop=CropSettings(allowed_corners=(3,)))

    crop = make_crop(data, task((128, 128)), settings)

    assert (crop.src_w, crop.src_h, crop.scale) == (400, 300, 128 / 300)
    assert (crop.x, crop.y, crop.corner) == (171 - 128, 0, 3)
    assert (crop.quality, crop.subsampling) == (80, "4:4:4")
    assert crop.source_sha256 == sha256(data).hexdigest()


def test_the_record_says_how_much_there_is_to_see() -> None:
    pixels = photo(128, 96)
    pixels[:, 64:] = 200

    assert make_crop(encoded(pixels, "PNG"), task((128, 96)), ImageSettings()).spread == measure_spread(pixels)
    left = make_crop(encoded(pixels, "PNG"), task((64, 96)), ImageSettings(crop=CropSettings(allowed_corners=(0,))))
    right = make_crop(encoded(pixels, "PNG"), task((64, 96)), ImageSettings(crop=CropSettings(allowed_corners=(1,))))
    assert left.spread == measure_spread(pixels[:, :64]) > 0.2
    assert right.spread == 0


@pytest.mark.parametrize("size", [(127, 500), (500, 127)])
def test_nothing_is_upsampled(size: tuple[int, int]) -> None:
    with pytest.raises(SampleError, match="128x128") as caught:
        make_crop(jpeg(*size), task((128, 128)), ImageSettings())

    assert caught.value.reason == DropReason.TOO_SMALL


def test_what_just_fits_is_only_encoded() -> None:
    crop = make_crop(jpeg(128, 96), task((128, 96)), ImageSettings())

    assert (crop.scale, crop.x, crop.y, crop.subsampling) == (1.0, 0, 0, "4:2:0")


@pytest.mark.parametrize("target", [(4, 1), (1, 1)])
def test_extreme_shapes(target: tuple[int, int]) -> None:
    crop = make_crop(jpeg(20_000, 1), task(target), ImageSettings())

    assert (crop.w, crop.h, crop.scale) == (*target, 1.0)
