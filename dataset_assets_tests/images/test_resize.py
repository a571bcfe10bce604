from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.images.geometry import cover_scale, cover_size
from dataset_assets.images.resize import resize
from dataset_assets_tests.photos import photo

SIDES = st.integers(1, 70_000)
SIZES = st.tuples(SIDES, SIDES)


@given(SIZES, SIZES)
def test_cover_size_is_the_rule_in_exact_arithmetic(source: tuple[int, int], target: tuple[int, int]) -> None:
    scale = max(Fraction(target[0], source[0]), Fraction(target[1], source[1]))

    size = cover_size(source, target)

    assert size == tuple(max(t, floor(s * scale + Fraction(1, 2))) for s, t in zip(source, target, strict=True))
    assert cover_scale(source, target) == float(scale)


@given(SIZES, SIZES)
def test_cover_size_covers_and_one_side_fits(source: tuple[int, int], target: tuple[int, int]) -> None:
    width, height = cover_size(source, target)

    assert width >= target[0]
    assert height >= target[1]
    assert width == target[0] or height == target[1]


@given(SIZES, st.data())
def test_what_fills_the_target_is_never_upsampled(source: tuple[int, int], data: st.DataObject) -> None:
    target = data.draw(st.integers(1, source[0])), data.draw(st.integers(1, source[1]))

    width, height = cover_size(source, target)

    assert cover_scale(source, target) <= 1
    assert width <= source[0]
    assert height <= source[1]


@pytest.mark.parametrize(
    ("source", "target", "size"),
    [
        ((4000, 3000), (608, 416), (608, 456)),
        ((1023, 1024), (512, 512), (512, 513)),  # 512.5005
        ((1000, 999), (500, 10), (500, 500)),  # 499.5, upwards
        ((512, 512), (512, 512), (512, 512)),
        ((20_000, 1), (1, 1), (20_000, 1)),
    ],
)
def test_cover_size(source: tuple[int, int], target: tuple[int, int], size: tuple[int, int]) -> None:
    assert cover_size(source, target) == size


def test_the_same_size_is_the_same_array() -> None:
    pixels = photo(31, 17)

    assert resize(pixels, (31, 17)) is pixels


@pytest.mark.parametrize("size", [(40, 30), (1, 1), (97, 3), (2, 61)])
def test_size_and_layout(size: tuple[int, int]) -> None:
    resized = resize(photo(97, 61), size)

    assert resized.shape == (size[1], size[0], 3)
    assert resized.dtype == np.uint8


def test_a_flat_colour_stays_what_it_is() -> None:
    flat = np.full((64, 96, 3), (200, 3, 77), np.uint8)

    assert (resize(flat, (41, 29)) == (200, 3, 77)).all()
