from hashlib import sha256
from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.decode import decode
from dataset_assets.images.geometry import cover_size
from dataset_assets.images.looks import hash_look
from dataset_assets.images.pipeline import make_crop
from dataset_assets.images.resize import resize
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


@pytest.mark.parametrize("crop", [CropSettings(), CropSettings(strategy="center"), CropSettings(strategy="random")])
@pytest.mark.parametrize("image_id", ["a.jpg", "b.jpg", "c.jpg"])
def test_the_record_says_what_the_whole_image_looks_like(image_id: str, crop: CropSettings) -> None:
    pixels = photo(400, 150)
    scaled = resize(pixels, (256, 96))

    cropped = make_crop(encoded(pixels, "PNG"), task((64, 96), image_id), ImageSettings(crop=crop))
    passed = make_crop(encoded(pixels, "JPEG"), task((64, 96)), ImageSettings(mode="passthrough_jpeg"))

    assert cropped.look == hash_look(scaled)
    assert passed.look == hash_look(decode(encoded(pixels, "JPEG"), ImageSettings()))


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


PASSED = ImageSettings(mode="passthrough_jpeg")


def test_a_jpeg_is_passed_through_as_it_is_with_the_crop_that_is_planned() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = jpeg(300, 400, exif=exif.tobytes()) + b"what a camera left behind the end"

    crop, cropped = (make_crop(data, task((128, 96)), settings) for settings in (PASSED, ImageSettings()))

    assert crop.jpeg == data
    assert (crop.w, crop.h, crop.src_w, crop.src_h) == (300, 400, 400, 300)
    assert (crop.quality, crop.subsampling) == (0, "source")
    planned = ("scale", "x", "y", "corner", "src_w", "src_h", "source_sha256")
    assert [getattr(crop, name) for name in planned] == [getattr(cropped, name) for name in planned]


def test_a_loader_that_does_what_the_card_says_gets_the_planned_crop() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = jpeg(300, 400, exif=exif.tobytes())
    crop = make_crop(data, task((128, 96)), PASSED)

    with Image.open(BytesIO(crop.jpeg)) as opened:
        upright = ImageOps.exif_transpose(opened)
    size = cover_size(upright.size, (128, 96))
    loaded = upright.resize(size, Image.Resampling.BICUBIC).crop((crop.x, crop.y, crop.x + 128, crop.y + 96))

    assert loaded.size == (128, 96)
    stored = np.asarray(Image.open(BytesIO(make_crop(data, task((128, 96)), ImageSettings()).jpeg)), np.int64)
    assert np.abs(np.asarray(loaded, np.int64) - stored).mean() < 3


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF"])
def test_what_is_no_jpeg_is_not_passed_through(name: str) -> None:
    with pytest.raises(SampleError, match=name) as caught:
        make_crop(encoded(photo(400, 300), name), task((128, 128)), PASSED)

    assert caught.value.reason == DropReason.NOT_JPEG


def test_a_broken_jpeg_is_not_passed_through() -> None:
    with pytest.raises(SampleError) as caught:
        make_crop(jpeg(400, 300)[:-500], task((128, 128)), PASSED)

    assert caught.value.reason == DropReason.DECODE_ERROR
