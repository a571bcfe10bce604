from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.images.geometry import choose_corner, cover_size, crop_box, find_part
from dataset_assets.settings import CropSettings

SIDES = st.integers(1, 5000)
CROPS = st.builds(
    CropSettings,
    strategy=st.sampled_from(["corner", "center", "random"]),
    allowed_corners=st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True).map(tuple),
    corner_jitter=st.integers(0, 6000),
)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.text(st.characters(exclude_categories=["Cs"])), CROPS)
def test_the_box_is_inside(target: tuple[int, int], margin: tuple[int, int], image_id: str, crop: CropSettings) -> None:
    size = target[0] + margin[0] - 1, target[1] + margin[1] - 1

    x, y = crop_box(size, target, image_id, crop)

    assert 0 <= x <= size[0] - target[0]
    assert 0 <= y <= size[1] - target[1]


@pytest.mark.parametrize(("corner", "box"), [(0, (0, 0)), (1, (30, 0)), (2, (0, 20)), (3, (30, 20))])
def test_corners(corner: int, box: tuple[int, int]) -> None:
    crop = CropSettings(allowed_corners=(corner,))

    assert choose_corner("a", crop) == corner
    assert crop_box((130, 120), (100, 100), "a", crop) == box


def test_center() -> None:
    crop = CropSettings(strategy="center")

    assert crop_box((131, 120), (100, 100), "a", crop) == (15, 10)
    assert choose_corner("a", crop) == -1


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_documented_bytes_decide(image_id: str) -> None:
    digest = sha256(image_id.encode()).digest()
    corner, dx, dy = (int.from_bytes(digest[start : start + 8], "big") for start in (0, 8, 16))
    size, target = (500, 400), (100, 50)

    crop = CropSettings(allowed_corners=(3, 0, 1), corner_jitter=40)
    chosen = (3, 0, 1)[corner % 3]
    x, y = dx % 41, dy % 41
    expected = {0: (x, y), 1: (400 - x, y), 3: (400 - x, 350 - y)}[chosen]
    assert choose_corner(image_id, crop) == chosen
    assert crop_box(size, target, image_id, crop) == expected

    assert crop_box(size, target, image_id, CropSettings(strategy="random")) == (dx % 401, dy % 351)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_jitter_ends_where_the_image_does(image_id: str) -> None:
    crop = CropSettings(allowed_corners=(0,), corner_jitter=10**9)

    assert crop_box((100, 53), (100, 50), image_id, crop)[0] == 0
    assert crop_box((100, 53), (100, 50), image_id, crop)[1] in range(4)


def test_every_allowed_corner_is_used() -> None:
    crop = CropSettings(allowed_corners=(2, 3))

    assert {choose_corner(str(number), crop) for number in range(50)} == {2, 3}


def test_the_part_of_a_source_that_a_crop_shows() -> None:
    source, target = (3000, 2000), (600, 300)  # 600×400 when resized

    assert find_part(source, target, (0, 0)) == (0.0, 0.0, 1.0, 0.75)
    assert find_part(source, target, (0, 100)) == (0.0, 0.25, 1.0, 1.0)
    assert find_part((2000, 3000), (300, 600), (50, 0)) == (0.125, 0.0, 0.875, 1.0)
    assert find_part(source, target, (0, 0), cropped=False) == (0.0, 0.0, 1.0, 1.0)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.text(st.characters(exclude_categories=["Cs"])), CROPS)
def test_a_crop_shows_a_part_that_is_in_its_source(
    source: tuple[int, int], target: tuple[int, int], image_id: str, crop: CropSettings
) -> None:
    size = cover_size(source, target)

    left, top, right, bottom = find_part(source, target, crop_box(size, target, image_id, crop))

    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1
    assert (right - left) * size[0] == pytest.approx(target[0])
    assert (bottom - top) * size[1] == pytest.approx(target[1])
