"""Which bucket an image goes to: a rule over sizes (docs/format.md, Buckets). No catalog and no slots here."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from dataset_assets.records import Bucket

NO_BUCKET = -1

Sizes = NDArray[np.int64]  # (n, 2): width and height, pixels


def choose_buckets(
    widths: NDArray[np.int64], heights: NDArray[np.int64], buckets: Sequence[Bucket], *, next_bucket: bool = False
) -> NDArray[np.int64]:
    """Return for each image the index of its bucket, `NO_BUCKET` where that would need upsampling.

    `widths` and `heights` are (n,), pixels after EXIF transposition, from 1 to 2**39 (then a side times that of the
    largest bucket, 2**14, is still exact as a float). `buckets` are in order of their bases, the largest first.

    At each base the bucket is the one whose aspect is nearest on a logarithmic scale, of several equally near ones the
    first. An image goes to the largest base at which it fills that bucket. With `next_bucket`, one that fills none of
    these goes to the largest base at which it fills any bucket, there to the nearest of them.
    """
    sizes = np.stack([widths, heights], axis=1)
    distinct, place = np.unique(sizes, axis=0, return_inverse=True)
    chosen = np.full(len(distinct), NO_BUCKET, dtype=np.int64)
    for fitting_only in (False, True) if next_bucket else (False,):
        for first, targets in _bases(buckets):
            found = _find(distinct, targets, fitting_only=fitting_only)
            chosen = np.where((chosen == NO_BUCKET) & (found != NO_BUCKET), found + first, chosen)
    return chosen[place.reshape(-1)]


def find_smallest(
    widths: NDArray[np.int64], heights: NDArray[np.int64], buckets: Sequence[Bucket]
) -> NDArray[np.int64]:
    """Return for each image the index of the smallest bucket of its shape: at the smallest base the nearest in aspect.

    Sizes and order are as for `choose_buckets`.
    """
    *_, (first, targets) = _bases(buckets)
    nearest: NDArray[np.int64] = _measure(np.stack([widths, heights], axis=1), targets).argmin(axis=1)
    return nearest + first


def _bases(buckets: Sequence[Bucket]) -> Iterator[tuple[int, Sizes]]:
    """Yield the buckets of each base: the index of the first, and their targets."""
    first = 0
    for _, group in groupby(buckets, key=attrgetter("base")):
        targets = np.array([bucket.target for bucket in group], dtype=np.int64)
        yield first, targets
        first += len(targets)


def _find(sizes: Sizes, targets: Sizes, *, fitting_only: bool) -> NDArray[np.int64]:
    """Return the index of the nearest target of each size, `NO_BUCKET` where the size does not fill it."""
    distance = _measure(sizes, targets)
    fills = (targets[None, :, 0] <= sizes[:, None, 0]) & (targets[None, :, 1] <= sizes[:, None, 1])
    nearest = np.where(fills, distance, np.inf).argmin(axis=1) if fitting_only else distance.argmin(axis=1)
    found: NDArray[np.int64] = np.where(fills[np.arange(len(sizes)), nearest], nearest, NO_BUCKET)
    return found


def _measure(sizes: Sizes, targets: Sizes) -> NDArray[np.float64]:
    """Return how far the aspect of each size is from that of each target, (sizes, targets)."""
    # |log a - log b| orders like max(a/b, b/a). One division of exact integers rounds the same on every machine,
    # which a logarithm does not, so that ties are ties everywhere and argmin takes the first. Ratios that differ by
    # less than 2**-52 count as tied: none do while side * target side < 2**26 * divisible, at 1024 a million pixels.
    across = sizes[:, None, 0] * targets[None, :, 1]
    down = sizes[:, None, 1] * targets[None, :, 0]
    distance: NDArray[np.float64] = np.maximum(across, down) / np.minimum(across, down)
    return distance
