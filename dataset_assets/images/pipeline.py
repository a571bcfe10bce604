"""One source file to one finished crop: decode, cover-resize, crop, encode. Pure: bytes and a task in, a record out."""

from hashlib import sha256

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.decode import decode
from dataset_assets.images.encode import choose_subsampling, encode
from dataset_assets.images.geometry import choose_corner, cover_scale, cover_size, crop_box
from dataset_assets.images.resize import resize
from dataset_assets.records import Crop, CropTask
from dataset_assets.settings import ImageSettings


def make_crop(data: bytes, task: CropTask, settings: ImageSettings) -> Crop:
    """Return the crop of the source file `data`. Raises SampleError; TOO_SMALL where it does not fill `task.target`."""
    pixels = decode(data, settings)
    src_h, src_w = pixels.shape[:2]
    w, h = task.target
    if src_w < w or src_h < h:
        raise SampleError(DropReason.TOO_SMALL, f"{src_w}x{src_h} pixels do not fill {w}x{h}")
    scale = cover_scale((src_w, src_h), task.target)
    size = cover_size((src_w, src_h), task.target)
    x, y = crop_box(size, task.target, task.image_id, settings.crop)
    subsampling = choose_subsampling(scale, settings)
    return Crop(
        jpeg=encode(resize(pixels, size)[y : y + h, x : x + w], settings.quality, subsampling),
        w=w,
        h=h,
        src_w=src_w,
        src_h=src_h,
        scale=scale,
        x=x,
        y=y,
        corner=choose_corner(task.image_id, settings.crop),
        quality=settings.quality,
        subsampling=subsampling,
        source_sha256=sha256(data).hexdigest(),
    )
