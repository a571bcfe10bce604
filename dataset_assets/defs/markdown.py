"""Markdown that we wrote to a file, as Dagster can show it: no front matter, and its pictures carried along.

A server of Dagster's serves no files, so a picture that lies beside the page would be a broken one there.
"""

import re

import dagster as dg

from dataset_assets.defs.pictures import cut, embed
from dataset_assets.storage.location import Location

MOST = 110_000  # bytes of all pictures of a page, as Base64: the log keeps every event
_LONGEST = 20_000  # characters of the page, pictures apart

_FRONT = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
_PICTURE = re.compile(r"!\[([^\]]*)\]\(((?:[\w-]+/)*[\w-]+\.png)\)")  # of a file beside the page, or below


def show_page(path: Location) -> dg.MarkdownMetadataValue:
    """Return a page of Markdown as metadata. Instead of a picture that does not fit stands where it lies."""
    room = MOST

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

    text = _FRONT.sub("", path.read_text(encoding="utf-8"))
    return dg.MetadataValue.md(_PICTURE.sub(carry, cut(text, _LONGEST)))
