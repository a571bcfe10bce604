"""A map of sizes: how many sources are how wide and high, and the sizes that they are brought to."""

from typing import TYPE_CHECKING, Any

from dataset_assets.charts.figure import BAR, GREY, LIMIT, RULE
from dataset_assets.overview.histogram import Sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHADES = ("#dfe8f1", BAR, "#16324f")  # from few images to many
_ROOM = 1.15  # beyond the least and the greatest size


def paint_sizes(figure: "Figure", sizes: Sizes, *, title: str) -> None:
    """Put the map on a figure. `sizes` have edges, or targets, or both."""
    axes = figure.subplots()
    targets = [(width, height) for width, height, _ in sizes.targets]
    if sizes.counts:
        _paint_images(figure, axes, sizes)
    if targets:
        axes.plot(
            *zip(*targets, strict=True),
            linestyle="none",
            marker="o",
            markersize=4.5,
            markerfacecolor="none",
            markeredgecolor=LIMIT,
            markeredgewidth=1.2,
            label="sizes of the buckets",
        )
        figure.legend(loc="outside lower left", handletextpad=0.2)  # beside the map: there are cells in every corner
    axes.set_title(title)
    axes.set_xlabel("width, pixels", color=GREY)
    axes.set_ylabel("height, pixels", color=GREY)
    _scale(axes, "x", [*sizes.width_edges, *(width for width, _ in targets)])
    _scale(axes, "y", [*sizes.height_edges, *(height for _, height in targets)])
    axes.grid(visible=True, color=RULE)


def choose_ticks(low: float, high: float) -> list[int]:
    """Return the sizes to name between two: powers of two, or where there are hardly any, both ends and the middle."""
    powers = [1 << power for power in range(40) if low <= 1 << power <= high]
    if len(powers) > 1:
        return powers[:: 1 + len(powers) // 9]
    between = (round(low * (high / low) ** part) for part in (0.2, 0.5, 0.8))
    return list(dict.fromkeys(between))


def _paint_images(figure: "Figure", axes: "Axes", sizes: Sizes) -> None:
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap, LogNorm
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    counts = np.array(sizes.counts)
    shades = LinearSegmentedColormap.from_list("shades", _SHADES, N=32)
    norm = LogNorm(1, max(10, int(counts.max())))
    cells = axes.pcolormesh(
        sizes.width_edges, sizes.height_edges, np.ma.masked_equal(counts, 0), cmap=shades, norm=norm
    )
    bar = figure.colorbar(cells, ax=axes, pad=0.02, shrink=0.7, aspect=28)
    bar.set_label("images", color=GREY)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_locator(LogLocator(10, numticks=8))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _scale(axes: "Axes", along: str, sides: list[float]) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    low, high = min(sides) / _ROOM, max(sides) * _ROOM
    axis: Any = axes.xaxis if along == "x" else axes.yaxis
    ticks = choose_ticks(low, high)
    axes.set(**{f"{along}scale": "log", f"{along}lim": (low, high)})
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([f"{tick:,}" for tick in ticks]))
    axis.set_minor_locator(NullLocator())
