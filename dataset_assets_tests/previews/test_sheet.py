from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataset_assets.buckets.protos import make_buckets
from dataset_assets.previews.sheet import MAX_HEIGHT, TILES, SheetBucket, SheetSample, draw_sheet

RED = (255, 0, 0)


def jpeg_of(size: tuple[int, int] = (512, 512), mode: str = "RGB", orientation: int = 1) -> bytes:
    """A red JPEG; with an orientation of 6 it is to be turned a quarter."""
    file, exif = BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, RED).convert(mode).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def bucket_of(
    *captions: str, jpeg: bytes | None = None, count: int = 1000, bucket_id: str = "p1024x1024"
) -> SheetBucket:
    samples = [SheetSample(jpeg=jpeg or jpeg_of(), caption=caption) for caption in captions]
    return SheetBucket(id=bucket_id, target=(512, 512), count=count, samples=samples)


def pixels_of(*buckets: SheetBucket, title: str = "title") -> NDArray[np.uint8]:
    """The sheet's pixels: (height, width, 3) uint8."""
    with Image.open(BytesIO(draw_sheet(buckets, title=title))) as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")
        return np.asarray(sheet)


def runs_of(marked: NDArray[np.bool_], *, along: int) -> list[NDArray[np.intp]]:
    """The columns (`along` 1) or rows (0) with something marked, split where there is a gap."""
    indices = np.flatnonzero(marked.any(axis=1 - along))
    return np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)


