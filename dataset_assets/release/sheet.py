"""The contact sheet: one picture with a few crops of every bucket and their captions, for a person to look over.

Which samples are shown is the caller's choice; here they are only laid out and drawn.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from unicodedata import category, normalize

from PIL import Image, ImageDraw, ImageFont, ImageOps

TILES = 6  # crops of a bucket, side by side
MAX_HEIGHT = 3000  # pixels; buckets that do not fit are counted in the last line

_TILE = 220  # pixels, the longer side of a crop
_GAP = 24  # pixels between tiles
_MARGIN = 48  # pixels around everything
_WIDTH = 2 * _MARGIN + TILES * _TILE + (TILES - 1) * _GAP
_FOOTER = 64  # pixels

_TITLE_SIZE, _HEADING_SIZE, _FACTS_SIZE, _CAPTION_SIZE = 32, 22, 17, 13  # pixels; at 15 and 16 digits touch words
_CAPTION_LINES = 3
_LINE_HEIGHT = 18  # pixels
_LONGEST_TEXT = 400  # characters: more than three lines of the narrowest letters
_PLAIN = str.maketrans("×–—‐‑−", "x-----")
_KINDS = {"C": " ", "M": ""}  # Unicode's categories of control characters and of marks on letters

_PAPER, _INK, _GREY, _RULE = (251, 251, 249), (34, 36, 40), (118, 121, 127), (226, 226, 222)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


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
    return _encode(_stack(strips))


def _draw_title(title: str, buckets: Sequence[SheetBucket]) -> Image.Image:
    strip, draw = _paper(128)
    for line in _wrap(title, _font(_TITLE_SIZE), _WIDTH - 2 * _MARGIN, lines=1):
        draw.text((_MARGIN, 64), line, _INK, _font(_TITLE_SIZE), anchor="ls")
    images = sum(bucket.count for bucket in buckets)
    facts = f"{_number(images, 'image')} in {_number(len(buckets), 'bucket')}"
    draw.text((_MARGIN, 96), facts, _GREY, _font(_FACTS_SIZE), anchor="ls")
    return strip


def _draw_bucket(bucket: SheetBucket) -> Image.Image:
    """Return a bucket's heading above a row of its crops, each with its caption below."""
    crops = [_open(sample.jpeg) for sample in bucket.samples[:TILES]]
    tallest = max((crop.height for crop in crops), default=0)
    top, captions = 62, 62 + tallest + 10
    strip, draw = _paper(captions + _CAPTION_LINES * _LINE_HEIGHT + 22)
    draw.line((_MARGIN, 8, _WIDTH - _MARGIN, 8), _RULE)
    draw.text((_MARGIN, 42), bucket.id, _INK, _font(_HEADING_SIZE), anchor="ls")
    facts = f"{bucket.target[0]} x {bucket.target[1]}   ·   {_number(bucket.count, 'image')}"
    after = _MARGIN + _font(_HEADING_SIZE).getlength(bucket.id) + 16
    draw.text((after, 42), facts, _GREY, _font(_FACTS_SIZE), anchor="ls")
    for column, (crop, sample) in enumerate(zip(crops, bucket.samples, strict=False)):
        left = _MARGIN + column * (_TILE + _GAP)
        strip.paste(crop, (left, top))
        draw.rectangle((left - 1, top - 1, left + crop.width, top + crop.height), outline=_RULE)
        _draw_caption(draw, (left, captions), sample.caption)
    return strip


def _draw_caption(draw: ImageDraw.ImageDraw, at: tuple[int, int], caption: str) -> None:
    lines = _wrap(caption, _font(_CAPTION_SIZE), _TILE, lines=_CAPTION_LINES)
    colour = _INK if lines else _GREY
    for number, line in enumerate(lines or ["no caption"]):
        draw.text((at[0], at[1] + number * _LINE_HEIGHT), line, colour, _font(_CAPTION_SIZE), anchor="la")


def _draw_footer(hidden: int) -> Image.Image:
    strip, draw = _paper(_FOOTER)
    if hidden:
        draw.text((_MARGIN, 24), f"+{_number(hidden, 'more bucket')}", _GREY, _font(_FACTS_SIZE), anchor="ls")
    return strip


def _open(jpeg: bytes) -> Image.Image:
    """Return a crop upright, in RGB, at most `_TILE` pixels on its longer side; a smaller one keeps its size."""
    with Image.open(BytesIO(jpeg)) as image:
        image.thumbnail((_TILE, _TILE), Image.Resampling.LANCZOS)
        return ImageOps.exif_transpose(image).convert("RGB")


def _wrap(text: str, font: _Font, width: float, *, lines: int) -> list[str]:
    """Return `text` as at most `lines` lines of `width` pixels, broken at spaces where there are any.

    An ellipsis stands for what was cut.
    """
    rest = _drawable(text)
    wrapped: list[str] = []
    while (fitting := _fitting(rest, font, width)) < len(rest):
        if len(wrapped) == lines - 1:
            fitting = _fitting(rest, font, width - font.getlength("…"))
            rest = rest[:fitting].rstrip() + "…"
            break
        end = rest.rfind(" ", 0, fitting + 1)
        end = fitting if end < 0 else end
        wrapped.append(rest[:end])
        rest = rest[end:].lstrip()
    return [*wrapped, rest] if rest else wrapped


def _drawable(text: str) -> str:
    """Return `text` as one line in letters that the font has, as far as may be: it has no accents and few signs.

    Control characters, line breaks, invisible and direction marks become spaces; other scripts' letters stay and are
    drawn as boxes. A very long text ends in an ellipsis.
    """
    start = normalize("NFD", text.lstrip()[:_LONGEST_TEXT]).translate(_PLAIN)
    kept = "".join(_KINDS.get(category(letter)[0], letter) for letter in start)
    return " ".join(kept.split()) + ("…" if len(text.lstrip()) > _LONGEST_TEXT else "")


def _fitting(text: str, font: _Font, width: float) -> int:
    """Return how many of the first characters of `text` fit into `width` pixels; one always does."""
    lengths = range(1, len(text) + 1)
    return max(min(1, len(text)), bisect_right(lengths, width, key=lambda length: font.getlength(text[:length])))


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@cache
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _paper(height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    strip = Image.new("RGB", (_WIDTH, height), _PAPER)
    return strip, ImageDraw.Draw(strip)


def _stack(strips: Sequence[Image.Image]) -> Image.Image:
    sheet, _ = _paper(sum(strip.height for strip in strips))
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def _encode(sheet: Image.Image) -> bytes:
    file = BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()
