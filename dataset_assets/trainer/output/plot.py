"""report.png: where the texts come from, and how long the captions are. How a chart looks is charts/figure.py's."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dataset_assets.charts.bars import paint_bars
from dataset_assets.charts.figure import LIMIT, draw, say
from dataset_assets.charts.histograms import paint_histogram
from dataset_assets.overview.histogram import Histogram
from dataset_assets.trainer.output.texts import LONG

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 10.0, 4.0  # inches
_ROOM = 1.3  # of the longest bar, for its number
_LONGEST = 80  # characters of the title
_COLOURS = 32


def draw_report(report: Mapping[str, Any], title: str) -> bytes:
    """Return a report's plot as a PNG. The same report gives the same bytes with the same release of matplotlib."""

    def paint(figure: "Figure") -> None:
        paint_report(figure, report, title)

    return draw(paint, height=_HEIGHT, width=_WIDTH, colours=_COLOURS)


def paint_report(figure: "Figure", report: Mapping[str, Any], title: str) -> None:
    """Put both charts of a report side by side on a figure."""
    figure.suptitle(f"{say(title, _LONGEST)}: {report['ids']:,} ids")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    paint_bars(left, list(report["sources"].items()), title="where the texts come from", counted="ids")
    left.tick_params(axis="x", labelrotation=30)
    left.set_xlim(0, max([*report["sources"].values(), 1]) * _ROOM)
    _paint_lengths(right, report["lengths"])


def _paint_lengths(axes: "Axes", lengths: Mapping[str, Any]) -> None:
    step, counts = lengths["tokens"], lengths["captions"]
    histogram = Histogram(edges=[step * place for place in range(len(counts) + 1)], counts=counts)
    measured = f"tokens, estimated; the last bar is of {step * (len(counts) - 1)} and more"
    paint_histogram(axes, histogram, title="how long the captions are", measured=measured, counted="captions")
    at: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "xytext": (3, -10), "textcoords": "offset points"}
    for limit in LONG:
        axes.axvline(limit, color=LIMIT, linewidth=1)
        axes.annotate(str(limit), (limit, 1), color=LIMIT, **at)
