"""The numbers of an export: what its tars hold, counted from their indexes in one pass. No tar is opened."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.catalog.state import Piece
from dataset_assets.dataset import Dataset
from dataset_assets.overview.captions import bin_lengths, count_characters
from dataset_assets.overview.histogram import Histogram, Sizes
from dataset_assets.overview.images import Measured, bin_kept, bin_sizes, name_targets
from dataset_assets.shards.indexes import read_columns

_SIDES = ["src_w", "src_h", "target_w", "target_h"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an export holds."""

    buckets: Mapping[str, int]  # samples by bucket id
    sizes: Sizes  # of the sources of its samples
    kept: Histogram  # share of a source's area that is in the crop, by samples
    selected: Mapping[str, int]  # samples by variant of their caption, "" for none
    lengths: Histogram  # characters of the captions


def measure_contents(dataset: Dataset, tars: Sequence[Piece]) -> Contents:
    """Return what these tars hold.

    Raises DamagedError where the index of one is damaged, StorageError where there is none.
    """
    buckets: Counter[str] = Counter()
    selected: Counter[str] = Counter()
    sides, lengths = [], []
    targets: dict[str, tuple[int, int]] = {}
    for table in read_columns(dataset, tars, ["bucket_id", "caption_variant", "caption", *_SIDES]):
        bucket_id = table["bucket_id"][0].as_py()  # a tar is of one bucket
        buckets[bucket_id] += len(table)
        targets[bucket_id] = table["target_w"][0].as_py(), table["target_h"][0].as_py()
        selected.update(_count_values(table["caption_variant"]))
        lengths.append(count_characters(table))
        sides.append(np.stack([table[name].to_numpy() for name in _SIDES], axis=1))
    every = np.concatenate([np.zeros((0, len(_SIDES)), np.int64), *sides])
    measured = Measured(widths=every[:, 0], heights=every[:, 1], images=np.ones(len(every), np.int64))
    return Contents(
        buckets=buckets,
        sizes=bin_sizes(measured, name_targets(buckets, targets)),
        kept=bin_kept(measured, every[:, 2:]),
        selected=selected,
        lengths=bin_lengths(lengths),
    )


def _count_values(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}
