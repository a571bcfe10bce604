import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dataset_assets.charts.bars import has_rest, height_of, keep_largest, paint_bars, paint_stacks
from dataset_assets_tests.charts.painted import bars_of, texts_of


@pytest.fixture
def axes() -> Axes:
    made = Figure().subplots()
    assert isinstance(made, Axes)
    return made


def test_the_largest_stand_first_and_none_of_0() -> None:
    assert keep_largest({"b": 2, "none": 0, "c": 5, "a": 2}, 9, "") == [("c", 5), ("a", 2), ("b", 2)]


def test_what_does_not_fit_shares_the_last_row() -> None:
    counts = {f"p{place}": 2_000 - place for place in range(1_500)}

    rows = keep_largest(counts, 3, "{count} more")

    assert rows == [("p0", 2_000), ("p1", 1_999), ("1,498 more", sum(counts.values()) - 3_999)]
    assert keep_largest(dict(rows), 3, "{count} more") == sorted(rows, key=lambda row: -row[1])
    assert (has_rest(counts, 3), has_rest(dict(rows), 3), has_rest({"a": 1, "b": 0}, 1)) == (True, False, False)


def test_each_row_has_its_bar_its_name_and_its_number(axes: Axes) -> None:
    paint_bars(axes, [("wide", 12_345), ("square", 7)], title="Images", counted="images")

    assert [bar.get_width() for bar in bars_of(axes)] == [12_345, 7]
    assert [bar.get_y() < 0.5 for bar in bars_of(axes)] == [True, False]
    assert axes.yaxis_inverted()
    assert texts_of(axes) == ["12,345", "7", "wide", "square"]
    assert axes.get_xlim()[1] > 12_345
    assert (axes.get_title(), axes.get_xlabel()) == ("Images", "images")


def test_a_rest_that_is_shorter_than_the_longest_is_as_long_as_it_is(axes: Axes) -> None:
    paint_bars(axes, [("a", 100), ("b", 50), ("2 more", 60)], title="", counted="", rest=True)

    assert [bar.get_width() for bar in bars_of(axes)] == [100, 50, 60]
    assert len({bar.get_facecolor() for bar in bars_of(axes)}) == 2


def test_the_parts_of_a_row_follow_each_other(axes: Axes) -> None:
    rows = [("a", {"ok": 5, "missing": 2}), ("b", {"missing": 3, "error": 1})]

    paint_stacks(axes, rows, {"ok": "#000000", "missing": "#888888", "error": "#ff0000"}, title="", counted="")

    bars = [(bar.get_x(), bar.get_width()) for bar in bars_of(axes)]
    assert bars == [(0, 5), (0, 0), (5, 2), (0, 3), (7, 0), (3, 1)]
    assert texts_of(axes) == ["7", "4", "a", "b"]
    handles, names = axes.get_legend_handles_labels()
    assert (len(handles), names) == (3, ["ok", "missing", "error"])


def test_without_rows_the_axes_are_empty(axes: Axes) -> None:
    paint_bars(axes, [], title="", counted="")

    assert len(axes.patches) == 0
    assert axes.get_xlim()[1] > 0


def test_a_chart_is_higher_by_its_rows() -> None:
    assert height_of(1) == height_of(2) < height_of(3) < height_of(40) < 10
