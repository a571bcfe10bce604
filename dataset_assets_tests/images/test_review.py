import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dataset_assets.images.decode import decode
from dataset_assets.images.resize import resize
from dataset_assets.images.review import measure_spread
from dataset_assets.settings import ImageSettings, ReviewSettings
from dataset_assets_tests.photos import encoded, photo

BLANK = ReviewSettings().blank_spread
SIDES = st.integers(1, 700)


def plain(width: int, height: int, colour: tuple[int, int, int] = (255, 255, 255)) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def noisy(pixels: NDArray[np.uint8], amplitude: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(-amplitude, amplitude + 1, pixels.shape)
    return (pixels.astype(np.int64) + noise).clip(0, 255).astype(np.uint8)


def grey(levels: NDArray[np.int64]) -> NDArray[np.uint8]:  # (height, width) → (height, width, 3)
    return np.repeat(levels.astype(np.uint8)[..., None], 3, axis=2)


def page(lines: int) -> NDArray[np.uint8]:
    """Return a white page of 512 pixels a side with lines of 30 letters, strokes 2 pixels wide and 9 high."""
    pixels = plain(512, 512)
    for line in range(lines):
        for letter in range(30):
            for stroke in (0, 5):
                x, y = 120 + 9 * letter + stroke, 40 + 20 * line
                pixels[y : y + 9, x : x + 2] = 30
    return pixels


def sky(stars: int, size: int) -> NDArray[np.uint8]:
    """Return a night sky of 512 pixels a side: sensor noise and stars of `size` pixels a side."""
    pixels = noisy(plain(512, 512, (8, 8, 12)), 2)
    for x, y in np.random.default_rng(1).integers(0, 512 - size, (stars, 2)):
        pixels[y : y + size, x : x + size] = 230
    return pixels


def step_of(side: int) -> int:
    return 5 if side >= 320 else 3 if side >= 192 else 1


def spread_of(pixels: NDArray[np.uint8]) -> float:
    """The measure word for word, a point at a time."""
    height, width = pixels.shape[:2]
    levels = []
    for y in range(0, height, step_of(height)):
        for x in range(0, width, step_of(width)):
            red, green, blue = (int(value) for value in pixels[y, x])
            levels.append((77 * red + 150 * green + 29 * blue + 128) // 256)
    median = sorted(levels)[(len(levels) - 1) // 2]
    return round(sum(abs(level - median) > 8 for level in levels) / len(levels), 6)


@given(SIDES, SIDES, st.integers(0, 99))
def test_it_is_the_share_of_points_far_from_the_median(width: int, height: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.normal(128, random.uniform(0, 30), (height, width, 3)).clip(0, 255).astype(np.uint8)

    assert measure_spread(pixels) == spread_of(pixels)


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (250, 3, 3), (20, 90, 200), (128, 128, 128)])
@pytest.mark.parametrize("amplitude", [0, 2])
def test_one_colour_is_blank_with_and_without_noise(colour: tuple[int, int, int], amplitude: int) -> None:
    assert measure_spread(noisy(plain(512, 512, colour), amplitude)) == 0


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (120, 40, 200)])
def test_one_colour_is_blank_after_a_poor_jpeg_and_a_resize(colour: tuple[int, int, int]) -> None:
    file = encoded(noisy(plain(900, 700, colour), 6), quality=20)

    assert measure_spread(resize(decode(file, ImageSettings()), (512, 512))) == 0


def test_near_blank_pages_are_below_the_threshold_and_pages_to_read_above() -> None:
    spreads = [measure_spread(page(lines)) for lines in (0, 1, 3, 20)]

    assert spreads[0] == 0
    assert 0 < spreads[1] < 0.005
    assert spreads[1] < spreads[2] < spreads[3]
    assert spreads[2] > BLANK
    assert spreads[3] > 10 * BLANK


