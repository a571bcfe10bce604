"""How many captions there are, of which kind and how long. Counted by the catalog and Arrow, never one by one."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.captions.sources import live_sources
from dataset_assets.catalog.captions import count_newest
from dataset_assets.catalog.state import load_pieces, load_states
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import find_state
from dataset_assets.overview.bins import Numbers, count_bins, find_bins, space_evenly
from dataset_assets.overview.histogram import Histogram
from dataset_assets.release.manifest import load_manifest
from dataset_assets.shards.indexes import read_columns
from dataset_assets.stages import Stage

_LENGTHS = 30  # bins at most
_USUAL = 0.99  # of the captions are not in the last bin because they are too long for the others


def count_statuses(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Return how many images in slots have a caption of each status, by variant; of sources that count.

    An image counts once a variant: with the status that the newest of these sources gives it that has a row for it. An
    older source may have given it an ok caption, which is selected then.
    """
    statuses: dict[str, dict[str, int]] = {}
    with dataset.catalog.reading() as connection:
        counts = count_newest(connection, live_sources(connection, dataset.settings.captions))
    for (variant, status), count in counts.items():
        statuses.setdefault(variant, {})[status] = count
    return statuses


def count_selected(dataset: Dataset) -> dict[str, int]:
    """Return how many samples of the export have a caption of each variant, in the order of the waterfall.

    "" is of the samples without any, where there are some. Raises OrderError or StorageError where nothing was exported
    yet.
    """
    with dataset.catalog.reading() as connection:
        report = find_state(load_states(connection, [""]), Stage.MANIFEST).report
    manifest = load_manifest(dataset.layout.manifest)
    priority = manifest["caption_priority"]
    assert isinstance(priority, list)
    variants = [step["variant"] for step in priority]
    return name_selected(report["selected"], variants, report["summary"]["images_exported"])


def name_selected(selected: Mapping[str, int], variants: Sequence[str], samples: int) -> dict[str, int]:
    """Return samples by variant, "" for none, of samples by selector.

    `selected` is by the selector's index as text, `variants` are those of the selectors in their order.
    """
    named = dict.fromkeys(variants, 0)
    for index, count in selected.items():
        named[variants[int(index)]] += count
    left = samples - sum(named.values())
    return named | ({"": left} if left else {})


def measure_lengths(dataset: Dataset) -> Histogram:
    """Return how long the captions of the export are, characters; samples without one are left out.

    The bins reach as far as nearly all captions do, and the last has the longer ones too. Raises DamagedError where the
    index of a tar is damaged, StorageError where there is none.
    """
    with dataset.catalog.reading() as connection:
        tars = [piece for piece in load_pieces(connection, Stage.SHARDS) if piece.path]
    return bin_lengths([count_characters(table) for table in read_columns(dataset, tars, ["caption"])])


def count_characters(samples: pa.Table) -> Numbers:
    """Return how many characters each caption has, 0 where there is none."""
    lengths: Numbers = pc.utf8_length(samples["caption"]).to_numpy().astype(np.int64)
    return lengths


def bin_lengths(parts: Iterable[Numbers]) -> Histogram:
    """Return captions by their characters; those of none are left out."""
    every = np.concatenate([np.zeros(0, np.int64), *parts])
    lengths = np.sort(every[every > 0])
    if not len(lengths):
        return Histogram(edges=(), counts=())
    top, longest = int(lengths[int((len(lengths) - 1) * _USUAL)]), int(lengths[-1])
    edges = space_evenly(longest if longest < 2 * top else top, _LENGTHS)
    return Histogram(edges=edges, counts=count_bins(find_bins(lengths, edges), len(edges) - 1))
