"""Markdown that we wrote to a file, as Dagster can show it: no front matter, and its pictures carried along.

A server of Dagster's serves no files, so a picture that lies beside the page would be a broken one there.
"""

import json
import re

import dagster as dg

from dataset_assets.defs.pictures import embed
from dataset_assets.defs.texts import cut
from dataset_assets.storage.location import Location

MOST = 130_000  # bytes of a page in the log, pictures and all: it keeps every event
_MOST_TEXT = 60_000  # bytes of it without them

_FRONT = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
_PICTURE = re.compile(r"!\[([^\]]*)\]\(((?:[\w-]+/)*[\w-]+\.png)\)")  # of a file beside the page, or below


def show_page(path: Location) -> dg.MarkdownMetadataValue:
    """Return a page of Markdown as metadata. Instead of what does not fit stands where it lies."""
    text = _shorten(_FRONT.sub("", path.read_text(encoding="utf-8")), path)
    room = MOST - _measure(text)

    def carry(found: re.Match[str]) -> str:
        nonlocal room
        alt, name = found.groups()
        file = path.parent / name
        if not file.is_file():
            return f"A picture that is not there: `{file}`"
        picture = embed(file.read_bytes(), alt)
        if len(picture) > room:
            return f"A picture that is too large for this page: `{file}`"
        room -= len(picture)
        return picture

    return dg.MetadataValue.md(_PICTURE.sub(carry, text))


def _shorten(text: str, path: Location) -> str:
    if _measure(text) <= _MOST_TEXT:
        return text
    while _measure(text) > _MOST_TEXT:
        text = cut(text, len(text) * 3 // 4)
    return f"{text}\n\nThe rest is in `{path}`."


def _measure(text: str) -> int:
    """Return how many bytes a text has in the log."""
    return len(json.dumps(text))
