"""Pictures from the bytes of images, in the worker processes that outlive what hostile files do to codecs.

Where the bytes lie and how large a picture is to be is said by the task; which pictures the page has is pictures.py's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.worker import Loss
from dataset_assets.settings import ImageSettings
from dataset_assets.sources.base import Reader
from dataset_assets.sources.waiting import waiting
from dataset_assets.storage.atomic import write_bytes
from dataset_assets.storage.location import Location, read_part

if TYPE_CHECKING:  # Pillow takes the parent memory for nothing
    from PIL import Image

_TURNS = {  # EXIF's orientation → the names of Pillow's transpositions that undo it
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """An image inside a file of ours: a tar."""

    path: Location
    offset: int  # bytes
    size: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """An image in its source."""

    source: str
    uri: str
    version: str
    sha256: str  # of its bytes, "" where they were never read


Where = Slice | Original | bytes  # where an image's bytes are; the last are the bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One picture to make: a JPEG."""

    path: Location
    size: tuple[int, int]  # (width, height), pixels
    quality: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawTask:
    """An image, and the pictures to make of it, the largest first."""

    where: Where
    size: tuple[int, int]  # (width, height) of the whole image, upright, pixels
    drawings: Sequence[Drawing]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawJob:
    """Makes pictures. What cannot be read or decoded costs its pictures: the answer is why, "" where all were made."""

    settings: ImageSettings
    sources: Mapping[str, Reader]

    @property
    def timeout_seconds(self) -> float:
        """How long the pictures of one image may take, without the time for which it waits for its bytes."""
        return self.settings.timeout_seconds

    @property
    def ahead(self) -> int:
        """An image's pictures are finished before the next is read."""
        return 1

    def prepare(self) -> Callable[[DrawTask], Callable[[], str]]:
        """Return what makes the pictures of a task. It raises StorageError where they cannot be written."""
        from dataset_assets.images.probe import configure
        from dataset_assets.images.resize import use_one_thread  # torch is in the process that workers are forked from

        configure()
        use_one_thread()

        def answer(task: DrawTask) -> str:
            try:
                data = read_image(task.where, self.sources)
                pictures = draw(data, task.size, task.drawings, self.settings)
            except SampleError as error:
                return str(error)
            except MemoryError:
                return "there is not enough memory for it"
            for drawing, picture in zip(task.drawings, pictures, strict=True):
                write_bytes(drawing.path, picture)
            return ""

        return lambda task: partial(answer, task)

    def fail(self, task: DrawTask, loss: Loss) -> str:
        """Return what happened to the worker."""
        return loss.detail


def read_image(where: Where, sources: Mapping[str, Reader]) -> bytes:
    """Return an image's bytes. Raises SampleError where it cannot be read, or is not what it was."""
    match where:
        case Original():
            if where.source not in sources:
                raise SampleError(DropReason.UNREADABLE, f"there is no source {where.source} any more")
            data = sources[where.source].read(where.uri, where.version)
            if where.sha256 not in ("", sha256(data).hexdigest()):
                raise SampleError(DropReason.SOURCE_CHANGED, "its content is another one")
            return data
        case Slice():
            try:
                with waiting():
                    return read_part(where.path, where.offset, where.size)
            except OSError as error:
                raise SampleError(DropReason.UNREADABLE, f"{where.path}: {error.strerror or error}") from None
        case _:
            return where


def draw(
    data: bytes, size: tuple[int, int], drawings: Iterable[Drawing], settings: ImageSettings
) -> list[bytes]:  # JPEGs
    """Return pictures of an image file: upright, sRGB, each smaller than the one before.

    `size` is the image's (width, height), upright. Raises SampleError for what cannot be decoded, or has another size.
    """
    from PIL import Image

    from dataset_assets.images.resize import resize

    made: list[bytes] = []
    pixels: NDArray[np.uint8] | None = None
    for drawing in drawings:
        pixels = resize(open_small(data, size, drawing.size, settings) if pixels is None else pixels, drawing.size)
        file = BytesIO()
        image = Image.fromarray(pixels)
        image.save(file, "JPEG", quality=drawing.quality, subsampling="4:2:0", optimize=True)
        made.append(file.getvalue())
    return made


def open_small(
    data: bytes, size: tuple[int, int], least: tuple[int, int], settings: ImageSettings
) -> NDArray[np.uint8]:  # (height, width, 3) uint8
    """Return an image, upright and sRGB: at least as large as `least`, and of a JPEG not much larger, which takes less.

    Raises SampleError as `draw` does.
    """
    from dataset_assets.images.decode import decode
    from dataset_assets.images.probe import CODEC_ERRORS, open_image
    from dataset_assets.records import JPEG_FORMATS

    opened = open_image(BytesIO(data), max_pixels=settings.max_pixels)
    if opened.format in JPEG_FORMATS and opened.mode in ("RGB", "L") and max(size) >= 2 * max(least):
        try:
            return _open_jpeg(opened, size, least, settings)
        except CODEC_ERRORS:
            pass  # the decoder that made the crops says what is wrong, if anything is
    pixels = decode(data, settings)
    if pixels.shape[1::-1] != size:
        raise SampleError(DropReason.SOURCE_CHANGED, "it has another size")
    return pixels


def _open_jpeg(
    image: "Image.Image", size: tuple[int, int], least: tuple[int, int], settings: ImageSettings
) -> NDArray[np.uint8]:  # (height, width, 3) uint8
    """Return a JPEG, decoded at an eighth, a quarter or a half of its size where that is enough."""
    from PIL import Image

    from dataset_assets.images.colour import srgb_transform
    from dataset_assets.images.probe import read_orientation

    orientation = read_orientation(image)
    lying = orientation >= 5
    if image.size != (size[::-1] if lying else size):
        raise SampleError(DropReason.SOURCE_CHANGED, "it has another size")
    profile = image.info.get("icc_profile") if settings.icc == "srgb" else None
    transform = srgb_transform(profile, image.mode)
    image.draft(None, least[::-1] if lying else least)  # as None the mode stays
    shown = image.convert("RGB") if transform is None else transform.apply(image)
    if turn := _TURNS.get(orientation):
        shown = shown.transpose(Image.Transpose[turn])
    return np.array(shown)
