from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import isqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.buckets.choose import NO_BUCKET, choose_buckets
from dataset_assets.buckets.protos import PROTOS, make_buckets, scale_proto
from dataset_assets.records import Bucket

BUCKETS = {bucket.id: bucket for bucket in make_buckets([1024], 32)}
TABLES = {base: make_buckets([base], 32) for base in (64, 256, 512, 768, 1024, 2048)}
LONGEST = 65_535  # pixels: a JPEG's and a WebP's side
LARGEST = 2**31 - 1  # what the catalog's columns hold

Size = tuple[int, int]


def choose(sizes: Sequence[Size], buckets: Sequence[Bucket]) -> list[int]:
    widths, heights = np.array(sizes, np.int64).reshape(-1, 2).T
    return [int(index) for index in choose_buckets(widths, heights, buckets)]


def choose_slowly(size: Size, buckets: Sequence[Bucket]) -> int:
    """docs/format.md, Buckets, word for word, and in fractions."""
    ratios = [Fraction(size[0] * bucket.target[1], size[1] * bucket.target[0]) for bucket in buckets]
    distances = [max(ratio, 1 / ratio) for ratio in ratios]
    nearest = distances.index(min(distances))
    width, height = buckets[nearest].target
    return nearest if width <= size[0] and height <= size[1] else NO_BUCKET


def between(one: Bucket, other: Bucket, longest: int) -> Size:
    """Return the size of at most `longest` pixels a side whose aspect is as near to both as whole pixels allow."""
    square = Fraction(one.target[0] * other.target[0], one.target[1] * other.target[1])
    root = Fraction(isqrt(square.numerator * square.denominator << 200), square.denominator << 100)
    aspect = root if root <= 1 else 1 / root
    size = aspect.limit_denominator(longest).as_integer_ratio()
    return size if root <= 1 else size[::-1]


sides = st.integers(1, 300) | st.integers(1, 5000) | st.integers(1, LONGEST)
tables = st.sampled_from(list(TABLES.values())) | st.permutations(TABLES[512]).flatmap(
    lambda table: st.integers(1, len(table)).map(lambda count: tuple(table[:count]))
)


@given(st.lists(st.tuples(sides, sides), max_size=30), tables)
def test_the_nearest_aspect_is_chosen(sizes: list[Size], buckets: tuple[Bucket, ...]) -> None:
    assert choose(sizes, buckets) == [choose_slowly(size, buckets) for size in sizes]


@given(st.permutations(TABLES[1024]), st.integers(2048, LONGEST))
def test_sizes_a_hair_from_a_tie_are_told_apart(buckets: list[Bucket], longest: int) -> None:
    sizes = [between(one, other, longest) for one, other in pairwise(buckets)]

    assert choose(sizes, buckets) == [choose_slowly(size, buckets) for size in sizes]


@given(st.sampled_from([16, 50, 1000]), st.data())
def test_multiples_of_a_target_belong_to_it(divisible: int, data: st.DataObject) -> None:
    buckets = make_buckets([2048], divisible)
    index = data.draw(st.integers(0, len(buckets) - 1))
    times = data.draw(st.integers(1, 1000))
    width, height = buckets[index].target
    same_aspect = [place for place, one in enumerate(buckets) if one.target[0] * height == one.target[1] * width]

    assert choose([(width * times, height * times)], buckets) == [
        choose_slowly((width * times, height * times), buckets)
    ]
    assert choose([(width * 1000, height * 1000)], buckets) == same_aspect[:1]


@pytest.mark.parametrize("order", [("p2048x512", "p512x2048"), ("p512x2048", "p2048x512")])
def test_a_tie_goes_to_the_first_of_the_table(order: tuple[str, str]) -> None:
    assert choose([(3000, 3000)], [BUCKETS[name] for name in order]) == [0]


def test_a_tie_between_neighbours_goes_to_the_first_of_the_table() -> None:
    square, wide = BUCKETS["p1024x1024"], BUCKETS["p2048x512"]

    assert choose([(4096, 2048)], [square, wide]) == [0]  # aspect 2 = sqrt(1 · 4)
    assert choose([(4096, 2048)], [wide, square]) == [0]
    assert choose([(4097, 2048)], [square, wide]) == [1]
    assert choose([(4095, 2048)], [square, wide]) == [0]


