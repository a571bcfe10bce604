"""Pixels to the stored JPEG. No metadata goes in: no EXIF, no ICC profile, no thumbnail (docs/format.md, Samples)."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.probe import CODEC_ERRORS
from dataset_assets.settings import ImageSettings


def choose_subsampling(scale: float, settings: ImageSettings) -> str:
    """Return "4:4:4" or "4:2:0": full chroma where the cover scale left enough source pixels, or the policy's."""
    match settings.subsampling_policy:
        case "444":
            return "4:4:4"
        case "420":
            return "4:2:0"
        case "adaptive_scale":
            return "4:4:4" if scale < settings.adaptive_scale_threshold else "4:2:0"


def encode(pixels: NDArray[np.uint8], quality: int, subsampling: str) -> bytes:
    """Return `pixels`, (height, width, 3) uint8, as a JPEG. Raises SampleError (ENCODE_ERROR), else ValueError."""
    height, width = pixels.shape[:2]
    if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,):
        raise ValueError(f"(height, width, 3) uint8 is needed, and this is {pixels.shape} {pixels.dtype}")
    if pixels.strides[1:] != (3, 1) or pixels.strides[0] < 3 * width:
        pixels = pixels.copy()
    file = BytesIO()
    try:
        # What Image.fromarray does, without a copy of what lies inside a larger image, and without blackening it first.
        image = Image.new("RGB", (width, height), None)
        image.frombytes(_flatten(pixels), "raw", "RGB", pixels.strides[0], 1)
        image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    except CODEC_ERRORS as error:
        raise SampleError(DropReason.ENCODE_ERROR, f"{type(error).__name__}: {error}") from error
    return file.getvalue()


def _flatten(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:  # (bytes,) uint8
    """Return the bytes from an array's first pixel to its last, those between its rows with them."""
    (height, width), stride = pixels.shape[:2], pixels.strides[0]
    return np.lib.stride_tricks.as_strided(pixels, ((height - 1) * stride + 3 * width,), (1,), writeable=False)
