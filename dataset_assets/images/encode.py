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
    """Return `pixels`, (height, width, 3) uint8, as a JPEG. Raises SampleError (ENCODE_ERROR)."""
    file = BytesIO()
    try:
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    except CODEC_ERRORS as error:
        raise SampleError(DropReason.ENCODE_ERROR, f"{type(error).__name__}: {error}") from error
    return file.getvalue()
