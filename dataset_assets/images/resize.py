"""The resampling itself. The only module that imports torch."""

import numpy as np
import torch
from numpy.typing import NDArray


def use_one_thread() -> None:
    """Keep torch to one thread in this process: images are worked on in parallel, not their rows."""
    torch.set_num_threads(1)


def resize(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:  # (height, width, 3) uint8
    """Return the pixels at `size` (width, height), bicubic with antialiasing; the same array where that is its size.

    On uint8, which gives the same values on every machine, and channels_last, which is how the pixels already lie, and
    those that come back.
    """
    width, height = size
    if pixels.shape[:2] == (height, width):
        return pixels
    # The batch comes first: with it added last, torch takes the strides of the one image for planes, and turns the
    # result into planes, which costs as much again.
    batch = torch.from_numpy(pixels).unsqueeze(0).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(batch, size=(height, width), mode="bicubic", antialias=True)
    array: NDArray[np.uint8] = resized.permute(0, 2, 3, 1)[0].numpy()
    return array
