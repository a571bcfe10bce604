"""Which bucket an image goes to: a rule over sizes (SPEC 1.2). No catalog and no slots here."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataset_assets.records import Bucket

NO_BUCKET = -1


def choose_buckets(
    widths: NDArray[np.int64], heights: NDArray[np.int64], buckets: Sequence[Bucket]
) -> NDArray[np.int64]:
    """Return for each image the index of its bucket, `NO_BUCKET` where that would need upsampling.

    `widths` and `heights` are (n,), pixels after EXIF transposition, from 1 to 2**39 (then a side times that of the
    largest bucket, 2**14, is still exact as a float). The bucket is the one whose aspect is nearest on a logarithmic
    scale; of several equally near ones the first. All buckets have the same base.
    """
    sizes = np.stack([widths, heights], axis=1)
    distinct, place = np.unique(sizes, axis=0, return_inverse=True)
    targets = np.array([bucket.target for bucket in buckets], dtype=np.int64)
    nearest = _nearest(distinct, targets)
    too_small = (targets[nearest] > distinct).any(axis=1)
    return np.where(too_small, NO_BUCKET, nearest)[place.reshape(-1)]


def _nearest(sizes: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of the nearest target (m, 2) of each size (n, 2)."""
    # |log a - log b| orders like max(a/b, b/a). One division of exact integers rounds the same on every machine,
    # which a logarithm does not, so that ties are ties everywhere and argmin takes the first. Ratios that differ by
    # less than 2**-52 count as tied: none do while side * target side < 2**26 * divisible, at 1024 a million pixels.
    across = sizes[:, None, 0] * targets[None, :, 1]
    down = sizes[:, None, 1] * targets[None, :, 0]
    nearest: NDArray[np.int64] = (np.maximum(across, down) / np.minimum(across, down)).argmin(axis=1)
    return nearest