@pytest.mark.parametrize(
    ("size", "bucket_id"),
    [
        ((1024, 1024), "p1024x1024"),
        ((6000, 4000), "p1216x832"),
        ((4000, 6000), "p832x1216"),
        ((1920, 1080), "p1344x768"),
        ((1080, 1920), "p768x1344"),
        ((30_000, 1024), "p2048x512"),
        ((1024, 30_000), "p512x2048"),
    ],
)
def test_landscape_and_portrait(size: Size, bucket_id: str) -> None:
    assert TABLES[1024][choose([size], TABLES[1024])[0]].id == bucket_id


@given(st.tuples(sides, sides), tables)
def test_nothing_is_upsampled(size: Size, buckets: tuple[Bucket, ...]) -> None:
    (index,) = choose([size], buckets)

    if index != NO_BUCKET:
        width, height = buckets[index].target
        assert width <= size[0]
        assert height <= size[1]


def test_one_pixel_less_than_the_target_is_too_small() -> None:
    table = TABLES[1024]

    assert choose([(1216, 832), (1215, 832), (1216, 831)], table)[1:] == [NO_BUCKET, NO_BUCKET]
    assert table[choose([(1216, 832)], table)[0]].id == "p1216x832"


def test_no_second_best_bucket_is_tried() -> None:
    # 512x2047 would fill p512x1984, but p512x2048 is nearer.
    assert choose([(512, 2047)], TABLES[1024]) == [NO_BUCKET]


def test_the_smallest_and_the_largest_sizes() -> None:
    buckets = make_buckets([8192], 1)
    sizes = [(1, 1), (1, LARGEST), (LARGEST, 1), (LARGEST, LARGEST), (LARGEST, LARGEST // 2), (LARGEST // 2, LARGEST)]

    chosen = choose(sizes, buckets)

    assert chosen == [choose_slowly(size, buckets) for size in sizes]
    assert [buckets[index].id for index in chosen[3:]] == ["p1024x1024", "p1408x704", "p704x1408"]


def test_no_image_has_no_bucket() -> None:
    assert choose([], TABLES[512]) == []


def choose_everywhere_slowly(size: Size, tables: Sequence[Sequence[Bucket]], *, next_bucket: bool) -> str:
    """docs/format.md, Buckets, over several bases, the largest first, and the policy next_bucket, in fractions."""
    for buckets in tables:
        if (index := choose_slowly(size, buckets)) != NO_BUCKET:
            return buckets[index].id
    for buckets in tables if next_bucket else ():
        filled = [bucket for bucket in buckets if bucket.target[0] <= size[0] and bucket.target[1] <= size[1]]
        if filled and (index := choose_slowly(size, filled)) != NO_BUCKET:
            return filled[index].id
    return ""


@given(
    st.lists(st.tuples(sides, sides), max_size=30),
    st.sets(st.sampled_from([64, 256, 512, 768, 1024]), min_size=1, max_size=3),
    st.booleans(),
)
def test_an_image_goes_to_the_largest_base_that_it_fills(sizes: list[Size], bases: set[int], next_bucket: bool) -> None:
    buckets = make_buckets(bases, 32)
    tables = [[bucket for bucket in buckets if bucket.base == base] for base in sorted(bases, reverse=True)]
    widths, heights = np.array(sizes, np.int64).reshape(-1, 2).T

    chosen = choose_buckets(widths, heights, buckets, next_bucket=next_bucket)

    assert ["" if index == NO_BUCKET else buckets[index].id for index in chosen] == [
        choose_everywhere_slowly(size, tables, next_bucket=next_bucket) for size in sizes
    ]


def test_with_next_bucket_the_nearest_that_is_filled_is_taken() -> None:
    widths, heights = np.array([(512, 2047), (511, 3000), (700, 700)], np.int64).T

    chosen = choose_buckets(widths, heights, TABLES[1024], next_bucket=True)

    assert [TABLES[1024][index].id if index != NO_BUCKET else "" for index in chosen] == ["p512x1984", "", ""]


def test_the_published_two_bases_use_only_first_protos_of_equal_targets() -> None:
    buckets = make_buckets([512, 256], 32)
    sizes = np.array([(width, height) for width in range(128, 900, 7) for height in range(128, 900, 7)], np.int64)

    used = {buckets[index] for index in choose_buckets(sizes[:, 0], sizes[:, 1], buckets) if index != NO_BUCKET}

    at_256 = [bucket for bucket in used if bucket.base == 256]
    assert {bucket.base for bucket in used} == {512, 256}
    assert len(at_256) == len({bucket.target for bucket in at_256})
    for bucket in at_256:
        alike = [one for one in PROTOS if scale_proto(one, 256, 32) == bucket.target]
        assert bucket.proto == alike[0]
