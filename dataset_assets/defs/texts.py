"""Texts that others wrote, as an event can show them: as one line, cut, and never as markup.

Nothing of Dagster's is in here; pictures beside texts are in pictures.py.
"""

import re
import textwrap
from collections.abc import Iterable

LONGEST_NAME = 100  # characters of what an image is called, in an event

_LONGEST = 300  # likewise of any other text
_WIDTH = 84  # characters of a line, so that none runs out of the dialog
_MARKUP = "\\`*_{}[]<>()#+!|&$~"
# Control characters and halves of pairs end a word; what has no width, or turns the direction of a text, is dropped.
_BLANK = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]+")
_UNSEEN = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]+")


def as_line(text: str) -> str:
    """Return a text as one line, without what cannot be seen."""
    return " ".join(_UNSEEN.sub("", _BLANK.sub(" ", text)).split())


def cut(text: str, longest: int = _LONGEST) -> str:
    """Return a text as long as an event can hold some of; an ellipsis stands for what was cut."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def escape(text: str) -> str:
    """Return a text as one line in which nothing is markup, for the description of a picture.

    Elsewhere Dagster makes links of addresses even so: there `quote` is needed.
    """
    return "".join(f"&#{ord(character)};" if character in _MARKUP else character for character in as_line(text))


def quote(lines: Iterable[str]) -> list[str]:
    """Return lines as a block of plain text, none where there are no lines: nothing in them is markup, or a link.

    Anywhere else Dagster makes links of what looks like an address, however it is escaped.
    """
    block = "\n".join(as_line(line) for line in lines)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block)), default=0))
    return [f"{fence}text\n{block}\n{fence}"] if block else []


def caption_lines(image_id: str, told: str, caption: str) -> list[str]:
    """Return what an image is called, with what is told of its caption, and below it the caption; all of it cut."""
    name = cut(as_line(image_id), LONGEST_NAME)
    return [f"{name} · {told or 'no caption'}", *textwrap.wrap(cut(as_line(caption)), _WIDTH)]
