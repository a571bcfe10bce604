from collections.abc import Callable
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from dataset_assets.images.looks import TURNS, as_numbers, hash_look, measure_distances, parse_looks, turn_looks
from dataset_assets.images.resize import resize
from dataset_assets_tests.photos import encoded, photo

Pixels = NDArray[np.uint8]  # (height, width, 3) uint8

PLAIN = "ff" * 8
SIDES = st.integers(1, 60)
LOOKS = st.binary(min_size=8, max_size=8).map(bytes.hex)
PHOTOGRAPHS = ("astronaut", "camera", "cat", "coffee", "coins", "retina", "rocket", "hubble_deep_field")
NEAR = 3


def noise(width: int, height: int, seed: int, levels: int = 256) -> Pixels:
    return np.random.default_rng(seed).integers(0, levels, (height, width, 3), np.uint8)


def turned(pixels: Pixels, turn: int) -> Pixels:
    """Return the image mirrored where `turn` is 4 or more, and then turned by `turn` quarters."""
    mirrored = pixels.transpose(1, 0, 2) if turn >= 4 else pixels
    return np.ascontiguousarray(np.rot90(mirrored, turn))


def distance(one: str, other: str) -> int:
    return int(measure_distances(parse_looks([one]), parse_looks([other]))[0])


