"""Where the bins of a histogram lie, and how many values are in each: arithmetic on arrays, whatever they measure."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

_STEPS = (1, 2, 5)  # and ten times these, and so on: steps that people read easily


def space_evenly(top: int, most: int) -> tuple[float, ...]:
    """Return the edges of about `most` bins from 0 on, the last of which holds `top`; each is 1, 2, 5, 10, … wide."""
    step = next_step((top + 1) / most)
    return tuple(float(step * place) for place in range(top // step + 2))


def next_step(least: float) -> int:
    """Return the first of 1, 2, 5, 10, 20, … that is not below `least`."""
    ten = 10 ** max(0, math.floor(math.log10(least))) if least > 1 else 1
    return next(step * ten for step in (*_STEPS, 10) if step * ten >= least)


def space_by_ratio(low: int, high: int, most: int, ratio: float) -> tuple[float, ...]:
    """Return the edges of at most `most` bins from `low` to `high`, equal on a logarithmic scale.

    A bin is at least `ratio` wide: of values that are all alike there is one bin. `low` is at least 1.
    """
    spread = math.log(high / low)
    bins = min(most, math.floor(spread / math.log(ratio)))
    if bins < 1:
        middle = math.sqrt(low * high)
        return round(middle / math.sqrt(ratio), 2), round(middle * math.sqrt(ratio), 2)
    return tuple(round(low * math.exp(spread * place / bins), 2) for place in range(bins + 1))


def find_bins(values: Numbers, edges: Sequence[float]) -> Numbers:
    """Return the bin of each value; what is beyond the first or the last edge is in the first or the last bin."""
    places = np.searchsorted(np.asarray(edges), values, side="right") - 1
    return places.clip(0, len(edges) - 2)


def count_bins(bins: Numbers, count: int, weights: Numbers | None = None) -> tuple[int, ...]:
    """Return how many are in each of `count` bins, each counted as often as its weight says."""
    return tuple(np.bincount(bins, weights, minlength=count).astype(np.int64).tolist())
