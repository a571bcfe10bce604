"""Pictures as metadata: Markdown that carries them along, so that Dagster shows them without a file server.

Texts beside them are data, however hostile: they are shown as text. What is on a picture is not decided here.
"""

import base64
from collections.abc import Iterable, Sequence

import dagster as dg

from dataset_assets.defs.metadata import as_cell
from dataset_assets.previews.strip import Strip

_LONGEST = 300  # characters of a text in an event
_KINDS = {b"\xff\xd8": "jpeg", b"\x89P": "png"}  # how they begin


def embed(picture: bytes, alt: str) -> str:
    """Return a JPEG or PNG as Markdown; `alt` says what is on it to whom cannot see it."""
    kind = _KINDS[picture[:2]]
    return f"![{as_cell(alt)}](data:image/{kind};base64,{base64.b64encode(picture).decode()})"


def show_picture(picture: bytes, alt: str) -> dg.MarkdownMetadataValue:
    """Return a picture as metadata."""
    return dg.MetadataValue.md(embed(picture, alt))


def show_strip(strip: Strip) -> dg.MarkdownMetadataValue:
    """Return a contact strip as metadata, and below it the captions on it as text, where there are any."""
    names = ", ".join(f"{band.title} ({band.facts})" for band in strip.bands)
    parts = [embed(strip.picture, f"A few crops of {names}")]
    rows = [
        (tile.caption, tile.variant, tile.image_id)
        for band in strip.bands
        for tile in band.tiles
        if tile.caption is not None
    ]
    if rows:
        parts.append(tabulate(("caption", "variant", "image"), rows))
    return dg.MetadataValue.md("\n\n".join(parts))


def tabulate(names: Sequence[str], rows: Iterable[Sequence[str]], *, pictures: Sequence[str] = ()) -> str:
    """Return texts as a Markdown table; nothing in them is markup, and long ones are cut.

    `pictures` are what `embed` returns, one for each row; they stand in the first column.
    """
    names = ("", *names) if pictures else names
    cells = [[as_cell(cut(text)) for text in row] for row in rows]
    cells = [[picture, *row] for picture, row in zip(pictures, cells, strict=True)] if pictures else cells
    return "\n".join(f"| {' | '.join(row)} |" for row in [names, ["---"] * len(names), *cells])


def cut(text: str) -> str:
    """Return a text as long as an event can hold some of; an ellipsis stands for what was cut."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
