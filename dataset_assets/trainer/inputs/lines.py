"""JSON Lines: `{"id": 123, "caption": …}` or `{"123": {"caption": …}}` a line, in parts of a file.

What the values are good for is rows.py's to say.
"""

from contextlib import suppress
from itertools import accumulate
from typing import Any

import msgspec

from dataset_assets.posts.batch import LARGEST_ID
from dataset_assets.storage.location import Location
from dataset_assets.trainer.inputs.keys import Key, judge_id
from dataset_assets.trainer.inputs.rows import NO_RAW, Entries, Role, load_json

_BOM = b"\xef\xbb\xbf"


class _Line(msgspec.Struct, gc=False):
    """A line; values of any type, so that none of them stops the others."""

    id: Any = None
    key: Any = None
    tags: Any = None
    caption: Any = None
    train_resolution: msgspec.Raw = NO_RAW
    image_size: msgspec.Raw = NO_RAW


_LINE = msgspec.json.Decoder(_Line)
_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_span(path: Location, start: int, end: int) -> tuple[bytes, int]:
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

    A line ends in a line feed, and what becomes of it is the same beside any others. One that is no JSON object, or has
    no id, is a fault with the byte at which it begins and its number among these lines, from 1.
    """
    lines = data.removesuffix(b"\n").split(b"\n")
    return _read_fast(lines, roles) or _read_carefully(lines, first, roles)


def _read_fast(lines: list[bytes], roles: frozenset[Role]) -> Entries | None:
    """Return the entries where every line is an object with an id; None where one is not."""
    try:
        found = list(map(_LINE.decode, lines))
    except _REFUSED:
        return None
    ids = [line.id for line in found]
    if set(map(type, ids)) == {int}:
        return Entries.of(ids, [], found, roles) if min(ids) >= 0 and max(ids) <= LARGEST_ID else None
    keys = [key for key in map(_find_key, found) if not isinstance(key, str)]
    if len(keys) < len(found):
        return None
    return Entries.of([key[0] for key in keys], [key[1] for key in keys], found, roles)


def _find_key(line: _Line) -> Key | str:
    return judge_id(line.key if line.id is None else line.id)


def _read_carefully(lines: list[bytes], first: int, roles: frozenset[Role]) -> Entries:
    entries = Entries()
    places = accumulate((len(line) + 1 for line in lines), initial=first)
    for number, (line, byte) in enumerate(zip(lines, places, strict=False), 1):
        text = line.removeprefix(_BOM if byte == 0 else b"").strip()
        place = {"line": number, "byte": byte}
        if text and (fault := _read_line(text, entries, roles, place)):
            entries.faults.append({"fault": fault, **place})
    return entries


def _read_line(text: bytes, entries: Entries, roles: frozenset[Role], place: dict[str, int]) -> str:
    """Add what a line says; return what is wrong with it, "" for nothing."""
    with suppress(*_REFUSED):  # there may be nothing wrong with it but a text
        line = _LINE.decode(text)
        key = _find_key(line)
        if not isinstance(key, str):
            entries.join(Entries.of([key[0]], [key[1]], [line], roles))
            return ""
    try:
        said = load_json(text)
    except (ValueError, RecursionError):
        return "not_json"
    if not isinstance(said, dict):
        return "not_an_object"
    entry: object = said
    if "id" in said or "key" in said:
        key = judge_id(said.get("key") if said.get("id") is None else said["id"])
    else:
        name = next(iter(said), "")
        key, entry = judge_id(name if len(said) == 1 else None), said.get(name)
    if isinstance(key, str):
        return key
    entries.add(key, entry, roles, place)
    return ""
