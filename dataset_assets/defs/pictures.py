"""Pictures as metadata: Markdown that carries them along, so that Dagster shows them without a file server.

What becomes of texts beside them is in texts.py. What is on a picture is not decided here.
"""

import base64
from typing import Any

import dagster as dg

from dataset_assets.defs.texts import LONGEST_NAME, caption_lines, cut, escape, quote
from dataset_assets.previews.strip import Strip

PICTURE = "](data:image/"  # only a picture that is carried along has this in it: of texts the brackets are escaped

_KINDS = {b"\xff\xd8": "jpeg", b"\x89P": "png"}  # how they begin


def embed(picture: bytes, alt: str) -> str:
    """Return a JPEG or PNG as Markdown; `alt` says what is on it to whom cannot see it, and is cut."""
    kind = _KINDS[picture[:2]]
    return f"![{escape(cut(alt, LONGEST_NAME))}{PICTURE}{kind};base64,{base64.b64encode(picture).decode()})"


def show_picture(picture: bytes, alt: str) -> dg.MarkdownMetadataValue:
    """Return a picture as metadata."""
    return dg.MetadataValue.md(embed(picture, alt))


def show_strip(name: str, strip: Strip | None) -> dict[str, Any]:
    """Return a contact strip as an entry of metadata, below it the captions on it as text; no entry without a strip."""
    if strip is None:
        return {}
    names = ", ".join(f"{band.title} ({band.facts})" for band in strip.bands)
    texts = [
        caption_lines(tile.image_id, tile.variant, tile.caption)
        for band in strip.bands
        for tile in band.tiles
        if tile.caption is not None
    ]
    lines = [line for text in texts for line in ("", *text)]
    parts = [embed(strip.picture, f"A few crops of {names}"), *quote(lines[1:])]
    return {name: dg.MetadataValue.md("\n\n".join(parts))}
