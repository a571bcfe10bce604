"""The pictures that an export has: what its tars hold, and nothing of what was left out or not selected.

What they look like is charts/, what is counted is overview/, and when one is drawn again is files.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from dataset_assets.catalog.state import Piece
from dataset_assets.charts.again import draw_once
from dataset_assets.charts.dataset import draw_buckets, draw_captions, draw_kept, draw_sizes
from dataset_assets.dataset import Dataset
from dataset_assets.overview.export import measure_contents
from dataset_assets.overview.images import has_crops
from dataset_assets.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture of the export."""

    name: str
    shown: Any  # the numbers that it shows, as JSON's types
    draw: Callable[[], bytes]  # as a PNG


def name_charts(settings: Settings) -> tuple[str, ...]:
    """Return which pictures the settings ask for."""
    if not settings.release.charts:
        return ()
    return "buckets", "sizes", *(["kept"] if has_crops(settings) else []), "captions"


def make_charts(dataset: Dataset, tars: Sequence[Piece]) -> Iterator[Chart]:
    """Yield the pictures of an export of these tars; none is drawn yet.

    Raises DamagedError where the index of a tar is damaged, StorageError where there is none.
    """
    names = name_charts(dataset.settings)
    if not names:
        return
    held = measure_contents(dataset, tars)
    sizes, kept, lengths = (asdict(one) for one in (held.sizes, held.kept, held.lengths))
    charts = {
        "buckets": (held.buckets, partial(draw_once, draw_buckets, held.buckets)),
        "sizes": (sizes, partial(draw_once, draw_sizes, held.sizes)),
        "kept": (kept, partial(draw_once, draw_kept, held.kept)),
        "captions": ([held.selected, lengths], partial(draw_captions, held.selected, held.lengths)),
    }
    for name in names:
        shown, draw = charts[name]
        yield Chart(name=name, shown=shown, draw=draw)
