"""images/geometry.py for many samples at once: how large each becomes, and where its crop lies.

The rule is stated there; a test holds the two together.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_assets.settings import CropSettings

Numbers = NDArray[np.int64]

LARGEST_JITTER = (1 << 62) - 1  # pixels: what is counted here in 64 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """The geometry of n samples, each an array of (n,)."""

    scale: NDArray[np.float64]  # the cover scale; above 1 the image would be upsampled
    x: Numbers  # pixels
    y: Numbers
    corner: Numbers  # 0 TL, 1 TR, 2 BL, 3 BR; -1 when the strategy is not "corner"


def find_boxes(widths: Numbers, heights: Numbers, digests: bytes, target: tuple[int, int], crop: CropSettings) -> Boxes:
    """Return the geometry of samples whose sources have these sizes, pixels below 2**31.

    `digests` are the sha256 of their image_ids, 32 bytes each. No side is expected to be upsampled: a scale above 1
    comes with a box that means nothing.
    """
    wide = target[0] * heights >= target[1] * widths
    numerator, denominator = np.where(wide, target[0], target[1]), np.where(wide, widths, heights)
    free = [
        np.maximum((2 * side * numerator + denominator) // (2 * denominator), least) - least
        for side, least in zip((widths, heights), target, strict=True)
    ]
    numbers = np.frombuffer(digests, dtype=">u8").reshape(-1, 4).astype(np.uint64)
    x, y, corner = _place(free, numbers, crop)
    return Boxes(scale=numerator / denominator, x=x, y=y, corner=corner)


def _place(free: list[Numbers], numbers: NDArray[np.uint64], crop: CropSettings) -> tuple[Numbers, Numbers, Numbers]:
    """Return x, y and the corner, given the free width and height and the numbers of the digests, (n, 4)."""
    none = np.full(len(numbers), -1, dtype=np.int64)
    if crop.strategy == "center":
        return free[0] // 2, free[1] // 2, none
    if crop.strategy == "random":
        x, y = (_rest(numbers[:, axis + 1], free[axis] + 1) for axis in (0, 1))
        return x, y, none
    corner = np.array(crop.allowed_corners, dtype=np.int64)[_rest(numbers[:, 0], len(crop.allowed_corners))]
    x, y = (np.minimum(_rest(numbers[:, axis + 1], crop.corner_jitter + 1), free[axis]) for axis in (0, 1))
    right, low = np.isin(corner, (1, 3)), np.isin(corner, (2, 3))
    return np.where(right, free[0] - x, x), np.where(low, free[1] - y, y), corner


def _rest(numbers: NDArray[np.uint64], divisors: Any) -> Numbers:
    """Return `numbers % divisors` as signed numbers; divisors are below 2**63."""
    return (numbers % np.asarray(divisors).astype(np.uint64)).astype(np.int64)
