from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.decode import decode
from dataset_assets.images.probe import CODEC_ERRORS, configure, probe
from dataset_assets.settings import ImageSettings
from dataset_assets_tests.images.reference import decoded
from dataset_assets_tests.photos import SIZE, encoded, hostile, jpeg, photo, variants

DEFAULTS = ImageSettings()


@pytest.mark.parametrize("name", variants())
def test_pixels_are_the_references(name: str) -> None:
    data = variants()[name]

    pixels = decode(data, DEFAULTS)

    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels, decoded(name, data))


@pytest.mark.parametrize("name", variants())
def test_size_is_the_headers(name: str) -> None:
    header = probe(BytesIO(variants()[name]), max_pixels=DEFAULTS.max_pixels)

    assert decode(variants()[name], DEFAULTS).shape == (header.height, header.width, 3)


@pytest.mark.parametrize("name", hostile())
def test_hostile_files_are_counted(name: str) -> None:
    reason, data = hostile()[name]

    with pytest.raises(SampleError) as caught:
        decode(data, DEFAULTS)

    assert caught.value.reason == reason
    assert caught.value.detail
    assert "object at" not in caught.value.detail  # the same file gives the same words


@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive", "jpeg restart markers", "jpeg grey", "jpeg exif 6"])
def test_a_jpeg_cut_off_anywhere_is_judged_as_by_pillow(name: str) -> None:
    data = variants()[name]
    for length in range(1, len(data), 1 + len(data) // 80):
        _assert_judged_as_by_pillow(data[:length])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["jpeg", "jpeg progressive", "jpeg rgb", "mpo"]), st.data())
def test_a_damaged_jpeg_is_judged_as_by_pillow(name: str, data: st.DataObject) -> None:
    configure()
    damaged = bytearray(variants()[name])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(3, len(damaged) - 1))] = data.draw(st.integers(0, 255))

    _assert_judged_as_by_pillow(bytes(damaged))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(variants())), st.data())
def test_a_damaged_file_is_decoded_or_counted(name: str, data: st.DataObject) -> None:
    configure()
    damaged = bytearray(variants()[name])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, min(len(damaged), 400) - 1))] = data.draw(st.integers(0, 255))

    try:
        pixels = decode(bytes(damaged), ImageSettings(max_pixels=1_000_000))
    except SampleError:
        return
    assert pixels.ndim == 3
    assert pixels.size <= 3_000_000


def _assert_judged_as_by_pillow(data: bytes) -> None:
    """Assert that `decode` refuses what Pillow refuses, and gives Pillow's pixels for the rest."""
    try:
        expected = decoded("jpeg", data)
    except CODEC_ERRORS:
        with pytest.raises(SampleError):
            decode(data, ImageSettings(icc="ignore"))
    else:
        assert np.array_equal(decode(data, ImageSettings(icc="ignore")), expected)


def test_a_bomb_is_refused_by_its_header() -> None:
    data = jpeg(100, 100)

    with pytest.raises(SampleError) as caught:
        decode(data[: len(data) // 2], ImageSettings(max_pixels=9999))

    assert caught.value.reason == DropReason.TOO_MANY_PIXELS


def test_profiles_can_be_ignored() -> None:
    managed, plain = (variants()[name] for name in ("jpeg swapped profile", "jpeg 4:2:0"))

    assert np.array_equal(decode(managed, ImageSettings(icc="ignore")), decode(plain, DEFAULTS))
    assert not np.array_equal(decode(managed, DEFAULTS), decode(plain, DEFAULTS))


def test_16_bit_grey_keeps_its_range() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[np.newaxis]

    pixels = decode(encoded(Image.fromarray(ramp), "PNG"), DEFAULTS)

    assert pixels[0, :, 0].tolist() == list(range(256))


def test_transparent_is_white() -> None:
    image = Image.fromarray(photo(8, 6)).convert("RGBA")
    image.putalpha(0)

    assert (decode(encoded(image, "PNG"), DEFAULTS) == 255).all()


def test_cmyk_black_is_black_and_paper_is_white() -> None:
    for ink, level in (((0, 0, 0, 0), 255), ((0, 0, 0, 255), 0)):
        data = encoded(Image.new("CMYK", SIZE, ink), quality=95)

        assert (decode(data, DEFAULTS) == level).all()


def test_the_first_frame_is_taken() -> None:
    data = encoded(photo(30, 20), "GIF", save_all=True, append_images=[Image.new("RGB", (30, 20), "red")])

    assert np.array_equal(decode(data, DEFAULTS), np.asarray(Image.open(BytesIO(data)).convert("RGB")))
