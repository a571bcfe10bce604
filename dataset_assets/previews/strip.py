"""Contact strips: a few crops, drawn so small that Dagster's event log can keep them. glimpse.py says which ones.

A tile that cannot be decoded is left out: a strip is for people, and the stages that need an image say what is wrong.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from dataset_assets.images.probe import CODEC_ERRORS
from dataset_assets.previews.tiles import (
    CAPTION_LINES,
    GREY,
    INK,
    LINE_HEIGHT,
    draw_caption,
    find_font,
    make_paper,
    paste_tile,
    shrink_crop,
    stack_strips,
)

COLUMNS = 4  # tiles side by side
MAX_BYTES = 40_000  # of a strip: Base64 makes a third more of it, and an event has other things to say

_TILE = 148  # pixels, the longer side of a crop
_GAP = 12  # pixels between tiles
_MARGIN = 16  # pixels around everything
_WIDTH = 2 * _MARGIN + COLUMNS * _TILE + (COLUMNS - 1) * _GAP
_HEADING = 44  # pixels
_TITLE_SIZE, _FACTS_SIZE = 17, 14  # pixels
_QUALITIES = (72, 55, 40, 20, 5)  # tried in turn; the last is small enough for noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One crop, and what is said of it."""

    image_id: str
    jpeg: bytes
    caption: str | None = None  # "" where there is none; None where none is to be drawn
    variant: str = ""  # whose caption it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Tiles under a heading."""

    title: str
    facts: str
    tiles: Sequence[Tile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The picture, and what is in it."""

    picture: bytes  # JPEG, at most MAX_BYTES
    bands: Sequence[Band]  # with those tiles only that are drawn


def draw_strip(bands: Sequence[Band]) -> Strip | None:
    """Return the strip of these bands, None where no tile of them can be drawn; one without such a tile is left out."""
    # For good: strips are drawn in a thread, and `catch_warnings` puts back what others have set meanwhile.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # sizes were looked at by the scan
    drawn, pictures = [], []
    for band in bands:
        pairs = [(tile, crop) for tile in band.tiles if (crop := _shrink(tile.jpeg))]
        if pairs:
            drawn.append(Band(title=band.title, facts=band.facts, tiles=[tile for tile, _ in pairs]))
            rows = [pairs[start : start + COLUMNS] for start in range(0, len(pairs), COLUMNS)]
            pictures += [_draw_heading(band), *map(_draw_row, rows)]
    return Strip(picture=_encode(stack_strips(pictures)), bands=drawn) if drawn else None


def _shrink(jpeg: bytes) -> Image.Image | None:
    try:
        return shrink_crop(jpeg, _TILE, Image.Resampling.HAMMING)  # half the time, and nearly as good
    except CODEC_ERRORS:
        return None


def _draw_heading(band: Band) -> Image.Image:
    strip, draw = make_paper(_WIDTH, _HEADING)
    draw.text((_MARGIN, 30), band.title, INK, find_font(_TITLE_SIZE), anchor="ls")
    after = _MARGIN + find_font(_TITLE_SIZE).getlength(band.title) + 12
    draw.text((after, 30), band.facts, GREY, find_font(_FACTS_SIZE), anchor="ls")
    return strip


def _draw_row(pairs: Sequence[tuple[Tile, Image.Image]]) -> Image.Image:
    """Return tiles side by side, each with its caption below where captions are to be drawn."""
    tallest = max(crop.height for _, crop in pairs)
    captioned = any(tile.caption is not None for tile, _ in pairs)
    strip, draw = make_paper(_WIDTH, 1 + tallest + (8 + CAPTION_LINES * LINE_HEIGHT if captioned else 0) + _GAP)
    for column, (tile, crop) in enumerate(pairs):
        left = _MARGIN + column * (_TILE + _GAP)
        paste_tile(strip, crop, (left, 1))
        if tile.caption is not None:
            draw_caption(draw, (left, 1 + tallest + 8), tile.caption, _TILE)
    return strip


def _encode(strip: Image.Image) -> bytes:
    """Return the strip as a JPEG, as good as fits into MAX_BYTES."""
    data = b""
    for quality in _QUALITIES:
        file = BytesIO()
        strip.save(file, "JPEG", quality=quality)
        data = file.getvalue()
        if len(data) <= MAX_BYTES:
            break
    return data
