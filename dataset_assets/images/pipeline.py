"""One source file to one finished crop: decode, cover-resize, crop, encode, measure.

Pure: bytes and a task in, a record out.
"""

from hashlib import sha256
from io import BytesIO

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.decode import decode
from dataset_assets.images.encode import choose_subsampling, encode
from dataset_assets.images.geometry import choose_corner, cover_scale, cover_size, crop_box
from dataset_assets.images.looks import hash_look
from dataset_assets.images.probe import open_image
from dataset_assets.images.resize import resize
from dataset_assets.images.review import measure_spread
from dataset_assets.records import JPEG_FORMATS, Crop, CropTask
from dataset_assets.settings import ImageSettings


def make_crop(data: bytes, task: CropTask, settings: ImageSettings) -> Crop:
    """Return the crop of the source file `data`; with passthrough_jpeg, the file itself and the crop that is planned.

    Raises SampleError; TOO_SMALL where it does not fill `task.target`, NOT_JPEG for what cannot be passed through.
    """
    passed = settings.mode == "passthrough_jpeg"
    stored = _read_size(data, settings) if passed else task.target
    pixels = decode(data, settings)
    src_h, src_w = pixels.shape[:2]
    w, h = task.target
    if src_w < w or src_h < h:
        raise SampleError(DropReason.TOO_SMALL, f"{src_w}x{src_h} pixels do not fill {w}x{h}")
    scale = cover_scale((src_w, src_h), task.target)
    size = cover_size((src_w, src_h), task.target)
    x, y = crop_box(size, task.target, task.image_id, settings.crop)
    quality, subsampling = (0, "source") if passed else (settings.quality, choose_subsampling(scale, settings))
    whole = pixels if passed else resize(pixels, size)
    shown = whole if passed else whole[y : y + h, x : x + w]
    look, spread = hash_look(whole), measure_spread(shown)  # now, as the pixels are in the processor's cache
    return Crop(
        jpeg=data if passed else encode(shown, quality, subsampling),
        w=stored[0],
        h=stored[1],
        src_w=src_w,
        src_h=src_h,
        scale=scale,
        x=x,
        y=y,
        corner=choose_corner(task.image_id, settings.crop),
        quality=quality,
        subsampling=subsampling,
        source_sha256=sha256(data).hexdigest(),
        spread=spread,
        look=look,  # not of the crop: where that is cut follows from the image's id
    )


def _read_size(data: bytes, settings: ImageSettings) -> tuple[int, int]:
    """Return (width, height) of a JPEG as it is stored, whatever its orientation. Raises SampleError(NOT_JPEG)."""
    image = open_image(BytesIO(data), max_pixels=settings.max_pixels)
    if image.format not in JPEG_FORMATS:
        raise SampleError(DropReason.NOT_JPEG, f"{image.format}, and images.mode is passthrough_jpeg")
    return image.size
