"""report.png: where the texts come from, and how long the captions are. Matplotlib is imported only to draw."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from dataset_assets.trainer.output.texts import LONG

_INK, _BAR, _LIMIT = "#222428", "#4c78a8", "#b5482f"
_DOTS = 150  # an inch


def draw_report(report: Mapping[str, Any], title: str) -> bytes:
    """Return a report's plot as a PNG. The same report gives the same bytes with the same release of matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    figure.suptitle(f"{title}: {report['ids']:,} ids", color=_INK)
    _draw_sources(left, report["sources"])
    _draw_lengths(right, report["lengths"])
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=_DOTS, metadata={"Software": None})
    return drawn.getvalue()


def _draw_sources(axes: Any, sources: Mapping[str, int]) -> None:
    names, counts = list(sources), list(sources.values())
    bars = axes.barh(range(len(names)), counts, color=_BAR)
    axes.bar_label(bars, [f"{count:,}" for count in counts], padding=4, color=_INK)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, max(counts, default=1) * 1.3)  # room for the numbers
    axes.set_title("where the texts come from")
    axes.set_xlabel("ids")
    _tidy(axes)


def _draw_lengths(axes: Any, lengths: Mapping[str, Any]) -> None:
    step, counts = lengths["tokens"], lengths["captions"]
    axes.bar([step * index for index in range(len(counts))], counts, width=step, align="edge", color=_BAR)
    for limit in LONG:
        axes.axvline(limit, color=_LIMIT, linewidth=1)
        axes.annotate(
            str(limit),
            (limit, 1),
            xycoords=("data", "axes fraction"),
            color=_LIMIT,
            xytext=(3, -12),
            textcoords="offset points",
        )
    axes.set_title("how long the captions are")
    axes.set_xlabel(f"tokens, estimated; the last bar is of {step * (len(counts) - 1)} and more")
    axes.set_ylabel("captions")
    _tidy(axes)


def _tidy(axes: Any) -> None:
    from matplotlib.ticker import StrMethodFormatter

    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axis = axes.xaxis if axes.get_xlabel() == "ids" else axes.yaxis
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.tick_params(axis="x", labelrotation=30 if axes.get_xlabel() == "ids" else 0)
