"""How large an image becomes to cover its bucket, and the resampling itself. The only module that imports torch."""

import numpy as np
import torch
from numpy.typing import NDArray


def use_one_thread() -> None:
    """Keep torch to one thread in this process: images are worked on in parallel, not their rows."""
    torch.set_num_threads(1)


def cover_scale(source: tuple[int, int], target: tuple[int, int]) -> float:
    """Return max(target_w / src_w, target_h / src_h); above 1 the image would be upsampled (SPEC 1.2)."""
    numerator, denominator = _cover_ratio(source, target)
    return numerator / denominator


def cover_size(source: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Return (width, height) after the cover-resize: max(target, floor(src * scale + 0.5)) a side (SPEC 1.3).

    In integers, so that no rounding of the scale decides about a pixel.
    """
    numerator, denominator = _cover_ratio(source, target)
    width, height = ((2 * side * numerator + denominator) // (2 * denominator) for side in source)
    return max(width, target[0]), max(height, target[1])


def resize(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:  # (height, width, 3) uint8
    """Return the pixels at `size` (width, height), bicubic with antialiasing; the same array where that is its size.

    On uint8, which gives the same values on every machine, and channels_last, which is how the pixels already lie.
    """
    width, height = size
    if pixels.shape[:2] == (height, width):
        return pixels
    batch = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)
    resized = torch.nn.functional.interpolate(batch, size=(height, width), mode="bicubic", antialias=True)
    array: NDArray[np.uint8] = resized.squeeze(0).permute(1, 2, 0).numpy()
    return array


def _cover_ratio(source: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Return the cover scale as (numerator, denominator)."""
    (src_w, src_h), (target_w, target_h) = source, target
    return (target_w, src_w) if target_w * src_h >= target_h * src_w else (target_h, src_h)
