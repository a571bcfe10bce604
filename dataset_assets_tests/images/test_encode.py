from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.encode import choose_subsampling, encode
from dataset_assets.settings import ImageSettings
from dataset_assets_tests.photos import photo


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
