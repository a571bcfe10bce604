"""Groups of looks that are near each other, found without comparing each with each. What a look is is in looks.py.

Looks that differ in at most 3 bits agree in at least five of their eight bytes, and so in at least three of the four
bytes of one half. There are eight ways to choose three bytes of a half: for each, the looks are sorted by these bytes,
and only those that agree there are compared. Where too many agree, two of the other five bytes must agree as well,
which is tried for each two. It is exact: no pair within 3 bits is missed.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dataset_assets.images.looks import TURNS, Looks, as_numbers, measure_distances, turn_looks

_HALVES = ((0, 3, 4, 7), (1, 2, 5, 6))  # bytes: each half has cells of the middle and of the margins
_CROWD = 128  # looks that agree in three bytes: more are told apart by five
_AT_ONCE = 1 << 20  # pairs

Numbers = NDArray[np.int64]  # (count,)


def group_looks(looks: Looks, distance: int) -> Numbers:
    """Return for each look the index of the first look of its group.

    Two looks are in one group when they differ, in some turn, in at most `distance` bits, 0 to 3, or when a chain of
    such pairs leads from one to the other.
    """
    nodes, node_of = np.unique(_settle(looks, range(TURNS)), return_inverse=True)  # equal looks are one
    search = _Search(nodes.view(np.uint8).reshape(-1, TURNS), distance)
    if distance:
        search.run()
    _, first, place = np.unique(search.groups[node_of], return_index=True, return_inverse=True)
    found: Numbers = first[place]
    return found


class _Search:
    """The groups of some looks of which no two are the same in any turn."""

    def __init__(self, looks: Looks, distance: int) -> None:
        self.groups = np.arange(len(looks))  # of each look: the least look of all that it is joined with
        self._looks = looks
        self._distance = distance

    def run(self) -> None:
        """Join all that are near each other."""
        for agreeing in (some for half in _HALVES for some in combinations(half, 3)):
            crowded = self._join_agreeing(np.arange(len(self._looks)), agreeing, _CROWD)
            for more in combinations(set(range(TURNS)).difference(agreeing), 2):
                self._join_agreeing(crowded, (*agreeing, *more), len(crowded))

    def _join_agreeing(self, some: Numbers, agreeing: tuple[int, ...], most: int) -> Numbers:
        """Join those that are near each other of some looks that agree in some bytes.

        Returns those of which more than `most` agree with each other: they are left alone.
        """
        keys = _settle(self._looks[some], agreeing)
        order = np.argsort(keys)
        keys, some = keys[order], some[order]
        _, starts, counts = np.unique(keys, return_index=True, return_counts=True)
        crowds = np.repeat(counts > most, counts)
        for first, second in _list_pairs(np.repeat(starts + counts, counts), ~crowds & (np.repeat(counts, counts) > 1)):
            self._join_near(some[first], some[second])
        return some[crowds]

    def _join_near(self, first: Numbers, second: Numbers) -> None:
        apart = self.groups[first] != self.groups[second]  # the others need no measuring: dense heaps are cheap
        first, second = first[apart], second[apart]
        near = measure_distances(self._looks[first], self._looks[second]) <= self._distance
        self._join(first[near], second[near])

    def _join(self, first: Numbers, second: Numbers) -> None:
        """Make the groups of each pair one."""
        groups = self.groups
        while True:
            left, right = groups[first], groups[second]
            apart = left != right
            if not apart.any():
                return
            np.minimum.at(groups, np.maximum(left, right)[apart], np.minimum(left, right)[apart])
            while not np.array_equal(above := groups[groups], groups):
                groups[:] = above


def _settle(looks: Looks, agreeing: tuple[int, ...] | range) -> NDArray[np.uint64]:
    """Return a number of each look, made of some of its bytes: the same for looks that agree there in some turn."""
    mask = as_numbers(np.array([[255 if byte in agreeing else 0 for byte in range(TURNS)]], np.uint8))
    least = as_numbers(looks) & mask
    for turn in range(1, TURNS):
        np.minimum(least, as_numbers(turn_looks(looks, turn)) & mask, out=least)
    return least


def _list_pairs(ends: Numbers, wanted: NDArray[np.bool_]) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield all pairs of places in one run, many at once.

    `ends` says where the run of each place ends, `wanted` which places have pairs.
    """
    left = np.flatnonzero(wanted)
    offset, held = 0, 0
    first: list[Numbers] = []
    while len(left):
        offset += 1
        left = left[left + offset < ends[left]]
        first.append(left)
        held += len(left)
        if held >= _AT_ONCE or not len(left):
            start = offset - len(first) + 1
            second = [places + start + number for number, places in enumerate(first)]
            yield np.concatenate(first), np.concatenate(second)
            first, held = [], 0
