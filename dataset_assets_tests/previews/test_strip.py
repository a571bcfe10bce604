from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dataset_assets.previews.strip import COLUMNS, MAX_BYTES, Band, Strip, Tile, draw_strip
from dataset_assets_tests import photos

WIDTH = 660  # pixels: readable beside Dagster's own text


def tile_of(size: tuple[int, int] = (256, 256), caption: str | None = None, seed: int = 0) -> Tile:
    return Tile(image_id=f"{seed}.jpg", jpeg=photos.jpeg(*size, seed), caption=caption)


def band_of(*tiles: Tile) -> Band:
    return Band(title="p1024x1024", facts="256 x 256   ·   8 crops", tiles=tiles)


def draw(*bands: Band) -> Strip:
    strip = draw_strip(bands)
    assert strip is not None
    return strip


def size_of(strip: Strip) -> tuple[int, int]:
    with Image.open(BytesIO(strip.picture)) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        image.load()
        return image.size


def noise(seed: int) -> Tile:
    """What no codec makes small."""
    pixels = np.random.default_rng(seed).integers(0, 256, (512, 512, 3), np.uint8)
    return Tile(image_id=f"{seed}", jpeg=photos.encoded(pixels, quality=100), caption="W" * 400)


def test_equal_tiles_give_equal_bytes_and_other_ones_others() -> None:
    assert draw(band_of(tile_of())).picture == draw(band_of(tile_of())).picture
    assert draw(band_of(tile_of())).picture != draw(band_of(tile_of(seed=1))).picture
    assert draw(band_of(tile_of(caption="a"))).picture != draw(band_of(tile_of(caption="b"))).picture


def test_tiles_stand_four_in_a_row_on_paper_of_one_width() -> None:
    one, four, five = (draw(band_of(*[tile_of()] * count)) for count in (1, COLUMNS, COLUMNS + 1))

    (width, height), (_, rows) = size_of(one), size_of(five)
    assert width == WIDTH
    assert size_of(four) == (width, height)
    assert rows - height == 161  # a row: 148 pixels of tile, and what is between


def test_captions_take_room_only_where_they_are_drawn() -> None:
    without, empty, long = (draw(band_of(tile_of(caption=caption))) for caption in (None, "", "words " * 99_999))

    assert size_of(without)[1] < size_of(empty)[1] == size_of(long)[1]


def test_a_band_has_a_heading_of_its_own() -> None:
    one, two = draw(band_of(tile_of())), draw(band_of(tile_of()), band_of(tile_of()))

    assert size_of(two)[1] == 2 * size_of(one)[1]


def test_even_noise_is_small() -> None:
    strip = draw(band_of(*map(noise, range(8))))

    assert len(strip.picture) <= MAX_BYTES
    assert size_of(strip)[0] == WIDTH


@pytest.mark.parametrize(
    "bad", [b"", b"no image", photos.jpeg(64, 64)[:200], photos.png_file(90_000, 90_000, 8, 2, b"")]
)
def test_what_cannot_be_decoded_is_left_out(bad: bytes) -> None:
    good, broken = tile_of(), Tile(image_id="bad", jpeg=bad)

    assert draw_strip([band_of(broken)]) is None
    strip = draw(band_of(broken, good), band_of(broken))
    assert [[tile.image_id for tile in band.tiles] for band in strip.bands] == [["0.jpg"]]
    assert strip.picture == draw(band_of(good)).picture


def test_a_large_image_that_was_passed_through_is_drawn_upright() -> None:
    large = Image.new("RGB", (12_000, 8_000), (10, 200, 10))  # more than Pillow warns of
    exif = Image.Exif()
    exif[0x0112] = 6

    strip = draw(band_of(Tile(image_id="large", jpeg=photos.encoded(large, exif=exif))))

    assert size_of(strip) == size_of(draw(band_of(tile_of())))


@pytest.mark.parametrize("name", ["jpeg cmyk", "jpeg grey", "jpeg progressive", "mpo"])
def test_every_kind_of_jpeg_is_drawn(name: str) -> None:
    assert draw(band_of(Tile(image_id=name, jpeg=photos.variants()[name]))).bands


def test_without_tiles_there_is_no_strip() -> None:
    assert draw_strip([]) is None
    assert draw_strip([band_of()]) is None
