from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.encode import choose_subsampling, encode
from dataset_assets.settings import ImageSettings
from dataset_assets_tests.photos import encoded, photo


@pytest.mark.parametrize(("subsampling", "sampling"), [("4:4:4", (1, 1)), ("4:2:0", (2, 2))])
def test_the_jpeg_is_what_was_asked_for(subsampling: str, sampling: tuple[int, int]) -> None:
    pixels = photo(64, 48)

    image = Image.open(BytesIO(encode(pixels, 95, subsampling)))

    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 48))
    assert image.layer[0][1:3] == sampling  # type: ignore[attr-defined]
    assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 5


def test_there_is_no_metadata() -> None:
    info = Image.open(BytesIO(encode(photo(64, 48), 95, "4:4:4"))).info

    assert not {"exif", "icc_profile", "xmp", "comment", "photoshop"} & set(info)


def whole() -> NDArray[np.uint8]:
    return photo(200, 150)


def wanted(pixels: NDArray[np.uint8], subsampling: str) -> bytes:
    """Return the JPEG as Pillow alone makes it."""
    return encoded(np.ascontiguousarray(pixels), quality=95, subsampling=subsampling)


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(lambda pixels: pixels, id="all of it"),
        pytest.param(lambda pixels: pixels[10:90], id="some rows"),
        pytest.param(lambda pixels: pixels[:, 40:139], id="some columns"),
        pytest.param(lambda pixels: pixels[50:, 101:], id="a corner"),
        pytest.param(lambda pixels: pixels[::2, :64], id="every second row"),
        pytest.param(lambda pixels: pixels[:, ::2], id="every second column"),
        pytest.param(lambda pixels: pixels[::-1], id="upside down"),
        pytest.param(lambda pixels: pixels[:, ::-1, ::-1], id="mirrored, blue first"),
        pytest.param(lambda pixels: pixels.transpose(1, 0, 2), id="on its side"),
        pytest.param(lambda pixels: np.broadcast_to(pixels[:1], pixels.shape), id="one row"),
        pytest.param(lambda pixels: pixels[::-1][:1], id="one row of many, upside down"),
        pytest.param(lambda pixels: pixels[:1, :1], id="one pixel"),
    ],
)
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_pixels_may_lie_in_others(cut: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], subsampling: str) -> None:
    pixels = cut(whole())
    pixels.flags.writeable = False

    assert encode(pixels, 95, subsampling) == wanted(pixels, subsampling)


def test_nothing_of_an_image_is_in_the_next_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [whole(), 255 - whole(), whole()[:, ::-1]]

    for pixels in images:
        assert encode(pixels, 95, "4:4:4") == wanted(pixels, "4:4:4")
        monkeypatch.setattr(Image.Image, "save", lambda *_, **__: Image.open(BytesIO()))  # as a codec that fails
        with pytest.raises(SampleError):
            encode(np.zeros_like(pixels), 95, "4:4:4")
        monkeypatch.undo()


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(np.zeros((8, 8, 1), np.uint8), id="one channel"),
        pytest.param(np.zeros((8, 8, 4), np.uint8), id="four channels"),
        pytest.param(np.zeros((8, 8), np.uint8), id="no channels"),
        pytest.param(np.zeros((8, 8, 3), np.float32), id="floats"),
    ],
)
def test_pixels_of_another_form_are_a_defect(pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="is needed, and this is"):
        encode(pixels, 95, "4:4:4")


def test_threads_do_not_write_into_each_others_images() -> None:
    images = [whole() // (number + 1) for number in range(8)]
    alone = [encode(pixels, 95, "4:4:4") for pixels in images]

    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            assert list(pool.map(lambda pixels: encode(pixels, 95, "4:4:4"), images)) == alone


def test_what_jpeg_cannot_hold_is_counted() -> None:
    with pytest.raises(SampleError) as caught:
        encode(np.zeros((1, 70_000, 3), np.uint8), 95, "4:4:4")

    assert caught.value.reason == DropReason.ENCODE_ERROR


@pytest.mark.parametrize(
    ("policy", "scale", "subsampling"),
    [
        ("adaptive_scale", 0.849, "4:4:4"),
        ("adaptive_scale", 0.85, "4:2:0"),
        ("adaptive_scale", 1.0, "4:2:0"),
        ("444", 1.0, "4:4:4"),
        ("420", 0.1, "4:2:0"),
    ],
)
def test_subsampling_policy(policy: str, scale: float, subsampling: str) -> None:
    settings = ImageSettings.model_validate({"subsampling_policy": policy})

    assert choose_subsampling(scale, settings) == subsampling
