from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from dataset_assets.charts.sizes import choose_ticks, paint_sizes
from dataset_assets.overview.histogram import Sizes

SIZES = Sizes(width_edges=(100, 200, 400), height_edges=(50, 300), counts=((3, 0),), targets=((64, 48, 2), (72, 40, 1)))


def painted(sizes: Sizes) -> Figure:
    figure = Figure()
    paint_sizes(figure, sizes, title="Sizes")
    return figure


def test_the_map_has_a_cell_for_each_size_and_none_where_there_is_no_image() -> None:
    axes, bar = painted(SIZES).axes

    (cells,) = (one for one in axes.collections if isinstance(one, QuadMesh))
    array = cells.get_array()
    assert array is not None
    assert array.tolist() == [[3, None]]
    assert bar.get_ylabel() == "images"


def test_the_sizes_of_the_buckets_are_within_the_map() -> None:
    axes = painted(SIZES).axes[0]

    (circles,) = axes.lines
    across: Any = circles.get_xdata()
    down: Any = circles.get_ydata()
    assert (list(across), list(down)) == ([64, 72], [48, 40])
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert left < 64
    assert right > 400
    assert bottom < 40
    assert top > 300
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_the_legend_is_beside_the_map_and_covers_nothing_of_it() -> None:
    figure = Figure(layout="constrained")
    paint_sizes(figure, SIZES, title="Sizes")
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()

    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["sizes of the buckets"]
    assert figure.axes[0].get_legend() is None
    covered = figure.axes[0].get_tightbbox()
    assert covered is not None
    assert not legend.get_window_extent().overlaps(covered)


def test_there_may_be_images_without_buckets_and_buckets_without_images() -> None:
    alone = Sizes(width_edges=(), height_edges=(), counts=(), targets=((64, 48, 2),))
    assert len(painted(alone).axes) == 1

    without = Sizes(width_edges=(95, 105), height_edges=(95, 105), counts=((1,),), targets=())
    assert list(painted(without).axes[0].lines) == []


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (100, 5000, [128, 256, 512, 1024, 2048, 4096]),
        (60, 70, [62, 65, 68]),
        (600, 700, [619, 648, 679]),
        (1, 1.2, [1]),
    ],
)
def test_the_sizes_that_are_named_are_powers_of_two_where_there_are_some(
    low: float, high: float, ticks: list[int]
) -> None:
    assert choose_ticks(low, high) == ticks


def test_few_sizes_are_named_however_far_they_reach() -> None:
    assert len(choose_ticks(1, 1 << 39)) <= 10
