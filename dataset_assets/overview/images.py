"""How large the images are, and how much of each a crop keeps. The catalog groups, numpy counts: no loop over rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sqlalchemy import func, select

from dataset_assets.catalog.schema import images, slots
from dataset_assets.catalog.slots import count_slots
from dataset_assets.catalog.tables import fetch_table
from dataset_assets.dataset import Dataset
from dataset_assets.overview.bins import Numbers, count_bins, find_bins, space_by_ratio
from dataset_assets.overview.histogram import Histogram, Sizes
from dataset_assets.settings import Settings
from dataset_assets.shards.plan import list_targets

SHARES = 20  # bins of the shares that crops keep
_SIZES = 24  # bins of widths, and of heights, at most
_RATIO = 1.1  # how wide a bin of sizes is at least

_SIZE_SCHEMA = pa.schema([("width", pa.int64()), ("height", pa.int64()), ("images", pa.int64())])
_SEAT_SCHEMA = pa.schema([("bucket_id", pa.string()), *_SIZE_SCHEMA])


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Sizes of images, and how many have each: arrays of one length."""

    widths: Numbers  # of the source after EXIF transposition, pixels
    heights: Numbers
    images: Numbers


def measure_sizes(dataset: Dataset) -> Sizes:
    """Return the sizes of the usable images, pixels after EXIF transposition, and of the buckets in use.

    Without images there are no edges. The largest buckets come first.
    """
    sizes = select(images.c.width, images.c.height, func.count()).where(~images.c.removed, images.c.reason == "")
    with dataset.catalog.reading() as connection:
        table = fetch_table(connection, sizes.group_by(images.c.width, images.c.height), _SIZE_SCHEMA)
        seated = count_slots(connection)
    return bin_sizes(_measured(table), name_targets(seated, list_targets(dataset.settings)))


def has_crops(settings: Settings) -> bool:
    """Return whether what a crop keeps says anything of the files: with `passthrough_jpeg` it is but a plan."""
    return settings.images.mode != "passthrough_jpeg"


def measure_kept(dataset: Dataset) -> Histogram:
    """Return how many seated images keep which share of their area, 0 to 1, in the crop.

    Whether that is worth showing is `has_crops`'s to say: with `passthrough_jpeg` the files keep all. Seats in buckets
    that the settings no longer have are left out: they are given anew by the next build.
    """
    seats = select(slots.c.bucket_id, images.c.width, images.c.height, func.count()).join_from(slots, images)
    with dataset.catalog.reading() as connection:
        grouped = seats.group_by(slots.c.bucket_id, images.c.width, images.c.height)
        table = fetch_table(connection, grouped, _SEAT_SCHEMA)
    targets = list_targets(dataset.settings)
    names = table["bucket_id"].combine_chunks().dictionary_encode()
    known = np.array([targets.get(name, (0, 0)) for name in names.dictionary.to_pylist()], np.int64).reshape(-1, 2)
    wanted = known[names.indices.to_numpy()]
    there = wanted[:, 0] > 0
    measured = _measured(table.filter(pa.array(there)))
    return bin_kept(measured, wanted[there])


def name_targets(counts: Mapping[str, int], targets: Mapping[str, tuple[int, int]]) -> tuple[tuple[int, int, int], ...]:
    """Return (width, height, images) of the buckets that have images, the largest first.

    `counts` are by bucket id, and so are the `targets`, pixels; a bucket that has none there is left out.
    """
    used = sorted((-count, bucket_id) for bucket_id, count in counts.items() if count and bucket_id in targets)
    return tuple((*targets[bucket_id], -count) for count, bucket_id in used)


def bin_sizes(measured: Measured, targets: tuple[tuple[int, int, int], ...]) -> Sizes:
    """Return images by width and height, and what they are brought to."""
    if not len(measured.images):
        return Sizes(width_edges=(), height_edges=(), counts=(), targets=targets)
    across, down = (
        space_by_ratio(int(sides.min()), int(sides.max()), _SIZES, _RATIO)
        for sides in (measured.widths, measured.heights)
    )
    columns, rows = len(across) - 1, len(down) - 1
    cells = find_bins(measured.heights, down) * columns + find_bins(measured.widths, across)
    counts = count_bins(cells, rows * columns, measured.images)
    grid = tuple(counts[first : first + columns] for first in range(0, len(counts), columns))
    return Sizes(width_edges=across, height_edges=down, counts=grid, targets=targets)


def bin_kept(measured: Measured, targets: Numbers) -> Histogram:
    """Return images by the share of their area that the crop to their target keeps.

    `targets` is (n, 2): width and height, pixels, none larger than the image.
    """
    wide, high = targets[:, 0], targets[:, 1]
    across = wide * measured.heights >= high * measured.widths
    top, bottom = np.where(across, wide, high), np.where(across, measured.widths, measured.heights)
    resized = [  # cover_size of images/geometry.py, for all at once
        np.maximum((2 * sides * top + bottom) // (2 * bottom), side)
        for sides, side in ((measured.widths, wide), (measured.heights, high))
    ]
    bins = np.minimum(wide * high * SHARES // (resized[0] * resized[1]), SHARES - 1)
    edges = tuple(place / SHARES for place in range(SHARES + 1))
    return Histogram(edges=edges, counts=count_bins(bins, SHARES, measured.images))


def _measured(table: pa.Table) -> Measured:
    return Measured(
        widths=table["width"].to_numpy(), heights=table["height"].to_numpy(), images=table["images"].to_numpy()
    )
