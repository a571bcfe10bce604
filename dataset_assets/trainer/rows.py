"""What the inputs of a merge say of one id, and their parsed parts as columns: texts, sizes, or why there is none.

How a file becomes lists of entries is not here: objects.py, lines.py and columns.py read, and this module judges.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.trainer.texts import escape_strings, estimate_tokens, find_marks, read_texts

Role = Literal["ids", "tags", "captions", "latents"]
Lacks = npt.NDArray[np.int8]

LARGEST_ID = (1 << 63) - 1
LARGEST_SIDE = (1 << 31) - 1

_SAFE_DIGITS = 19  # fewer are never more than LARGEST_ID
SIZE_FIELDS = ("train_resolution", "image_size")


class Lack(IntEnum):
    """Why an id has no text or no size; NONE where it has one. The names, in small letters, are in the reports."""

    NONE = 0
    NO_INPUT = 1  # nothing was given to look in
    NO_ENTRY = 2
    NOT_AN_OBJECT = 3
    NO_TEXT = 4  # the field is absent or null
    NOT_TEXT = 5
    EMPTY = 6  # nothing but white space
    NO_SIZE = 7
    NOT_A_SIZE = 8  # not two positive integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One file and what is looked for in it."""

    path: Path
    roles: frozenset[Role]
    own: bool = False  # the captions of our own records, which say of what each was made


class _NotAnObject:
    """The value of every field of an entry that has none."""


NOT_AN_OBJECT: Final = _NotAnObject()
NO_RAW: Final = msgspec.Raw(b"")  # a field that is absent, where fields are left as they are written

Size = tuple[int, int, int]  # width and height, pixels, and why they are none


@dataclass(slots=True, kw_only=True)
class Entries:
    """Entries of an input, in its order: a value for each in the list of every role that is asked for."""

    ids: list[int] = field(default_factory=list)
    tags: list[object] = field(default_factory=list)
    captions: list[object] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)  # what has no id and is nowhere else

    @classmethod
    def of(cls, ids: list[int], entries: Sequence[Any], roles: frozenset[Role]) -> Self:
        """Return entries that have all fields as attributes, the sizes as they are written."""
        found = cls(ids=ids)
        if "tags" in roles:
            found.tags = [entry.tags for entry in entries]
        if "captions" in roles:
            found.captions = [entry.caption for entry in entries]
        if "latents" in roles:
            found.sizes = [_judge_raw(bytes(one.train_resolution), bytes(one.image_size)) for one in entries]
        return found

    def add(self, number: int, entry: object, roles: frozenset[Role]) -> None:
        """Add what a JSON document says of an id."""
        fields = entry if isinstance(entry, dict) else None
        self.ids.append(number)
        if "tags" in roles:
            self.tags.append(NOT_AN_OBJECT if fields is None else fields.get("tags"))
        if "captions" in roles:
            self.captions.append(NOT_AN_OBJECT if fields is None else fields.get("caption"))
        if "latents" in roles:
            none = (0, 0, Lack.NOT_AN_OBJECT)
            self.sizes.append(none if fields is None else judge_size(*(fields.get(name) for name in SIZE_FIELDS)))


def parse_keys(keys: Sequence[str]) -> list[int] | None:
    """Return the ids of keys; None where one has none."""
    digits = "".join(keys)
    lengths = set(map(len, keys))
    if digits.isascii() and digits.isdigit() and min(lengths) > 0 and max(lengths) < _SAFE_DIGITS:
        return list(map(int, keys))
    ids = [number for number in map(parse_key, keys) if number is not None]
    return ids if len(ids) == len(keys) else None


def parse_key(key: str) -> int | None:
    """Return the id at the end of a key such as "123" or "e621/123"; None where there is none."""
    digits = key.rpartition("/")[2]
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 40:
        return None
    number = int(digits)
    return number if number <= LARGEST_ID else None


def make_columns(entries: Entries, roles: frozenset[Role]) -> pa.Table:
    """Return entries as a table: id, and the columns of each role (see `text_columns` and `size_columns`)."""
    columns: dict[str, Any] = {"id": pa.array(entries.ids, pa.int64())}
    if "tags" in roles:
        texts, lacks = judge_texts(entries.tags)
        columns |= {"tags": read_texts(texts)[1], "tags_lack": lacks}
    if "captions" in roles:
        texts, lacks = judge_texts(entries.captions)
        strings, escaped = read_texts(texts)
        columns |= {"caption": escaped, "caption_lack": lacks, **measure(strings)}
    if "latents" in roles:
        columns |= size_columns(entries.sizes)
    return pa.table(columns)


def make_text_columns(texts: pa.LargeStringArray, name: Literal["tags", "caption"]) -> dict[str, Any]:
    """Return the columns of a role of texts that come as an Arrow array."""
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts), pa.scalar("", pa.large_string())), False)
    lacks = np.where(texts.is_null().to_numpy(False), Lack.NO_TEXT, Lack.NONE).astype(np.int8)
    lacks[blank.to_numpy(False)] = Lack.EMPTY
    kept = pc.if_else(pa.array(lacks == Lack.NONE), texts, pa.scalar(None, pa.large_string()))
    columns = {name: escape_strings(kept), f"{name}_lack": lacks}
    return columns | (measure(kept) if name == "caption" else {})


def judge_texts(values: Sequence[object]) -> tuple[list[str | None], Lacks]:
    """Return the texts among values, None for the others, and why there is none."""
    texts = [value if isinstance(value, str) and value and not value.isspace() else None for value in values]
    lacks = np.zeros(len(texts), np.int8)
    for index, text in enumerate(texts):
        if text is None:
            lacks[index] = _find_lack(values[index])
    return texts, lacks


def _find_lack(value: object) -> Lack:
    if value is None:
        return Lack.NO_TEXT
    if value is NOT_AN_OBJECT:
        return Lack.NOT_AN_OBJECT
    return Lack.EMPTY if isinstance(value, str) else Lack.NOT_TEXT


def measure(texts: pa.LargeStringArray) -> dict[str, Any]:
    """Return what is found in captions: the columns `marks` and `tokens`."""
    return {"marks": find_marks(texts), "tokens": estimate_tokens(texts).astype(np.int32)}


def size_columns(sizes: Sequence[Size]) -> dict[str, Any]:
    """Return the columns width, height and latent_lack."""
    width, height, lack = zip(*sizes, strict=True) if sizes else ((), (), ())
    return {
        "width": pa.array(width, pa.int32()),
        "height": pa.array(height, pa.int32()),
        "latent_lack": np.array(lack, np.int8),
    }


def judge_size(*values: object) -> Size:
    """Return the first of the values that is a size, else why the first that is there is none."""
    found = [_judge_size(value) for value in values]
    for size in found:
        if not size[2]:
            return size
    return next((size for size in found if size[2] != Lack.NO_SIZE), found[0])


def _judge_size(value: object) -> Size:
    if value is None:
        return 0, 0, Lack.NO_SIZE
    if isinstance(value, list) and len(value) == 2:
        width, height = value
        if type(width) is int and type(height) is int and 0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE:
            return width, height, Lack.NONE
    return 0, 0, Lack.NOT_A_SIZE


@lru_cache(1 << 14)  # a set of latents has some hundred sizes
def _judge_raw(*values: bytes) -> Size:
    return judge_size(*(json.loads(value) if value else None for value in values))
