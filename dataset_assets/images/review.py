"""Pixel statistics of finished crops: what tells a blank one from others. No verdict is here."""

import numpy as np
from numpy.typing import NDArray

_NEAR = 8  # luminance levels around the median that count as the same tone: JPEG's and a sensor's noise stay within
_STEPS = ((320, 5), (192, 3), (0, 1))  # (least side, step), pixels: at least 64 points a side where the side has them


def measure_spread(pixels: NDArray[np.uint8]) -> float:  # (height, width, 3) uint8
    """Return the share, 0 to 1, of points whose luminance is more than 8 of 255 levels from the median luminance.

    0 for a blank crop, near 0 for one with next to nothing on it. The points lie on a grid over the whole crop; its
    steps are odd, so that it does not fall in with patterns of 2, 4 or 8 pixels, which are no plain surface. In
    integers, so that every machine says the same; rounded to 6 digits.
    """
    height, width = pixels.shape[:2]
    points = pixels[:: _step(height), :: _step(width)]
    red, green, blue = (points[..., channel].astype(np.uint16) for channel in range(3))
    luminance = (77 * red + 150 * green + 29 * blue + 128) >> 8  # BT.601, in 256ths
    levels = np.bincount(luminance.ravel(), minlength=256)
    median = int(np.searchsorted(levels.cumsum(), (luminance.size + 1) // 2))
    near = int(levels[max(median - _NEAR, 0) : median + _NEAR + 1].sum())
    return round((luminance.size - near) / luminance.size, 6)


def _step(side: int) -> int:
    return next(step for least, step in _STEPS if side >= least)
