"""Texts as JSON writes them, and what a trainer would lose of them, a column at a time.

The lint (docs/records.md, What a trainer loses without a word): newlines end a caption early in some trainers, `{`, `}`
and `|` are wildcards in others, and what is longer than the text encoder's window is cut off. No tokenizer is asked:
`estimate_tokens` says what is counted.
"""

import json
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MARKS = {"newline": b"\n\r", "{": b"{", "}": b"}", "|": b"|"}  # finding → the bytes of which one is enough
WORD = 12  # letters of a run that are one token
LONG = (75, 150, 225)  # tokens: one, two and three windows of CLIP without their two marks

_ESCAPED = bytes(not 0x20 <= byte < 0x7F or byte in b'"\\' for byte in range(256))  # what json.dumps changes
_MARKS = bytes(sum(1 << bit for bit, marks in enumerate(MARKS.values()) if byte in marks) for byte in range(256))
_SPACE, _LETTER, _MARK, _ALONE, _REST = range(5)


def _class_of(byte: int) -> int:
    if byte >= 0x80:
        return _ALONE if byte >= 0xC0 else _REST  # the first byte of a character and the others
    if chr(byte).isdigit():
        return _ALONE
    return _LETTER if chr(byte).isalpha() else _SPACE if byte <= 0x20 or byte == 0x7F else _MARK


_CLASSES = bytes(map(_class_of, range(256)))


def make_strings(texts: Sequence[str | None]) -> pa.LargeStringArray:
    """Return texts as an Arrow array, null for None; lone surrogates, which UTF-8 does not have, become U+FFFD."""
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:
        clean = [text and text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
        return pa.array(clean, pa.large_string())


def escape_texts(texts: Sequence[str | None]) -> pa.LargeStringArray:
    """Return each text as `json.dumps` writes it, in its quotes; null for None."""
    return pa.array([None if text is None else encode_basestring_ascii(text) for text in texts], pa.large_string())


def escape_strings(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return what `escape_texts` does, of an Arrow array; fast where few texts have anything to escape."""
    quote = pa.scalar('"', pa.large_string())
    quoted = pc.binary_join_element_wise(quote, texts, quote, pa.scalar("", pa.large_string()))
    offsets, data = _open(texts)
    places = np.flatnonzero(np.frombuffer(data.tobytes().translate(_ESCAPED), bool))
    if not len(places):
        return quoted
    odd = np.zeros(len(texts), bool)
    odd[np.searchsorted(offsets, places, "right") - 1] = True
    mask = pa.array(odd)
    return pc.replace_with_mask(quoted, mask, escape_texts(texts.filter(mask).to_pylist()))


def read_texts(texts: Sequence[str | None]) -> tuple[pa.LargeStringArray, pa.LargeStringArray]:
    """Return texts as `make_strings` does, and as JSON has them: there, lone surrogates stay what they are."""
    try:
        strings = pa.array(texts, pa.large_string())
    except UnicodeEncodeError:
        return make_strings(texts), escape_texts(texts)
    return strings, escape_strings(strings)


def unescape(text: str) -> str:
    """Return the text that `json.dumps` wrote."""
    read: str = json.loads(text)
    return read


def find_marks(texts: pa.LargeStringArray) -> npt.NDArray[np.uint8]:
    """Return for each text the findings of MARKS in it, a bit each: 1 for the first."""
    offsets, data = _open(texts)
    bits = np.frombuffer(data.tobytes().translate(_MARKS), np.uint8)
    places = np.flatnonzero(bits)
    found = np.zeros(len(texts), np.uint8)
    np.bitwise_or.at(found, np.searchsorted(offsets, places, "right") - 1, bits[places])
    return found


def estimate_tokens(texts: pa.LargeStringArray) -> npt.NDArray[np.int64]:
    """Return for each text about how many tokens it has, 0 for null.

    The rule: a run of ASCII letters is a token for every WORD letters begun (a word is mostly one), a run of ASCII
    punctuation is one, and every digit and every character outside ASCII is one. CLIP's tokenizer cuts texts there,
    too, and cuts long and rare words further: what is too long by this rule is mostly too long for it, and what is
    near a limit may be.
    """
    offsets, data = _open(texts)
    kinds = np.frombuffer(data.tobytes().translate(_CLASSES), np.uint8)
    starts = (kinds == _LETTER) | (kinds == _MARK)
    starts[1:] &= kinds[1:] != kinds[:-1]
    starts |= kinds == _ALONE
    firsts = offsets[:-1][offsets[1:] > offsets[:-1]]
    starts[firsts] = (kinds[firsts] != _SPACE) & (kinds[firsts] != _REST)  # whatever the text before it ends in
    places = np.flatnonzero(starts)
    counts: npt.NDArray[np.int64] = np.diff(np.searchsorted(places, offsets))
    words, lengths = _measure_long(kinds, places)
    np.add.at(counts, np.searchsorted(offsets, words, "right") - 1, (lengths - 1) // WORD)
    return counts


def _measure_long(
    kinds: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where runs of more than WORD letters begin, and how many they are; `places` are where all runs begin.

    Behind a letter that begins a run come the other letters of it, and then nothing that is one: the end is searched.
    """
    after = np.append(places[1:], len(kinds))
    likely = np.flatnonzero(after - places > WORD)
    first, low, high = places[likely], places[likely] + WORD, after[likely]
    long = (kinds[first] == _LETTER) & (kinds[low] == _LETTER)
    first, low, high = first[long], low[long], high[long]
    while np.any(high - low > 1):  # at `low` there is a letter, at `high` none or another run
        middle = (low + high) // 2
        inside = (kinds[np.minimum(middle, len(kinds) - 1)] == _LETTER) & (middle < high)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return first, low + 1 - first


def _open(texts: pa.LargeStringArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Return where each text begins, and after them where the last ends, and the bytes of all."""
    if not len(texts):
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int64, len(texts) + 1, texts.offset * 8)
    first, last = int(places[0]), int(places[-1])
    bytes_ = np.frombuffer(data, np.uint8, last - first, first) if last > first else np.zeros(0, np.uint8)
    return places - first, bytes_