def captions_ink(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where something is drawn below the crops of a sheet with one bucket: (height, width)."""
    _, top, _, height = red_boxes(pixels)[0]
    below = pixels[top + height + 1 :]
    ink: NDArray[np.bool_] = np.any(below != below[-1, -1], axis=2)
    return ink


def red_boxes(pixels: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    """The (left, top, width, height) of each red crop of a sheet with one bucket."""
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)
    boxes = []
    for run in runs_of(red, along=1):
        rows = np.flatnonzero(red[:, run].any(axis=1))
        boxes.append((int(run[0]), int(rows[0]), len(run), int(rows[-1] - rows[0]) + 1))
    return boxes


def test_equal_input_gives_equal_bytes() -> None:
    buckets = [bucket_of("a caption", bucket_id=bucket_id) for bucket_id in ("p1024x960", "p1216x832")]
    assert draw_sheet(buckets, title="same") == draw_sheet(list(reversed(buckets)), title="same")
    assert draw_sheet(buckets, title="same") != draw_sheet(buckets, title="other")


def test_tiles_stand_in_one_row_and_equally_apart() -> None:
    boxes = red_boxes(pixels_of(bucket_of(*"abcd")))
    lefts, tops, widths, heights = zip(*boxes, strict=True)
    assert len(boxes) == 4
    assert len(set(np.diff(lefts))) == 1
    assert len(set(tops)) == 1
    assert set(widths) == set(heights) == {220}


def test_a_bucket_has_at_most_six_tiles_and_fills_the_width_between_equal_margins() -> None:
    pixels = pixels_of(bucket_of(*"abcdefgh"))
    boxes = red_boxes(pixels)
    assert len(boxes) == TILES
    assert boxes[0][0] == pixels.shape[1] - (boxes[-1][0] + boxes[-1][2])


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((1024, 256), (220, 55)), ((256, 1024), (55, 220)), ((608, 416), (220, 151)), ((64, 32), (64, 32))],
)
def test_crops_keep_their_shape_and_are_never_enlarged(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    [box] = red_boxes(pixels_of(bucket_of("a", jpeg=jpeg_of(size))))
    assert box[2:] == drawn


def test_passed_through_sources_are_drawn_upright() -> None:
    [box] = red_boxes(pixels_of(bucket_of("a", jpeg=jpeg_of((880, 440), orientation=6))))
    assert box[2:] == (110, 220)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colour_spaces_are_drawn(mode: str) -> None:
    grey_or_red = pixels_of(bucket_of("a", jpeg=jpeg_of(mode=mode)))
    assert grey_or_red.shape == pixels_of(bucket_of("a")).shape


@pytest.mark.parametrize(
    ("caption", "plain"),
    [
        ("two\nlines\r\nand a tab\t.", "two lines and a tab ."),
        ("a\x00b\x1b[31m\x7f\x85c", "a b [31m c"),
        ("\u202ea\u200fb\u2066 c\ufeff", "a b c"),
        ("café Zoë", "cafe Zoe"),
        ("e\u0301\u0302\u0303" * 20, "e" * 20),
        ("4 × 3 – and — so", "4 x 3 - and - so"),
        ("half a pair \ud800", "half a pair"),
    ],
)
def test_hostile_captions_are_drawn_as_plain_ones(caption: str, plain: str) -> None:
    assert draw_sheet([bucket_of(caption)], title="t") == draw_sheet([bucket_of(plain)], title="t")


@pytest.mark.parametrize(
    "caption", ["猫が好き" * 30, "שלום עולם", "🐈" * 90, "😀", "\u0301", "|" * 5000, " " * 5000, "a b " * 99]
)
def test_every_caption_stays_under_its_tile(caption: str) -> None:
    short, long = pixels_of(bucket_of("short")), pixels_of(bucket_of(caption))
    [(left, _, width, _)] = red_boxes(long)
    drawn = np.flatnonzero(captions_ink(long).any(axis=0))
    assert long.shape == short.shape
    assert len(drawn)
    assert left <= drawn[0]
    assert drawn[-1] < left + width


def test_a_long_caption_has_three_lines_and_an_ellipsis() -> None:
    ink = captions_ink(pixels_of(bucket_of("H " * 100)))
    lines = runs_of(ink, along=0)
    assert len(lines) == 3
    last = ink[lines[2]]
    heights = [int(last[:, columns].any(axis=1).sum()) for columns in runs_of(last, along=1)]
    assert heights[-1] <= 2 < heights[0]  # dots after tall letters


def test_words_are_kept_whole() -> None:
    ink = captions_ink(pixels_of(bucket_of("incomprehensibilities " * 3)))
    lines = [np.flatnonzero(ink[rows].any(axis=0)) for rows in runs_of(ink, along=0)]
    assert len(lines) == 3
    assert len({(line[0], line[-1]) for line in lines}) == 1


def test_what_follows_the_cut_changes_nothing() -> None:
    cut = draw_sheet([bucket_of("word " * 40)], title="t")
    assert cut == draw_sheet([bucket_of("word " * 4000 + "and its end")], title="t")
    assert cut != draw_sheet([bucket_of("word " * 10)], title="t")


def test_a_missing_caption_is_said() -> None:
    assert (pixels_of(bucket_of("")) != pixels_of(bucket_of("a"))).any()
    assert (pixels_of(bucket_of("")) == pixels_of(bucket_of("\n"))).all()


def test_buckets_that_do_not_fit_are_counted() -> None:
    buckets = [bucket_of("a", bucket_id=bucket.id) for bucket in make_buckets([512], 32)]
    few, many, more = pixels_of(*buckets[:3]), pixels_of(*buckets), pixels_of(*buckets, bucket_of("a", count=1))
    assert few.shape[0] < many.shape[0] <= MAX_HEIGHT
    footers = [pixels[-64:] for pixels in (few, many, more)]
    assert not (footers[0] != footers[0][-1, -1]).any()
    assert (footers[1] != footers[1][-1, -1]).any()
    assert (footers[1] != footers[2]).any()


def test_the_largest_buckets_are_shown() -> None:
    small = bucket_of("a", jpeg=jpeg_of((64, 64)), count=1, bucket_id="a")
    large = [bucket_of("a", count=number, bucket_id=f"b{number}") for number in range(2, 30)]
    assert red_boxes(pixels_of(small, *large))[0][2] == 220
    assert (pixels_of(small, *large)[200:2000] == pixels_of(*large)[200:2000]).all()


@pytest.mark.parametrize("title", ["", "x" * 5000, "two\nlines", "猫 🐈 \ud800"])
def test_any_title_and_no_buckets(title: str) -> None:
    assert pixels_of(title=title).shape == pixels_of(title="plain").shape
    assert pixels_of(bucket_of(), title=title).shape[1] == pixels_of(title="plain").shape[1]
