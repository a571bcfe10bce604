"""The plain records that the stages pass to each other. No behaviour but what follows from their own fields.

Tables with a row an image travel as Arrow tables instead; their columns are in the module that writes them.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from hashlib import sha256
from operator import attrgetter
from pickle import PickleBuffer
from typing import Any, SupportsIndex

from dataset_assets.errors import DropReason

JPEG_FORMATS = ("JPEG", "MPO")  # of Header.format; MPO is a JPEG with more of them behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an image file's header says, before any pixel is decoded."""

    width: int  # pixels, after EXIF transposition
    height: int
    orientation: int  # EXIF 1 to 8; 1 where there is none
    format: str  # Pillow's name of the format: JPEG, PNG, …


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One aspect-ratio bucket: a proto size at the 1024 base, and what it is scaled to at `base`."""

    id: str  # p1216x832, width first
    proto: tuple[int, int]  # (width, height) at the 1024 base
    base: int
    target: tuple[int, int]  # (width, height) of every stored crop, pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class CropTask:
    """One image to bring to its bucket's size."""

    slot: int
    image_id: str
    source: str  # name of the source in the settings
    uri: str  # where the source finds it
    version: str  # what the source said of the file when it was scanned; another one now means that it changed
    target: tuple[int, int]  # (width, height), pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """One finished crop: the JPEG and how it came about."""

    jpeg: bytes
    w: int  # of the stored JPEG, pixels
    h: int
    src_w: int  # of the source after EXIF transposition, pixels
    src_h: int
    scale: float  # cover scale, at most 1
    x: int  # left edge of the crop box in the resized image, pixels
    y: int
    corner: int  # 0 TL, 1 TR, 2 BL, 3 BR; -1 when the strategy is not "corner"
    quality: int
    subsampling: str  # "4:4:4" or "4:2:0"
    source_sha256: str  # of the source file's bytes
    spread: float  # 0 to 1: how much there is to see, images/review.py
    look: str  # 16 hex digits: what the whole image looks like, images/looks.py

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Callable[..., "Crop"], tuple[Any, ...]]:
        """Let the JPEG cross process borders beside the rest, where pickle's protocol has a way for it."""
        jpeg, *facts = _list_crop(self)
        return _make_crop, (PickleBuffer(jpeg) if int(protocol) >= 5 else jpeg, *facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Why an image did not become a crop."""

    reason: DropReason
    detail: str
    source_sha256: str = ""  # where the bytes were read
    passing: bool = False  # whether the next build tries again whatever the reason is
    timeout: float = 0  # the seconds that it was given, where that was not enough; 0 else


_CROP = [field.name for field in fields(Crop)]
_list_crop = attrgetter(*_CROP)


def _make_crop(*values: Any) -> Crop:
    return Crop(**dict(zip(_CROP, values, strict=True)))


def sample_key(image_id: str) -> str:
    """Return the sample's key: 64 hex digits of sha256(image_id in UTF-8) (docs/format.md, Samples)."""
    return sha256(image_id.encode()).hexdigest()
