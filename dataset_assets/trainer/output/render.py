"""Metadata as text: columns to the bytes that `json.dump` of the whole dictionary would give. Pure.

Texts come as JSON has them already, in their quotes (texts.py).
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

JOINT = b", "  # between two entries of an object

_EMPTY = '""'


def render_records(
    keys: pa.LargeStringArray,
    tags: pa.LargeStringArray,
    captions: pa.LargeStringArray,
    tails: pa.LargeStringArray,
    dialect: Literal["json", "jsonl"],
) -> pa.LargeStringArray:
    """Return the entries of merged metadata; `keys` are as JSON has them, a text or a number; null texts are empty.

    Each begins with JOINT in an object, and ends in a newline as a line of its own.
    """
    tags, captions = (pc.fill_null(texts, _text(_EMPTY)) for texts in (tags, captions))
    if dialect == "jsonl":
        return _join('{"id": ', keys, ', "tags": ', tags, ', "caption": ', captions, tails, "\n")
    return _join(JOINT.decode(), keys, ': {"tags": ', tags, ', "caption": ', captions, tails)


def render_captions(keys: pa.LargeStringArray, captions: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return the entries of captions alone, each beginning with JOINT."""
    return _join(JOINT.decode(), keys, ': {"caption": ', captions, "}")


def render_sizes(width: pa.Array, height: pa.Array, known: npt.NDArray[np.bool_]) -> pa.LargeStringArray:
    """Return the ends of entries: the size, pixels, under both names that trainers know, where it is known."""
    w, h = (pc.fill_null(side, 0).to_numpy(False).astype(np.int64) for side in (width, height))
    pairs, places = np.unique(np.where(known, (w << 32) | h, 0), return_inverse=True)
    ends = ["}" if not pair else _render_size(int(pair) >> 32, int(pair) & 0xFFFFFFFF) for pair in pairs]
    return pa.array(ends, pa.large_string()).take(pa.array(places.reshape(-1)))


def _render_size(width: int, height: int) -> str:
    return f', "train_resolution": [{width}, {height}], "image_size": [{width}, {height}]}}'


def render_reasons(keys: pa.LargeStringArray, missing: str, reasons: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return a line for each key that lacks something, and why."""
    return _join('{"id": ', keys, f', "missing": "{missing}", "reason": "', reasons, '"}\n')


def render_list(keys: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return the items of a list, each beginning with JOINT."""
    return _join(JOINT.decode(), keys)


def quote_keys(keys: pa.LargeStringArray, prefix: str) -> pa.LargeStringArray:
    """Return keys in quotes, with a folder before them unless `prefix` is ""; neither has anything to escape."""
    return _join(f'"{prefix}/' if prefix else '"', keys, '"')


def cut_by_split(
    entries: pa.LargeStringArray, parts: npt.NDArray[np.int64]
) -> Iterator[tuple[int, pa.LargeStringArray]]:
    """Yield the entries of each part, in their order, with its number."""
    order = np.argsort(parts, kind="stable")
    numbers, starts = np.unique(parts[order], return_index=True)
    entries = entries.take(pa.array(order))
    for number, start, stop in zip(numbers, starts, [*starts[1:], len(order)], strict=True):
        yield int(number), entries.slice(start, stop - start)


def view(entries: pa.LargeStringArray) -> memoryview:
    """Return the bytes of all texts of an array of at least one, without copying them."""
    _, offsets, data = entries.buffers()
    places = np.frombuffer(offsets, np.int64, len(entries) + 1, entries.offset * 8)
    return memoryview(data)[int(places[0]) : int(places[-1])].cast("B")


def _join(*parts: str | pa.LargeStringArray) -> pa.LargeStringArray:
    columns = [_text(part) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*columns, _text(""))


def _text(text: str) -> pa.LargeStringScalar:
    return pa.scalar(text, pa.large_string())
