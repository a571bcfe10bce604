"""The resampling itself. The only module that imports torch."""

import numpy as np
import torch
from numpy.typing import NDArray


def use_one_thread() -> None:
    """Keep torch to one thread in this process: images are worked on in parallel, not their rows."""
    torch.set_num_threads(1)


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
