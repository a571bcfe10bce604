"""Whole JSON files, `{"<id>": {…}, …}` of any size: where they can be cut between two entries, and how a cut is read.

A cut is only guessed from the bytes around it, and proved by reading: between two cuts have to be whole entries.
What the entries' values are good for is rows.py's to say.
"""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, BinaryIO

import msgspec

from dataset_assets.errors import SourceError
from dataset_assets.storage.location import Location
from dataset_assets.trainer.inputs.keys import read_key, read_keys
from dataset_assets.trainer.inputs.rows import NO_RAW, Entries, Role, load_json, mend_text

Span = tuple[int, int]  # first byte, and the byte after the last

_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_HEAD = 1 << 16  # bytes: more white space than this before the first brace is no file of ours
_WINDOW = 1 << 18  # bytes that are looked through at a time for a place to cut
_LONGEST = 1 << 28  # bytes without such a place
_LONGEST_NAME = 200  # characters of a key in the list of faults

# A key is no more than a path that ends in digits, or in digits and a file's ending. What lies between a quote that
# closes a text and the next one that opens one begins with none of a path's characters: so these quotes are a key's,
# wherever in the file we stand, and a comma before it is between two entries of an object.
_GAP = rb"[ \t\r\n]*"
_NAME = rb"""(?:(?![ \t\r\n,:\]}])(?:[^"\\]|\\\\|\\/){0,500}(?:/|\\\\))?[0-9]{1,40}(\.[0-9A-Za-z]+)?"""
_CUT = re.compile(rb"," + _GAP + rb'(?="' + _NAME + rb'"' + _GAP + rb":)")
_FIRST = re.compile(_GAP + rb'"' + _NAME + rb'"')


@lru_cache(64)
def _colon(ending: bytes) -> re.Pattern[bytes]:
    """Return what lies between a key of this ending and its entry. A quote behind it never opens a text."""
    behind = b"[0-9]" + re.escape(ending) + rb'"'
    return re.compile(rb'"(?<=' + behind + rb")" + _GAP + rb":" + _GAP + rb"\{")


class _Entry(msgspec.Struct, gc=False):
    """An entry; values of any type, so that none of them stops the others."""

    tags: Any = None
    caption: Any = None
    train_resolution: msgspec.Raw = NO_RAW
    image_size: msgspec.Raw = NO_RAW


_ENTRIES = msgspec.json.Decoder(list[str | _Entry])


class _Pairs(list[Any]):
    """The pairs of a JSON object, repeated keys included."""


def cut_object(path: Location, step: int, name: Location | None = None) -> list[Span]:
    """Return the spans of a file's entries, each of about `step` bytes; messages call it `name`.

    Raises SourceError where it cannot be read, or is no JSON object by its first and last byte.
    """
    name = name or path
    try:
        with path.open("rb") as file:
            start, end = _find_braces(file, name)
            cuts = [start]
            while (after := cuts[-1] + step) < end:
                cut = _find_cut(file, name, after, end)
                if cut is None:
                    break
                cuts.append(cut)
    except OSError as error:
        raise SourceError(f"cannot read {name}: {error.strerror or error}") from error
    return list(zip(cuts, [*cuts[1:], end], strict=True))


def _find_braces(file: BinaryIO, path: Location) -> Span:
    """Return what lies between the outermost braces."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_HEAD)
    body = head.removeprefix(_BOM).lstrip(_SPACE)
    file.seek(max(size - _HEAD, 0))
    tail = file.read().rstrip(_SPACE)
    if not body.startswith(b"{"):
        raise SourceError(f'{path} is not a JSON object: it has to begin with {{, as in {{"123": {{…}}}}')
    start, end = len(head) - len(body) + 1, size - min(size, _HEAD) + len(tail) - 1
    if not tail.endswith(b"}") or end < start:
        raise SourceError(f"{path} is cut short: it does not end in the brace of its JSON object")
    return start, end


def _find_cut(file: BinaryIO, path: Location, after: int, end: int) -> int | None:
    """Return the first place after a byte where the next entry begins; None where the rest is the last one."""
    file.seek(after)
    window = b""
    while after + len(window) < end:
        window += file.read(min(max(_WINDOW, len(window)), end - after - len(window)))
        if match := _CUT.search(window):
            return after + match.end()
        if len(window) > _LONGEST:
            raise SourceError(f"{path}: no id was found among the keys of {_LONGEST:,} bytes, from byte {after:,} on")
    return None


def read_object(data: bytes, roles: frozenset[Role]) -> Entries:
    """Return what a span says for some roles. Raises ValueError where it is not one or more whole entries.

    A key without an id is a fault.
    """
    end = len(data.rstrip(_SPACE))
    body = memoryview(data)[: end - data.endswith(b",", 0, end)]
    return _read_fast(body, roles) or _read_carefully(bytes(body), roles)


def _read_fast(body: memoryview, roles: frozenset[Role]) -> Entries | None:
    """Return entries that are all objects under plain keys; None where anything is not as it mostly is.

    A comma in place of the colon after each key makes a list of keys and entries in turn. What is an error in the
    object is one in the list, and a key that is there twice stays so.
    """
    first = _FIRST.match(body)
    text, colons = _colon(first[1] or b"" if first else b"").subn(b'",{', b"".join((b"[", body, b"]")))
    try:
        items = _ENTRIES.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    keys, entries = items[::2], items[1::2]
    names = [key for key in keys if isinstance(key, str)]
    if not len(names) == len(entries) == colons or {*map(type, entries)} != {_Entry}:
        return None
    ids = read_keys(names)
    return None if ids is None else Entries.of(*ids, entries, roles)


def _read_carefully(body: bytes, roles: frozenset[Role]) -> Entries:
    entries = Entries()
    for key, value in _load_pairs(body):
        name = mend_text(key)[0][:_LONGEST_NAME]
        found = read_key(key)
        if found is None:
            entries.faults.append({"fault": "no_id", "key": name})
        else:
            entries.add(found, dict(value) if isinstance(value, _Pairs) else value, roles, {"key": name})
    return entries


def _load_pairs(body: bytes) -> Iterator[tuple[str, object]]:
    try:
        yield from load_json(b"{" + body + b"}", object_pairs_hook=_Pairs)
    except RecursionError:
        raise ValueError("nested too deeply") from None