def test_a_speck_is_near_blank() -> None:
    pixels = plain(512, 512)
    pixels[200:210, 300:310] = 0

    assert 0 < measure_spread(pixels) < BLANK


def test_a_night_sky_is_no_blank_picture_and_one_without_stars_is() -> None:
    assert measure_spread(sky(0, 2)) == 0
    assert measure_spread(sky(12, 3)) < BLANK
    assert measure_spread(sky(150, 3)) > BLANK
    assert measure_spread(sky(600, 2)) > BLANK


@pytest.mark.parametrize(("levels", "spread"), [(8, 0.0), (9, 0.5)])
@pytest.mark.parametrize("base", [0, 100, 246])
def test_eight_levels_from_the_median_are_the_same_tone_and_nine_are_not(levels: int, spread: float, base: int) -> None:
    pixels = plain(100, 100, (base, base, base))
    pixels[:50] = base + levels

    assert measure_spread(pixels) == spread


def test_gradients() -> None:
    whole = grey(np.tile(np.arange(512) // 2, (512, 1)))
    faint = grey(np.tile(120 + np.arange(512) // 32, (512, 1)))

    assert measure_spread(whole) == pytest.approx(1 - 17 / 256, abs=0.01)
    assert measure_spread(whole.transpose(1, 0, 2)) == measure_spread(whole)
    assert measure_spread(faint) == 0


@pytest.mark.parametrize("period", [2, 4, 8, 16])
@pytest.mark.parametrize("size", [(512, 512), (256, 192), (832, 608), (100, 64)])
def test_patterns_of_screens_are_no_plain_surface(period: int, size: tuple[int, int]) -> None:
    y, x = np.mgrid[0 : size[1], 0 : size[0]]

    for pattern in (x, y, x + y):
        assert measure_spread(grey(255 * (pattern % period < period // 2))) == pytest.approx(0.5, abs=0.07)


@given(st.integers(0, 190), st.integers(0, 190))
def test_in_a_small_crop_every_pixel_counts(x: int, y: int) -> None:
    pixels = plain(191, 191)
    pixels[y, x] = 0

    assert measure_spread(pixels) == round(1 / 191**2, 6)


@pytest.mark.parametrize(("size", "points"), [((192, 192), 64 * 64), ((320, 320), 64 * 64), ((512, 320), 103 * 64)])
def test_there_are_at_least_64_points_a_side(size: tuple[int, int], points: int) -> None:
    pixels = plain(*size)
    pixels[0, 0] = 0

    assert measure_spread(pixels) == round(1 / points, 6)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_the_smallest_crops_are_measured(size: tuple[int, int]) -> None:
    assert measure_spread(plain(*size)) == 0


def test_how_the_pixels_lie_in_memory_changes_nothing() -> None:
    pixels = photo(600, 500)
    view = pixels[20:400, 30:550]
    planes = np.ascontiguousarray(view.transpose(2, 0, 1)).transpose(1, 2, 0)

    assert measure_spread(view) == measure_spread(np.ascontiguousarray(view)) == measure_spread(planes)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("size", [(512, 512), (288, 192), (64, 128)])
def test_photographs_are_far_from_blank(size: tuple[int, int], seed: int) -> None:
    assert measure_spread(photo(*size, seed)) > 100 * BLANK


def test_dark_and_pale_photographs_are_far_from_blank() -> None:
    pixels = photo(512, 512, 3)

    assert measure_spread(pixels // 3) > 100 * BLANK
    assert measure_spread(255 - pixels // 3) > 100 * BLANK


def test_the_photographs_of_the_demo_are_far_from_blank() -> None:
    data = pytest.importorskip("skimage.data")
    names = ("astronaut", "brick", "camera", "cat", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "moon")

    for name in names:
        pixels = getattr(data, name)()
        pixels = pixels if pixels.ndim == 3 else grey(pixels)
        assert measure_spread(pixels) > 50 * BLANK, name
