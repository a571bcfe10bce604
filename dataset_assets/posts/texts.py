"""The fields of rows → the text of every variant, and how much of it there is (docs/records.md, Two modes).

`careful`: runs of whitespace become one space and ends are trimmed before anything is decided. `faithful`: the fields
are joined as they are and lose their line breaks after that. Whitespace is what Python's `str.split` takes for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.posts.batch import TEXT
from dataset_assets.settings import RecordSettings, RecordVariantSettings

# A text without a match is as `" ".join(text.split())` would make it: the characters that str.isspace is true of.
_UNTIDY = r"[\t-\r\x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]|  |\A | \z"


class TextStatus(IntEnum):
    """How much of a variant's text a record has."""

    ABSENT = 0  # its condition is not met
    EMPTY = 1
    PARTIAL = 2  # some of the joined fields have text
    WHOLE = 3


Statuses = npt.NDArray[np.int8]  # (rows,) of TextStatus


def make_texts(
    fields: Mapping[str, pa.Array], rows: int, settings: RecordSettings
) -> Iterator[tuple[str, pa.Array, Statuses]]:
    """Yield the name of every variant with the text of every row, large_string without nulls, and its status.

    `fields` are the rows' texts by the field's name.
    """
    careful = settings.mode == "careful"
    ready: dict[str, pa.Array] = {}
    for variant in settings.variants:
        for name in variant.join:
            if name not in ready:
                ready[name] = _tidy(fields[name]) if careful else fields[name].fill_null("")
        text, status = _join([ready[name] for name in variant.join], careful=careful)
        yield variant.name, *_ask(variant, fields, text, status)


def _tidy(text: pa.Array) -> pa.Array:
    """Return texts with their whitespace as single spaces between words; "" for null."""
    text = text.fill_null("")
    untidy = pc.match_substring_regex(text, _UNTIDY)
    if not untidy.true_count:
        return text
    # Nearly always it is a line feed or two: Arrow mends that in half the time, and leaves little.
    mended = pc.replace_substring(pc.replace_substring(text.filter(untidy), "\n", " "), "  ", " ")
    mended = pc.utf8_trim(mended, " ")
    left = pc.match_substring_regex(mended, _UNTIDY)
    tidied = [" ".join(one.split()) for one in mended.filter(left).to_pylist()]
    mended = pc.replace_with_mask(mended, left, pa.array(tidied, TEXT))
    return pc.replace_with_mask(text, untidy, mended)


def _join(parts: Sequence[pa.Array], *, careful: bool) -> tuple[pa.Array, Statuses]:
    """Return the parts that are not empty, joined by one space."""
    there = [_measure(part) > 0 for part in parts]
    filled = np.sum(there, axis=0)
    text, begun, nothing = parts[0], there[0], pa.scalar("", TEXT)
    for part, has in zip(parts[1:], there[1:], strict=True):
        space = pc.if_else(pa.array(begun & has), pa.scalar(" ", TEXT), nothing)
        text = pc.binary_join_element_wise(text, space, part, nothing)
        begun = begun | has
    if not careful:
        text = pc.replace_substring(pc.replace_substring(text, "\n", ""), "\r", "")
    status = np.where(filled == len(parts), TextStatus.WHOLE, TextStatus.PARTIAL).astype(np.int8)
    status[_measure(text) == 0] = TextStatus.EMPTY
    return text, status


def _ask(
    variant: RecordVariantSettings, fields: Mapping[str, pa.Array], text: pa.Array, status: Statuses
) -> tuple[pa.Array, Statuses]:
    """Return the texts of a variant where its condition is met."""
    if variant.when is None:
        return text, status
    met = pc.equal(fields[variant.when.field], pa.scalar(variant.when.equals, TEXT)).fill_null(False)
    absent = ~met.to_numpy(zero_copy_only=False)
    status[absent] = TextStatus.ABSENT
    return pc.if_else(met, text, pa.scalar("", TEXT)), status


def _measure(text: pa.Array) -> npt.NDArray[np.int64]:
    """Return the lengths of texts, bytes."""
    lengths: npt.NDArray[np.int64] = pc.binary_length(text).to_numpy(zero_copy_only=False)
    return lengths
