"""Reading an image file's header: what it is, how large, how it is turned, and whether we take it at all.

What knows how Pillow recognises files and how it fails on hostile ones belongs here. Decoding pixels does not.
"""

import errno
import logging
import re
import struct
import warnings
import zlib
from io import BytesIO
from typing import BinaryIO, Final

from PIL import AvifImagePlugin, ExifTags, Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.records import Header

# Pillow's names; what it calls MPO is opened as JPEG.
FORMATS: Final = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "JPEG2000")

# What Pillow and its codecs raise on hostile input. Catch it around calls into them and nothing else.
CODEC_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

# How files of FORMATS begin. Pillow's own tests take any text that starts with "BM", and HEIC for AVIF.
_KNOWN = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|BM.{4}\0{4}|RIFF.{4}WEBP|II[*+]\0|MM\0[*+]|.{4}ftypavi[fs]"
    rb"|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    re.DOTALL,
)

# Samples without a fixed white: what they should look like in 8 bits is a guess.
_UNSCALED = {"F": "floating-point samples", "I": "32-bit or signed integer samples"}


def configure() -> None:
    """Prepare this process's Pillow: our own limits decide, and faults of files are counted, not printed."""
    Image.MAX_IMAGE_PIXELS = None
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


def probe(file: BinaryIO, *, max_pixels: int) -> Header:
    """Return what the header of an open image file says; no pixel is decoded.

    Raises SampleError (see `open_image`), and OSError when the file itself cannot be read.
    """
    image = open_image(file, max_pixels=max_pixels)
    width, height = image.size
    orientation = read_orientation(_png_metadata(file) if image.format == "PNG" else image)
    if orientation >= 5 and not _is_transposed(image):
        width, height = height, width
    return Header(width=width, height=height, orientation=orientation, format=str(image.format))


def open_image(file: BinaryIO, *, max_pixels: int) -> ImageFile.ImageFile:
    """Return the image with its header read and no pixel decoded.

    Raises SampleError: EMPTY_FILE, UNSUPPORTED_FORMAT for what does not begin like an image that we take, DECODE_ERROR
    for what does and goes on broken, TOO_MANY_PIXELS by the header's size. Raises OSError when reading the file fails.
    """
    file.seek(0)
    start = file.read(16)
    if not start:
        raise SampleError(DropReason.EMPTY_FILE, "the file is empty")
    try:
        image = Image.open(file, formats=FORMATS)
    except CODEC_ERRORS as error:
        fault = decode_error(error)
        if not _KNOWN.match(start):
            fault = SampleError(DropReason.UNSUPPORTED_FORMAT, f"not an image of a known format: {start!r}")
        elif isinstance(error, UnidentifiedImageError):
            fault = SampleError(DropReason.DECODE_ERROR, "the header is broken or cut off")
        raise fault from error
    if image.mode in _UNSCALED:
        raise SampleError(DropReason.UNSUPPORTED_FORMAT, f"{image.format} with {_UNSCALED[image.mode]}")
    width, height = image.size
    if width * height > max_pixels:
        raise SampleError(DropReason.TOO_MANY_PIXELS, f"{width}x{height} pixels, at most {max_pixels} are allowed")
    return image


def decode_error(error: BaseException) -> SampleError:
    """Return the SampleError that counts one of CODEC_ERRORS; raises it again when the file could not be read at all.

    The system's errors have a number and Pillow's have none, but a nonsense offset makes seeking fail with EINVAL.
    """
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        raise error
    return SampleError(DropReason.DECODE_ERROR, f"{type(error).__name__}: {error}".removesuffix(": "))


def read_orientation(image: Image.Image) -> int:
    """Return EXIF 1 to 8 as `PIL.ImageOps.exif_transpose` finds it (EXIF, then XMP); 1 where that is missing or broken.

    Loads the pixels of a PNG, whose metadata may follow them.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except CODEC_ERRORS:
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


def _is_transposed(image: Image.Image) -> bool:
    """Return whether `image.size` is already after transposition, which Pillow does for TIFF's own tag."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(ExifTags.Base.Orientation) in range(
        5, 9
    )


def _png_metadata(file: BinaryIO) -> Image.Image:
    """Return a PNG of one pixel with all metadata of `file`, which may lie behind pixels that nobody needs yet."""
    file.seek(0)
    signature = file.read(8)
    chunks = [_chunk(b"IHDR", b"\0\0\0\1\0\0\0\1\x08\0\0\0\0"), _chunk(b"IDAT", zlib.compress(b"\0\0"))]
    seen_pixels = False
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind == b"IEND" or (kind == b"fcTL" and seen_pixels):  # Pillow stops where the second frame begins
            break
        if kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
            chunks.append(start + file.read(length + 4))
        else:
            seen_pixels |= kind == b"IDAT"
            file.seek(length + 4, 1)
    return Image.open(BytesIO(b"".join((signature, *chunks, _chunk(b"IEND", b"")))), formats=("PNG",))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
