"""What the inputs of a merge say of one id, and their parsed parts as columns: texts, sizes, or why there is none.

How a file becomes lists of entries is not here: objects.py, lines.py and columns.py read, and this module judges.
"""

import codecs
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.storage.location import Location
from dataset_assets.trainer.inputs.keys import Key
from dataset_assets.trainer.output.texts import escape_strings, estimate_tokens, find_marks, read_texts

Role = Literal["ids", "tags", "captions", "latents"]
Lacks = npt.NDArray[np.int8]

LARGEST_SIDE = (1 << 31) - 1
SIZE_FIELDS = ("train_resolution", "image_size")

_MOST_DIGITS = 300  # of an integer that is read; what is longer is a float, and no size and no id


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
    NOT_A_SIZE = 8  # not two positive whole numbers


class Mended(StrEnum):
    """Faults of which the entry is kept: U+FFFD stands for what is no text."""

    NOT_UTF8 = "not_utf8"
    LONE_SURROGATE = "lone_surrogate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One file and what is looked for in it."""

    path: Location
    roles: frozenset[Role]
    own: bool = False  # the captions of our own records, which say of what each was made
    name: str = ""  # as a person knows it, where that is not the file's own
    unpacked: Path | None = None  # what is read in its place
    ending: str = ""  # of its name, where it is not the file's own

    @property
    def place(self) -> Location:
        """The file that is read."""
        return self.unpacked or self.path


class _NotAnObject:
    """The value of every field of an entry that has none."""


NOT_AN_OBJECT: Final = _NotAnObject()
NO_RAW: Final = msgspec.Raw(b"")  # a field that is absent, where fields are left as they are written

Size = tuple[int, int, int]  # width and height, pixels, and why they are none


@dataclass(slots=True, kw_only=True)
class Entries:
    """Entries of an input, in its order: a value for each in the list of every role that is asked for."""

    ids: list[int] = field(default_factory=list)
    spellings: list[int] = field(default_factory=list)  # of the keys; none where all are plain numbers
    tags: list[object] = field(default_factory=list)
    captions: list[object] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, ids: list[int], spellings: list[int], entries: Sequence[Any], roles: frozenset[Role]) -> Self:
        """Return entries that have all fields as attributes, the sizes as they are written."""
        found = cls(ids=ids, spellings=spellings)
        if "tags" in roles:
            found.tags = [entry.tags for entry in entries]
        if "captions" in roles:
            found.captions = [entry.caption for entry in entries]
        if "latents" in roles:
            found.sizes = [_judge_raw(bytes(one.train_resolution), bytes(one.image_size)) for one in entries]
        return found

    def join(self, other: "Entries") -> None:
        """Add other entries, which come after these, with a spelling each."""
        for name in ("ids", "spellings", "tags", "captions", "sizes", "faults"):
            getattr(self, name).extend(getattr(other, name))

    def add(self, key: Key, entry: object, roles: frozenset[Role], place: Mapping[str, Any]) -> None:
        """Add what a JSON document says of an id; `place` tells where that is, for faults."""
        fields = entry if isinstance(entry, dict) else None
        self.ids.append(key[0])
        self.spellings.append(key[1])
        if "tags" in roles:
            self.tags.append(NOT_AN_OBJECT if fields is None else self._mend(fields, "tags", place))
        if "captions" in roles:
            self.captions.append(NOT_AN_OBJECT if fields is None else self._mend(fields, "caption", place))
        if "latents" in roles:
            none = (0, 0, Lack.NOT_AN_OBJECT)
            self.sizes.append(none if fields is None else judge_size(*(fields.get(name) for name in SIZE_FIELDS)))

    def _mend(self, fields: Mapping[str, Any], name: str, place: Mapping[str, Any]) -> object:
        """Return a field as a text that UTF-8 has, if it is one; what was not is a fault."""
        value: object = fields.get(name)
        if not isinstance(value, str):
            return value
        text, wrong = mend_text(value)
        self.faults += ({"fault": fault.value, **place, "field": name} for fault in wrong)
        return text


def make_columns(entries: Entries, roles: frozenset[Role]) -> pa.Table:
    """Return entries as a table: id, `spelling` unless all are plain, and the columns of each role."""
    columns: dict[str, Any] = {"id": pa.array(entries.ids, pa.int64())}
    if any(entries.spellings):
        columns["spelling"] = pa.array(entries.spellings, pa.int64())
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
        width, height = (int(side) if isinstance(side, float) and side.is_integer() else side for side in value)
        if type(width) is int and type(height) is int and 0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE:
            return width, height, Lack.NONE
    return 0, 0, Lack.NOT_A_SIZE


@lru_cache(1 << 14)  # a set of latents has some hundred sizes
def _judge_raw(*values: bytes) -> Size:
    return judge_size(*(_load_raw(value) if value else None for value in values))


def _load_raw(value: bytes) -> object:
    try:
        return load_json(value)
    except (ValueError, RecursionError):  # what leaves it as it is does not read it
        return False


def load_json(data: bytes, **options: Any) -> Any:
    """Return a JSON document; numbers of any length are numbers, and texts of any bytes are for `mend_text`.

    `options` are those of json.loads. Raises ValueError and RecursionError.
    """
    return json.loads(decode(data), parse_int=_parse_int, **options)


def decode(data: bytes) -> str:
    """Return bytes as a text for `mend_text`, UTF-8 or not."""
    return data.decode("utf-8", _NOT_UTF8)


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) < _MOST_DIGITS else float(digits)  # Python refuses to read some thousand digits


def mend_text(text: str) -> tuple[str, list[Mended]]:
    """Return a text of `load_json` with U+FFFD for what is not UTF-8 and for lone surrogates, and which were there."""
    try:
        text.encode()
    except UnicodeEncodeError:
        whole = text.replace(_BROKEN, "\ufffd")
        clean = whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        wrong = {Mended.NOT_UTF8: whole != text, Mended.LONE_SURROGATE: clean != whole}
        return clean, [fault for fault, there in wrong.items() if there]
    return text, []


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _BROKEN, error.end


_BROKEN = "\ufffd\udfff"  # stands for bytes that are not UTF-8 until they are counted
_NOT_UTF8 = "dataset_assets.not_utf8"
codecs.register_error(_NOT_UTF8, _mark)