def look_of(image: Image.Image) -> str:
    """Return the look of a file that was brought to 256 pixels on its shorter side."""
    scale = min(1, 256 / min(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return hash_look(resize(np.array(image.convert("RGB")), size))


def look_word_for_word(pixels: Pixels) -> str:
    """The look as looks.py describes it, a point, a pair and a bit at a time."""
    height, width = pixels.shape[:2]

    def level(row: int, column: int) -> int:
        total = count = 0
        for y in range(row * height // 8, -(-(row + 1) * height // 8)):
            for x in range(column * width // 8, -(-(column + 1) * width // 8)):
                red, green, blue = (int(value) for value in pixels[y, x])
                total += 77 * red + 150 * green + 29 * blue
                count += 1
        return total // count

    levels = [[level(row, column) for column in range(8)] for row in range(8)]
    digits = []
    for row in range(4):
        for outer in (0, 2):
            byte = 0
            for turn in range(8):
                square = [list(line) for line in zip(*levels, strict=True)] if turn >= 4 else levels
                for _ in range(turn % 4):
                    square = [list(line) for line in zip(*square, strict=True)][::-1]  # a quarter to the left
                byte = 2 * byte + (square[row][outer + 1] + 256 > square[row][outer])
            digits.append(f"{byte:02x}")
    return "".join(digits)


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(0, 99), st.sampled_from([2, 4, 256]))
def test_it_is_what_is_written_of_it(width: int, height: int, seed: int, levels: int) -> None:
    pixels = noise(width, height, seed, levels)

    assert hash_look(pixels) == look_word_for_word(pixels)


def test_it_is_the_same_in_every_version_of_the_crops() -> None:
    y, x = np.mgrid[0:300, 0:400]
    pixels = np.stack([x * y % 251, (3 * x + 5 * y) % 256, (x * x + y) // 17 % 256], axis=-1).astype(np.uint8)

    assert hash_look(pixels) == "805bff05a5fbd6a0"  # another one: raise the version of resized_crops


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(0, 99), st.sampled_from([2, 4, 256]))
def test_the_look_of_a_turned_image_follows_from_the_look(width: int, height: int, seed: int, levels: int) -> None:
    pixels = noise(width, height, seed, levels)
    look = parse_looks([hash_look(pixels)])

    for turn in range(TURNS):
        assert np.array_equal(parse_looks([hash_look(turned(pixels, turn))]), turn_looks(look, turn))


@given(LOOKS)
def test_the_turns_are_those_of_a_square(text: str) -> None:
    look = parse_looks([text])
    turns = [turn_looks(look, turn).tobytes() for turn in range(TURNS)]

    assert turns[0] == look.tobytes()
    for one in range(TURNS):
        again = [turn_looks(turn_looks(look, one), other).tobytes() for other in range(TURNS)]
        assert sorted(again) == sorted(turns)


def test_all_turns_of_a_look_without_symmetry_differ() -> None:
    look = parse_looks(["0123456789abcdef"])

    assert len({turn_looks(look, turn).tobytes() for turn in range(TURNS)}) == TURNS


@given(st.lists(LOOKS, min_size=2, max_size=9))
def test_looks_are_parsed_in_order_and_are_equal_as_numbers_where_they_are_equal(texts: list[str]) -> None:
    looks = parse_looks(texts)
    numbers = as_numbers(looks).tolist()

    assert [bytes(look).hex() for look in looks] == texts
    assert [one == other for one in numbers for other in numbers] == [one == other for one in texts for other in texts]


def test_no_looks() -> None:
    assert parse_looks([]).shape == (0, 8)
    assert measure_distances(parse_looks([]), parse_looks([])).tolist() == []


@given(LOOKS, LOOKS, st.integers(0, 7), st.integers(0, 7))
def test_distances_do_not_depend_on_turns_or_order(one: str, other: str, turn: int, another: int) -> None:
    first, second = parse_looks([one]), parse_looks([other])

    measured = measure_distances(first, second)

    assert measured == measure_distances(second, first)
    assert measured == measure_distances(turn_looks(first, turn), turn_looks(second, another))
    assert (measured == 0) == any(np.array_equal(first, turn_looks(second, turn)) for turn in range(TURNS))


@given(LOOKS, st.sets(st.integers(0, 63), max_size=NEAR))
def test_a_distance_is_at_most_the_bits_that_were_changed(look: str, bits: set[int]) -> None:
    changed = f"{int(look, 16) ^ sum(1 << bit for bit in bits):016x}"

    assert distance(look, changed) <= len(bits)
    assert distance(look, changed) % 2 == len(bits) % 2


@pytest.mark.parametrize("size", [(1, 1), (512, 512), (300, 20), (9, 700)])
@pytest.mark.parametrize("level", [0, 130, 255])
def test_a_plain_image_has_every_bit(size: tuple[int, int], level: int) -> None:
    plain = np.full((*size, 3), level, np.uint8)

    assert hash_look(plain) == PLAIN


def test_a_plain_image_stays_plain_with_noise_and_after_a_poor_jpeg() -> None:
    for seed in range(20):
        pixels = 120 + noise(400, 300, seed, levels=16)
        assert hash_look(pixels) == PLAIN
        assert look_of(Image.open(BytesIO(encoded(pixels, quality=15)))) == PLAIN


def test_cells_of_many_rows_are_added_up_whole() -> None:
    pixels = np.full((20_000, 24, 3), 255, np.uint8)
    pixels[:10_000] = 250
    pixels[10_000:12_500] = 252

    assert hash_look(pixels) == look_word_for_word(pixels[::2500].repeat(8, axis=0))


def test_how_the_pixels_lie_in_memory_changes_nothing() -> None:
    pixels = photo(600, 500)
    view = pixels[20:400, 30:550]
    planes = np.ascontiguousarray(view.transpose(2, 0, 1)).transpose(1, 2, 0)

    assert hash_look(view) == hash_look(np.ascontiguousarray(view)) == hash_look(planes)


def saved(image: Image.Image, quality: int) -> Image.Image:
    return Image.open(BytesIO(encoded(image, quality=quality)))


def smaller(image: Image.Image, part: float) -> Image.Image:
    return image.resize((round(image.width * part), round(image.height * part)), Image.Resampling.BILINEAR)


def marked(image: Image.Image) -> Image.Image:
    """Return the image with a white bar in a corner, a fifth of its width, as a site puts its name there."""
    image = image.copy()
    width, height = image.size
    ImageDraw.Draw(image).rectangle((0.78 * width, 0.93 * height, 0.98 * width, 0.98 * height), fill="white")
    return image


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved at quality 75": lambda image: saved(image, 75),
    "saved at quality 30": lambda image: saved(image, 30),
    "half the size": lambda image: smaller(image, 0.5),
    "a third of the size": lambda image: smaller(image, 0.34),
    "marked": marked,
    "marked, smaller and saved again": lambda image: saved(smaller(marked(image), 0.6), 70),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.1),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "sharpened": lambda image: image.filter(ImageFilter.UnsharpMask(2, 80, 2)),
    "a quarter turn": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "half a turn": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "three quarter turns": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "mirrored, half the size and saved again": lambda image: saved(
        smaller(image.transpose(Image.Transpose.FLIP_TOP_BOTTOM), 0.5), 60
    ),
}


def photographs() -> dict[str, Image.Image]:
    data = pytest.importorskip("skimage.data")
    found = {name: Image.fromarray(getattr(data, name)()).convert("RGB") for name in PHOTOGRAPHS}
    for image in found.values():
        image.thumbnail((800, 800))
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_photograph_looks_alike(change: str) -> None:
    images = {f"made {seed}": Image.fromarray(photo(640, 480, seed)) for seed in range(10)}

    for name, image in (images | photographs()).items():
        assert distance(look_of(image), look_of(CHANGES[change](image))) <= NEAR, name


def test_different_photographs_do_not() -> None:
    looks = [look_of(Image.fromarray(photo(640, 480, seed))) for seed in range(40)]
    looks += [look_of(image) for image in photographs().values()]

    assert min(distance(one, other) for one, other in combinations(looks, 2)) > 2 * NEAR
