"""The contact sheet: one picture with a few crops of every bucket and their captions, for a person to look over.

Which samples are shown is the caller's choice; here they are only laid out and drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageDraw

from dataset_assets.counts import count_noun
from dataset_assets.previews.tiles import (
    CAPTION_LINES,
    GREY,
    INK,
    LINE_HEIGHT,
    RULE,
    draw_caption,
    find_font,
    make_paper,
    paste_tile,
    shrink_crop,
    stack_strips,
    wrap_text,
)

TILES = 6  # crops of a bucket, side by side
MAX_HEIGHT = 3000  # pixels; buckets that do not fit are counted in the last line

_TILE = 220  # pixels, the longer side of a crop
_GAP = 24  # pixels between tiles
_MARGIN = 48  # pixels around everything
_WIDTH = 2 * _MARGIN + TILES * _TILE + (TILES - 1) * _GAP
_FOOTER = 64  # pixels

_TITLE_SIZE, _HEADING_SIZE, _FACTS_SIZE = 32, 22, 17  # pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetSample:
    """One crop and its caption, "" where there is none."""

    jpeg: bytes
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetBucket:
    """One bucket, how many images it has, and the samples that stand for it: the first `TILES` are drawn."""

    id: str
    target: tuple[int, int]  # (width, height), pixels
    count: int
    samples: Sequence[SheetSample]


def draw_sheet(buckets: Sequence[SheetBucket], *, title: str) -> bytes:
    """Return the contact sheet as a PNG, at most `MAX_HEIGHT` pixels high, the largest buckets first.

    The same input gives the same bytes with the same release of Pillow.
    """
    strips = [_draw_title(title, buckets)]
    room = MAX_HEIGHT - _FOOTER - strips[0].height
    for bucket in sorted(buckets, key=lambda bucket: (-bucket.count, bucket.id)):
        strip = _draw_bucket(bucket)
        room -= strip.height
        if room < 0:
            break
        strips.append(strip)
    strips.append(_draw_footer(len(buckets) - len(strips) + 1))
    return _encode(stack_strips(strips))


def _draw_title(title: str, buckets: Sequence[SheetBucket]) -> Image.Image:
    strip, draw = make_paper(_WIDTH, 128)
    for line in wrap_text(title, find_font(_TITLE_SIZE), _WIDTH - 2 * _MARGIN, lines=1):
        draw.text((_MARGIN, 64), line, INK, find_font(_TITLE_SIZE), anchor="ls")
    images = sum(bucket.count for bucket in buckets)
    _draw_facts(draw, (_MARGIN, 96), f"{count_noun(images, 'image')} in {count_noun(len(buckets), 'bucket')}")
    return strip


def _draw_bucket(bucket: SheetBucket) -> Image.Image:
    """Return a bucket's heading above a row of its crops, each with its caption below."""
    crops = [shrink_crop(sample.jpeg, _TILE) for sample in bucket.samples[:TILES]]
    tallest = max((crop.height for crop in crops), default=0)
    top, captions = 62, 62 + tallest + 10
    strip, draw = make_paper(_WIDTH, captions + CAPTION_LINES * LINE_HEIGHT + 22)
    draw.line((_MARGIN, 8, _WIDTH - _MARGIN, 8), RULE)
    draw.text((_MARGIN, 42), bucket.id, INK, find_font(_HEADING_SIZE), anchor="ls")
    facts = f"{bucket.target[0]} x {bucket.target[1]}   ·   {count_noun(bucket.count, 'image')}"
    _draw_facts(draw, (_MARGIN + find_font(_HEADING_SIZE).getlength(bucket.id) + 16, 42), facts)
    for column, (crop, sample) in enumerate(zip(crops, bucket.samples, strict=False)):
        left = _MARGIN + column * (_TILE + _GAP)
        paste_tile(strip, crop, (left, top))
        draw_caption(draw, (left, captions), sample.caption, _TILE)
    return strip


def _draw_footer(hidden: int) -> Image.Image:
    strip, draw = make_paper(_WIDTH, _FOOTER)
    if hidden:
        _draw_facts(draw, (_MARGIN, 24), f"+{count_noun(hidden, 'more bucket')}")
    return strip


def _draw_facts(draw: ImageDraw.ImageDraw, at: tuple[float, float], facts: str) -> None:
    draw.text(at, facts, GREY, find_font(_FACTS_SIZE), anchor="ls")


def _encode(sheet: Image.Image) -> bytes:
    file = BytesIO()
    sheet.save(file, "PNG", compress_level=1)  # of photographs: a tenth larger, in two fifths of the time
    return file.getvalue()
