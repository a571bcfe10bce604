"""Ids and the keys that name them: `123`, `e621/123`, `/data/img/123.jpg`. No file is opened here."""

import re
from collections.abc import Sequence
from functools import lru_cache
from math import isnan
from zlib import crc32

from dataset_assets.posts.batch import LARGEST_ID

_SAFE_DIGITS = 19  # fewer are never more than LARGEST_ID
_LARGEST_EXACT = float(1 << 53)  # above it, not every integer is a float
_KEY = re.compile(r"(?:.*[/\\])?([0-9]{1,40})(?:\.[0-9a-z]*[a-z][0-9a-z]*)?", re.ASCII | re.DOTALL | re.IGNORECASE)

Key = tuple[int, int]  # an id and its spelling: 0 of the plain number, another number for any other way to write it


def read_key(key: str) -> Key | None:
    """Return the id that is the last name in a path, without its ending, and its spelling; None where there is none."""
    match = _KEY.fullmatch(key)
    if match is None or (number := int(match[1])) > LARGEST_ID:
        return None
    zeros = len(match[1]) - len(str(number))
    return number, _spell(key[: match.start(1)], zeros, key[match.end(1) :])


@lru_cache(1 << 10)  # the keys of a file are mostly spelled in one way
def _spell(folder: str, zeros: int, ending: str) -> int:
    return crc32(repr((folder, zeros, ending)).encode()) if folder or zeros or ending else 0


def read_keys(keys: Sequence[str]) -> tuple[list[int], list[int]] | None:
    """Return the ids of keys and their spellings, which are left out where all are plain; None where one has no id."""
    digits = "".join(keys)
    lengths = set(map(len, keys))
    if digits.isascii() and digits.isdigit() and min(lengths) > 0 and max(lengths) < _SAFE_DIGITS:
        ids = list(map(int, keys))
        if len("".join(map(str, ids))) == len(digits):  # none has a zero before it
            return ids, []
    found = [one for one in map(read_key, keys) if one is not None]
    return ([one for one, _ in found], [one for _, one in found]) if len(found) == len(keys) else None


def judge_id(value: object) -> Key | str:
    """Return the id that a value is, and its spelling, or what is wrong with it. A whole float is an integer."""
    if isinstance(value, str):
        return read_key(value) or "no_id"
    if value is None or (isinstance(value, float) and isnan(value)):  # what a null becomes in a column of floats
        return "no_id"
    number = int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_EXACT else value
    if type(number) is not int:
        return "id_not_an_integer"
    return (number, 0) if 0 <= number <= LARGEST_ID else "id_out_of_range"
