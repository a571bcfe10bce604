"""Embedded ICC profiles: the transform to sRGB that an image needs, if any. Applying it belongs to decoding."""

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from dataset_assets.images.probe import CODEC_ERRORS

_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}  # Pillow's mode → ICC's colour space of the profile
_LATTICE_STEP = 15  # 18 levels a channel, both ends among them


@lru_cache(maxsize=32)  # cameras and phones write few profiles; a CMYK one holds megabytes
def srgb_transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform of pixels in `mode` ("L", "RGB" or "CMYK") to sRGB, or None where nothing is to change.

    Nothing changes without a profile, by one that is broken or of another colour space than the pixels, and by one that
    is sRGB already: that is decided by what it does, at most one level of difference, because names say little.

    Relative colorimetric, because photographs' matrix profiles have no other intent and white must stay white; with
    black point compensation, because a printing profile's black would become dark grey without it.
    """
    if profile is None:
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform
    except (*CODEC_ERRORS, ImageCms.PyCMSError):
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether no colour of a lattice moves by more than one level."""
    levels = np.arange(0, 256, _LATTICE_STEP, dtype=np.uint8)
    colours = (
        levels[np.newaxis] if mode == "L" else np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    )
    image = Image.fromarray(colours)
    before = np.asarray(image.convert("RGB"), dtype=np.int16)
    return bool(np.abs(np.asarray(transform.apply(image), dtype=np.int16) - before).max() <= 1)
