"""A crop and a text, drawn: what contact sheets and strips are laid out of. Where which stands is theirs to say.

The font has no accents and few signs; what else a text has is drawn as far as may be, and never runs out of its place.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from unicodedata import category, normalize

from PIL import Image, ImageDraw, ImageFont, ImageOps

CAPTION_LINES = 3
LINE_HEIGHT = 18  # pixels
CAPTION_SIZE = 13  # pixels; at 15 and 16 digits touch words
INK, GREY, RULE = (34, 36, 40), (118, 121, 127), (226, 226, 222)

_PAPER = (251, 251, 249)
_LONGEST_TEXT = 400  # characters: more than three lines of the narrowest letters
_PLAIN = str.maketrans("×–—‐‑−", "x-----")
_KINDS = {"C": " ", "M": ""}  # Unicode's categories of control characters and of marks on letters

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def make_paper(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return an empty picture, in pixels, and what draws on it."""
    paper = Image.new("RGB", (width, height), _PAPER)
    return paper, ImageDraw.Draw(paper)


@cache
def find_font(size: int) -> Font:
    """Return the font that Pillow brings, letters of `size` pixels."""
    return ImageFont.load_default(size)


def shrink_crop(jpeg: bytes, side: int, filtering: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
    """Return a crop upright, in RGB, at most `side` pixels on its longer side; a smaller one keeps its size.

    Raises what Pillow raises of an image that is damaged (images/probe.py).
    """
    with Image.open(BytesIO(jpeg)) as image:
        image.thumbnail((side, side), filtering)
        return ImageOps.exif_transpose(image).convert("RGB")


def paste_tile(paper: Image.Image, crop: Image.Image, at: tuple[int, int]) -> None:
    """Put a crop on the paper, its upper left corner at `at`, with a thin line around it."""
    left, top = at
    paper.paste(crop, at)
    ImageDraw.Draw(paper).rectangle((left - 1, top - 1, left + crop.width, top + crop.height), outline=RULE)


def draw_caption(draw: ImageDraw.ImageDraw, at: tuple[int, int], caption: str, width: int) -> None:
    """Write a caption below its tile, at most CAPTION_LINES lines of `width` pixels; where it is empty, that it is."""
    font = find_font(CAPTION_SIZE)
    lines = wrap_text(caption, font, width, lines=CAPTION_LINES)
    colour = INK if lines else GREY
    for number, line in enumerate(lines or ["no caption"]):
        draw.text((at[0], at[1] + number * LINE_HEIGHT), line, colour, font, anchor="la")


def stack_strips(strips: Sequence[Image.Image]) -> Image.Image:
    """Return pictures of one width, one below the other."""
    sheet, _ = make_paper(strips[0].width, sum(strip.height for strip in strips))
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def wrap_text(text: str, font: Font, width: float, *, lines: int) -> list[str]:
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


def _fitting(text: str, font: Font, width: float) -> int:
    """Return how many of the first characters of `text` fit into `width` pixels; one always does."""
    lengths = range(1, min(len(text), int(width)) + 1)  # no letter is less than a pixel wide
    return max(min(1, len(text)), bisect_right(lengths, width, key=lambda length: font.getlength(text[:length])))
