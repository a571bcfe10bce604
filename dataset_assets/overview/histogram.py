"""Counts over a range of values, as charts and pages take them. What is counted is the other modules' to say."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How many fall between two values."""

    edges: Sequence[float]  # one more than there are counts; a value at an edge is in the bin above it
    counts: Sequence[int]  # what is beyond the last edge is in the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many source images there are of which size, and what they are brought to."""

    width_edges: Sequence[float]  # pixels; the bins are equal on a logarithmic scale
    height_edges: Sequence[float]
    counts: Sequence[Sequence[int]]  # counts[row of heights][column of widths]
    targets: Sequence[tuple[int, int, int]]  # (width, height, images), pixels: the buckets in use
