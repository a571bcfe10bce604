"""The charts of a dataset: what it is made of and what was left out, each from numbers of overview/, as a PNG.

Where there is nothing to show, a picture says so. What they look like is the other modules' of this folder.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.charts.bars import has_rest, height_of, keep_largest, paint_bars, paint_stacks
from dataset_assets.charts.figure import BAR, COLOURS, GREY, draw, draw_nothing
from dataset_assets.charts.histograms import find_half, paint_histogram
from dataset_assets.charts.sizes import paint_sizes
from dataset_assets.overview.histogram import Histogram, Sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BUCKETS = 40  # rows at most: the rest shares the last
VARIANTS = 20

_MORE_VARIANTS = "{count} more variants"

_HISTOGRAM = 2.8  # inches: how high a histogram is
_MAP = 5.2  # inches
_SHADES = 96  # colours of a picture that has many
_LEGEND = 0.25  # inches: a line of it
_ACROSS = 5  # entries in a line of the legend
_STATUSES: Mapping[str, str] = {
    CaptionStatus.OK: BAR,
    CaptionStatus.MISSING: "#d9d9d4",
    CaptionStatus.EMPTY: "#aeada2",
    CaptionStatus.TRUNCATED: "#e3c567",
    CaptionStatus.REFUSED: "#e08e45",
    CaptionStatus.FILTERED: "#a8663c",
    CaptionStatus.PLACEHOLDER: "#b795c9",
    CaptionStatus.UNAVAILABLE: "#6f5489",
    CaptionStatus.ERROR: "#b5302f",
}


def draw_buckets(counts: Mapping[str, int]) -> bytes:
    """Return images by bucket id, the largest bucket first."""
    title = f"Images by bucket: {sum(counts.values()):,}"
    return _draw_bars(counts, BUCKETS, "{count} more buckets", title, "images", "There is no image in a bucket.")


def draw_drops(drops: Mapping[str, int]) -> bytes:
    """Return images that were left out, by reason, the most frequent first; those of 0 are not shown."""
    title = f"Images left out: {sum(drops.values()):,}"
    return _draw_bars(drops, BUCKETS, "{count} more reasons", title, "images", "No image was left out.")


def draw_sizes(sizes: Sizes) -> bytes:
    """Return a map of the sizes of the sources, and of those of the buckets."""
    title = "Sizes of the sources"
    if not (sizes.counts or sizes.targets):
        return draw_nothing(title, "There is no image.")
    return draw(partial(paint_sizes, sizes=sizes, title=title), height=_MAP, colours=_SHADES)


def draw_kept(kept: Histogram) -> bytes:
    """Return images by the share of their area that the crop keeps."""
    if not sum(kept.counts):
        return draw_nothing("What the crops keep", "There is no image.")
    title = f"What the crops keep: {find_half(kept):.0%} of the area or more, for at least half of the images"
    percent = Histogram(edges=[100 * edge for edge in kept.edges], counts=kept.counts)
    measured = "percent of the source's area that is in the crop"
    return _draw_one(partial(paint_histogram, histogram=percent, title=title, measured=measured, counted="images"))


def draw_statuses(statuses: Mapping[str, Mapping[str, int]]) -> bytes:
    """Return images by variant and by the status of its caption, the variant with most first."""
    title = "Captions by variant and status"
    totals = {variant: sum(counts.values()) for variant, counts in statuses.items()}
    names, cut = [name for name, _ in keep_largest(totals, VARIANTS, _MORE_VARIANTS)], has_rest(totals, VARIANTS)
    if not names:
        return draw_nothing(title, "There is no caption.")
    rest = sum((Counter(counts) for name, counts in statuses.items() if name not in names), Counter[str]())
    rows = [(name, statuses.get(name, rest)) for name in names]
    there = {status for _, counts in rows for status in counts if counts[status]}
    colours = {status: _STATUSES.get(status, GREY) for status in [*_STATUSES, *sorted(there - {*_STATUSES})]}
    colours = {status: colour for status, colour in colours.items() if status in there}
    lines = -(-len(colours) // _ACROSS)

    def paint(axes: "Axes") -> None:
        paint_stacks(axes, rows, colours, title=title, counted="images", rest=cut)
        axes.figure.legend(loc="outside lower center", ncols=_ACROSS)

    return _draw_one(paint, height_of(len(rows)) + _LEGEND * lines, _SHADES)


def draw_captions(selected: Mapping[str, int], lengths: Histogram) -> bytes:
    """Return samples by the variant whose caption they have, "" for none, above captions by length in characters."""
    named = {name or "no caption": count for name, count in selected.items()}
    rows, title = keep_largest(named, VARIANTS, _MORE_VARIANTS), "Captions by the variant that was selected"
    if not (rows and sum(lengths.counts)):
        return _draw_bars(named, VARIANTS, _MORE_VARIANTS, title, "samples", "There is no sample.")
    heights = height_of(len(rows)), _HISTOGRAM

    def paint(figure: "Figure") -> None:
        above, below = figure.subplots(2, height_ratios=heights)
        paint_bars(above, rows, title=title, counted="samples", rest=has_rest(named, VARIANTS))
        _paint_lengths(below, lengths)

    return draw(paint, height=sum(heights))


def _paint_lengths(axes: "Axes", lengths: Histogram) -> None:
    title = f"How long the captions are: at least half have {find_half(lengths):,.0f} characters or more"
    paint_histogram(
        axes, lengths, title=title, measured="characters; longer ones are in the last bar", counted="captions"
    )


def _draw_bars(counts: Mapping[str, int], most: int, others: str, title: str, counted: str, nothing: str) -> bytes:
    rows = keep_largest(counts, most, others)
    if not rows:
        return draw_nothing(title.partition(":")[0], nothing)
    paint = partial(paint_bars, rows=rows, title=title, counted=counted, rest=has_rest(counts, most))
    return _draw_one(paint, height_of(len(rows)))


def _draw_one(paint: "Callable[[Axes], None]", height: float = _HISTOGRAM, colours: int = COLOURS) -> bytes:
    return draw(lambda figure: paint(figure.subplots()), height=height, colours=colours)
