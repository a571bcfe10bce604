"""Histograms: how many there are of which size or share."""

from itertools import pairwise
from typing import TYPE_CHECKING

from dataset_assets.charts.figure import BAR, GREY, count_along
from dataset_assets.overview.histogram import Histogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def paint_histogram(axes: "Axes", histogram: Histogram, *, title: str, measured: str, counted: str) -> None:
    """Put a histogram on the axes; `measured` is along its bins, `counted` is what is in them."""
    from matplotlib.ticker import StrMethodFormatter

    edges = list(histogram.edges)
    widths = [right - left for left, right in pairwise(edges)]
    axes.bar(edges[:-1], histogram.counts, widths, align="edge", color=BAR, edgecolor="white", linewidth=0.6)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_title(title)
    axes.set_xlabel(measured, color=GREY)
    axes.set_ylabel(counted, color=GREY)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    count_along(axes, "y")


def find_half(histogram: Histogram) -> float:
    """Return the largest edge that at least half of what is counted reaches; 0 where nothing is counted."""
    left = sum(histogram.counts)
    half = left / 2
    reached = 0.0
    for edge, count in zip(histogram.edges, histogram.counts, strict=False):
        if left < half or not left:
            break
        reached = edge
        left -= count
    return reached
