from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dataset_assets.charts.histograms import find_half, paint_histogram
from dataset_assets.overview.histogram import Histogram
from dataset_assets_tests.charts.painted import bars_of


def test_each_bin_is_a_bar_between_its_edges() -> None:
    axes = Figure().subplots()
    assert isinstance(axes, Axes)

    paint_histogram(
        axes, Histogram(edges=(0, 5, 20), counts=(7, 3)), title="How long", measured="characters", counted="captions"
    )

    bars = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in bars_of(axes)]
    assert bars == [(0, 5, 7), (5, 15, 3)]
    assert axes.get_xlim() == (0, 20)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("characters", "captions")


def test_half_is_the_largest_edge_that_half_of_all_reach() -> None:
    edges = (0, 10, 20, 30)

    assert find_half(Histogram(edges=edges, counts=(1, 1, 2))) == 20
    assert find_half(Histogram(edges=edges, counts=(2, 1, 1))) == 10
    assert find_half(Histogram(edges=edges, counts=(3, 1, 1))) == 0
    assert find_half(Histogram(edges=edges, counts=(0, 0, 1))) == 20


def test_half_of_nothing_is_0() -> None:
    assert find_half(Histogram(edges=(), counts=())) == 0
    assert find_half(Histogram(edges=(0.0, 0.5, 1.0), counts=(0, 0))) == 0
