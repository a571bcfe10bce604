import numpy as np
import pytest

from dataset_assets.overview.bins import count_bins, find_bins, next_step, space_by_ratio, space_evenly


@pytest.mark.parametrize(
    ("least", "step"), [(0.01, 1), (1, 1), (1.5, 2), (3, 5), (5.1, 10), (10, 10), (11, 20), (999, 1000), (1001, 2000)]
)
def test_steps_are_numbers_that_people_read_easily(least: float, step: int) -> None:
    assert next_step(least) == step


@pytest.mark.parametrize("top", [1, 2, 29, 30, 31, 299, 300, 12_345, 1_000_000])
def test_even_bins_are_few_and_hold_the_greatest_value(top: int) -> None:
    edges = space_evenly(top, 30)

    assert edges[0] == 0
    assert edges[-2] <= top < edges[-1]
    assert len(edges) - 1 <= 30
    assert len(set(np.diff(edges))) == 1


@pytest.mark.parametrize(("low", "high"), [(1, 65_535), (100, 120), (512, 4096), (1, 1 << 39)])
def test_bins_by_ratio_reach_from_the_least_to_the_greatest(low: int, high: int) -> None:
    edges = space_by_ratio(low, high, 24, 1.1)

    ratios = np.array(edges[1:]) / edges[:-1]
    assert (edges[0], edges[-1]) == pytest.approx((low, high))
    assert len(ratios) <= 24
    assert ratios.min() > 1.05
    assert ratios == pytest.approx(np.full(len(ratios), ratios[0]), rel=0.01)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (640, 640), (640, 650)])
def test_values_that_are_all_alike_have_one_bin_around_them(low: int, high: int) -> None:
    left, right = space_by_ratio(low, high, 24, 1.1)

    assert left < low <= high < right


def test_a_value_at_an_edge_is_in_the_bin_above_and_what_is_beyond_is_at_the_ends() -> None:
    values = np.array([-5, 0, 9, 10, 19, 20, 30, 1_000_000])

    assert find_bins(values, (0, 10, 20, 30)).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


def test_values_are_counted_as_often_as_they_weigh() -> None:
    assert count_bins(np.array([2, 0, 2]), 4) == (1, 0, 2, 0)
    assert count_bins(np.array([2, 0, 2]), 4, np.array([5, 1, 1_999_999])) == (1, 0, 2_000_004, 0)
