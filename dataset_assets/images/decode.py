"""Bytes to pixels: whatever the file is, 8-bit RGB comes back, upright (docs/format.md, Geometry). Sizes stay.

JPEGs that need nothing but decoding go to simplejpeg, which is a third faster than Pillow and gives the same pixels;
Pillow decodes all others, and decides about every file that simplejpeg refuses.
"""

from io import BytesIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile

from dataset_assets.images.colour import srgb_transform
from dataset_assets.images.glance import glance_plain
from dataset_assets.images.probe import CODEC_ERRORS, decode_error, open_image, read_orientation
from dataset_assets.records import JPEG_FORMATS
from dataset_assets.settings import ImageSettings


def decode(data: bytes, settings: ImageSettings) -> NDArray[np.uint8]:  # (height, width, 3) uint8
    """Return the pixels of the first frame: oriented, RGB, C-contiguous, transparency composited on white.

    Raises SampleError, by the header before any pixel is decoded where it tells.
    """
    if plain := glance_plain(data, max_pixels=settings.max_pixels):
        size, orientation = plain
        pixels = _decode_jpeg(data, size)
        if pixels is not None:
            return _orient(pixels, orientation)
    image = open_image(BytesIO(data), max_pixels=settings.max_pixels)
    profile = image.info.get("icc_profile") if settings.icc == "srgb" else None
    if image.format in JPEG_FORMATS and image.mode in ("RGB", "L") and srgb_transform(profile, image.mode) is None:
        pixels = _decode_jpeg(data, image.size)
        if pixels is not None:
            return _orient(pixels, read_orientation(image))
    try:
        image.load()
        orientation = read_orientation(image)
        pixels = np.array(_to_rgb(image, profile))
    except CODEC_ERRORS as error:
        raise decode_error(error) from error
    return _orient(pixels, orientation)


def _decode_jpeg(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8] | None:  # (height, width, 3) uint8
    """Return the pixels as stored, or None where simplejpeg finds the slightest fault or another size than Pillow."""
    width, height = size
    buffer = np.empty((height, width, 3), np.uint8)  # never more than the header that was checked says
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", buffer=buffer, strict=True)
    except CODEC_ERRORS:
        return None
    return pixels if pixels.shape == buffer.shape else None


def _to_rgb(image: ImageFile.ImageFile, profile: bytes | None) -> Image.Image:
    """Return a loaded image as RGB: colours to sRGB first, then transparency composited on white."""
    colours, alpha = _split_alpha(image)
    transform = srgb_transform(profile, colours.mode) if colours.mode in ("RGB", "L", "CMYK") else None
    if transform is not None:
        colours = transform.apply(colours)
    elif colours.mode != "RGB":
        colours = colours.convert("RGB")
    return colours if alpha is None else Image.composite(colours, Image.new("RGB", colours.size, "white"), alpha)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours, 8 bits a channel, and the transparency ("L"), None where every pixel is opaque."""
    if image.mode.startswith("I;16"):
        return _split_16_bit(image)
    if not image.has_transparency_data:
        return image.convert("RGB" if image.mode == "P" else "L") if image.mode in ("P", "1") else image, None
    grey = image.mode in ("1", "L", "LA", "La")
    merged = image.convert("LA" if grey else "RGBA")
    alpha = merged.getchannel("A")
    return merged.convert("L" if grey else "RGB"), None if alpha.getextrema() == (255, 255) else alpha


def _split_16_bit(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return 16-bit grey scaled to 8 bits (Pillow clips it at 255), and the transparency of its one clear value."""
    samples = np.asarray(image).astype(np.uint32)
    grey = Image.fromarray(((samples + 128) // 257).astype(np.uint8))
    clear = image.info.get("transparency")
    return grey, None if clear is None else Image.fromarray(np.where(samples == clear, 0, 255).astype(np.uint8))


def _orient(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:  # (height, width, 3) uint8
    """Return the pixels turned as EXIF `orientation` asks for, the same array where it asks for nothing."""
    if orientation == 1:
        return pixels
    whole = pixels.view("V3")[..., 0]  # one element a pixel, which numpy moves twice as fast as three
    if orientation >= 5:
        whole = whole.T
    if orientation in (2, 3, 6, 7):
        whole = whole[:, ::-1]
    if orientation in (3, 4, 7, 8):
        whole = whole[::-1]
    return np.ascontiguousarray(whole).view(np.uint8).reshape(*whole.shape, 3)
