"""Pictures as metadata: Markdown that carries them along, so that Dagster shows them without a file server.

Texts beside them are data, however hostile: they are shown as text. What is on a picture is not decided here.
"""

import base64
import re
import textwrap
from collections.abc import Iterable

import dagster as dg

from dataset_assets.defs.metadata import as_line, escape
from dataset_assets.previews.strip import Strip

PICTURE = "](data:image/"  # only a picture that is carried along has this in it: of texts the brackets are escaped

_LONGEST = 300  # characters of a text in an event
_LONGEST_NAME = 100  # likewise of what an image is called
_WIDTH = 84  # characters of a line, so that none runs out of the dialog
_KINDS = {b"\xff\xd8": "jpeg", b"\x89P": "png"}  # how they begin


def embed(picture: bytes, alt: str) -> str:
    """Return a JPEG or PNG as Markdown; `alt` says what is on it to whom cannot see it, and is cut."""
    kind = _KINDS[picture[:2]]
    return f"![{escape(cut(alt, _LONGEST_NAME))}{PICTURE}{kind};base64,{base64.b64encode(picture).decode()})"


def show_picture(picture: bytes, alt: str) -> dg.MarkdownMetadataValue:
    """Return a picture as metadata."""
    return dg.MetadataValue.md(embed(picture, alt))


def show_strip(strip: Strip) -> dg.MarkdownMetadataValue:
    """Return a contact strip as metadata, and below it the captions on it as text, where there are any."""
    names = ", ".join(f"{band.title} ({band.facts})" for band in strip.bands)
    texts = [
        caption_lines(tile.image_id, tile.variant, tile.caption)
        for band in strip.bands
        for tile in band.tiles
        if tile.caption is not None
    ]
    lines = [line for text in texts for line in ("", *text)]
    return dg.MetadataValue.md("\n\n".join([embed(strip.picture, f"A few crops of {names}"), *quote(lines[1:])]))


def caption_lines(image_id: str, told: str, caption: str) -> list[str]:
    """Return what an image is called, with what is told of its caption, and below it the caption; all of it cut."""
    name = cut(as_line(image_id), _LONGEST_NAME)
    return [f"{name} · {told or 'no caption'}", *textwrap.wrap(cut(as_line(caption)), _WIDTH)]


def quote(lines: Iterable[str]) -> list[str]:
    """Return lines as a block of plain text, none where there are no lines: nothing in them is markup, or a link.

    Anywhere else Dagster makes links of what looks like an address, however it is escaped.
    """
    block = "\n".join(as_line(line) for line in lines)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block)), default=0))
    return [f"{fence}text\n{block}\n{fence}"] if block else []


def cut(text: str, longest: int = _LONGEST) -> str:
    """Return a text as long as an event can hold some of; an ellipsis stands for what was cut."""
    return text if len(text) <= longest else f"{text[:longest]}…"
