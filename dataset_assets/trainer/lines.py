"""JSON Lines: `{"id": 123, "caption": …}` or `{"123": {"caption": …}}` a line, in parts of a file.

What the values are good for is rows.py's to say.
"""

import json
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from dataset_assets.trainer.rows import LARGEST_ID, NO_RAW, Entries, Role, parse_key

_BOM = b"\xef\xbb\xbf"


class _Line(msgspec.Struct, gc=False):
    """A line; values of any type, so that none of them stops the others."""

    id: Any = None
    key: Any = None
    tags: Any = None
    caption: Any = None
    train_resolution: msgspec.Raw = NO_RAW
    image_size: msgspec.Raw = NO_RAW


_LINES = msgspec.json.Decoder(_Line)


def read_span(path: Path, start: int, end: int) -> tuple[bytes, int]:
    """Return the lines that begin from `start` up to, not with, `end`, and at which byte the first one does."""
    with path.open("rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        first = file.tell()
        data = file.read(max(end - first, 0))
        if data and not data.endswith(b"\n"):
            data += file.readline()
    return data, first


def read_lines(data: bytes, first: int, roles: frozenset[Role]) -> Entries:
    """Return what lines say for some roles; the first of them begins at the byte `first` of its file.

    A line that is no JSON object, or has no id, is a fault with the byte at which it begins.
    """
    return _read_fast(data, roles) or _read_carefully(data, first, roles)


def _read_fast(data: bytes, roles: frozenset[Role]) -> Entries | None:
    """Return the entries where every line is an object with an id; None where one is not."""
    try:
        lines = _LINES.decode_lines(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    ids = [_find_id(line.id, line.key) for line in lines]
    known = [number for number in ids if number is not None]
    return Entries.of(known, lines, roles) if len(known) == len(ids) else None


def _find_id(number: object, key: object) -> int | None:
    if type(number) is int:
        return number if 0 <= number <= LARGEST_ID else None
    text = number if isinstance(number, str) else key
    return parse_key(text) if isinstance(text, str) else None


def _read_carefully(data: bytes, first: int, roles: frozenset[Role]) -> Entries:
    entries = Entries()
    lines = data.split(b"\n")
    places = accumulate((len(line) + 1 for line in lines), initial=first)
    for line, place in zip(lines, places, strict=False):
        text = line.removeprefix(_BOM if place == 0 else b"").strip()
        if text and (fault := _read_line(text, entries, roles)):
            entries.faults.append({"fault": fault, "byte": place})
    return entries


def _read_line(text: bytes, entries: Entries, roles: frozenset[Role]) -> str:
    """Add what a line says; return what is wrong with it, "" for nothing."""
    try:
        said = json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return "not_json"
    if not isinstance(said, dict):
        return "not_an_object"
    entry: object
    if "id" in said or "key" in said:
        number = _find_id(said.get("id"), said.get("key"))
        entry = said
    else:
        key = next(iter(said), "")
        number = parse_key(key) if len(said) == 1 else None
        entry = said.get(key)
    if number is None:
        return "no_id"
    entries.add(number, entry, roles)
    return ""
