from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_assets.images import alike
from dataset_assets.images.alike import group_looks
from dataset_assets.images.looks import TURNS, Looks, measure_distances, turn_looks

DISTANCES = st.integers(0, 3)
CROWDS = st.sampled_from([1, 4, alike._CROWD])
# Looks of few bits are near each other, and near many at once; the others seldom are.
SPARSE = st.sets(st.integers(0, 63), max_size=5)
ANY = st.sets(st.integers(0, 63), max_size=64)


def looks_of(sets: Sequence[set[int]]) -> Looks:
    """Return looks with these bits set."""
    bits = np.zeros((len(sets), 64), np.uint8)
    for row, some in enumerate(sets):
        bits[row, list(some)] = 1
    return np.packbits(bits, axis=1)


def random_looks(count: int, seed: int = 0) -> Looks:
    return np.random.default_rng(seed).integers(0, 256, (count, 8), np.uint8)


def changed(looks: Looks, bits: int, seed: int = 0) -> Looks:
    """Return looks that differ from these in so many bits each, all turned at random."""
    random = np.random.default_rng(seed)
    flips = np.argsort(random.random((len(looks), 64)), axis=1) < bits
    flipped = looks ^ np.packbits(flips, axis=1)
    turns = random.integers(0, TURNS, len(looks))
    return np.stack([turn_looks(flipped[[row]], int(turn))[0] for row, turn in enumerate(turns)])


def group_one_by_one(looks: Looks, distance: int) -> list[int]:
    """Compare each look with each; the group of each is its first look."""
    groups = list(range(len(looks)))
    for row in range(len(looks)):
        near = np.flatnonzero(measure_distances(looks, np.repeat(looks[[row]], len(looks), axis=0)) <= distance)
        joined = {groups[other] for other in near}
        groups = [min(joined) if group in joined else group for group in groups]
    return groups


def group(looks: Looks, distance: int, crowd: int) -> list[int]:
    """Group the looks; where more than `crowd` agree in three bytes, they are told apart by five."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "_CROWD", crowd)
        patch.setattr(alike, "_AT_ONCE", 5 * crowd)
        return [int(row) for row in group_looks(looks, distance)]


@settings(deadline=None)
@given(st.lists(SPARSE | ANY, max_size=40).map(looks_of), DISTANCES, CROWDS)
def test_groups_are_those_of_comparing_each_with_each(looks: Looks, distance: int, crowd: int) -> None:
    assert group(looks, distance, crowd) == group_one_by_one(looks, distance)


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(0, 5), DISTANCES, CROWDS)
def test_what_was_changed_and_turned_is_found_among_others(seed: int, bits: int, distance: int, crowd: int) -> None:
    looks = random_looks(40, seed)
    looks = np.concatenate([looks, changed(looks, bits, seed)])

    groups = group(looks, distance, crowd)

    assert groups == group_one_by_one(looks, distance)
    if bits <= distance:
        assert groups[40:] == groups[:40]


@pytest.mark.parametrize("crowd", [10, 1000])
def test_none_is_missed_where_many_agree_in_half_of_their_bytes(crowd: int) -> None:
    looks = random_looks(300, 3)
    looks[:, [0, 3, 4, 7]] = 90
    near = looks[::-1].copy()
    near[:, [1, 2, 6]] ^= 4

    assert group(np.concatenate([looks, near]), 3, crowd) == [*range(300), *reversed(range(300))]


@pytest.mark.parametrize("crowd", [1, 1000])
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_none_is_missed_of_many(bits: int, crowd: int) -> None:
    looks = random_looks(3000, bits)
    shuffled = np.random.default_rng(bits).permutation(3000)
    both = np.concatenate([looks, changed(looks, bits)[shuffled]])

    assert group(both, bits, crowd) == [*range(3000), *shuffled.tolist()]
    assert group(both, bits - 1, crowd) == list(range(6000))


def test_every_place_of_three_bits_is_found() -> None:
    look = random_looks(1, 7)
    for bits in (np.array(some) for some in ([0, 1, 2], [0, 8, 16], [7, 31, 63], [24, 40, 56], [5, 6, 45])):
        flips = np.zeros(64, np.uint8)
        flips[bits] = 1
        other = look ^ np.packbits(flips)
        assert group_looks(np.concatenate([look, other]), 3).tolist() == [0, 0]
        assert group_looks(np.concatenate([look, other]), 2).tolist() == [0, 1]


def test_a_chain_leads_from_one_to_the_other() -> None:
    links = looks_of([set(range(3 * length)) for length in range(12)])
    alone = looks_of([{1, 9, 17, 25, 33, 41, 49, 57, 62}])

    assert group_looks(np.concatenate([links, alone]), 3).tolist() == [0] * 12 + [12]
    assert group_looks(links[::2], 3).tolist() == list(range(6))


@settings(deadline=None)
@given(st.lists(SPARSE, min_size=1, max_size=30).map(looks_of), DISTANCES, st.randoms(use_true_random=False))
def test_the_order_of_the_looks_changes_no_group(looks: Looks, distance: int, random: Random) -> None:
    order = list(range(len(looks)))
    random.shuffle(order)

    def members(groups: list[int], names: list[int]) -> set[frozenset[int]]:
        return {
            frozenset(name for name, one in zip(names, groups, strict=True) if one == group) for group in set(groups)
        }

    there = group_looks(looks, distance).tolist()
    shuffled = group_looks(looks[order], distance).tolist()

    assert members(there, list(range(len(looks)))) == members(shuffled, order)
    assert all(group <= row for row, group in enumerate(shuffled))


@pytest.mark.parametrize("distance", [0, 3])
def test_a_hundred_thousand_equal_looks_are_one(distance: int) -> None:
    looks = np.repeat(random_looks(2), [100_000, 1], axis=0)

    assert group_looks(looks, distance).tolist() == [0] * 100_000 + [100_000]


def test_all_near_plain_looks_are_one_heap() -> None:
    sparse = np.random.default_rng(0).random((20_000, 64)) < 0.02
    looks = np.packbits(~sparse, axis=1)

    groups, counts = np.unique(group_looks(looks, 3), return_counts=True)

    assert counts.max() > 19_900
    assert len(groups) < 50


def test_no_looks_no_groups() -> None:
    assert group_looks(random_looks(0), 3).tolist() == []
    assert group_looks(random_looks(1), 3).tolist() == [0]
