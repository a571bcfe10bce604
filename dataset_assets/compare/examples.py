"""Examples of what is different, read from the tars: always the same ones, those with the smallest keys."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple

from dataset_assets.compare.counts import name_flags
from dataset_assets.compare.export import Export
from dataset_assets.compare.gather import Gathered
from dataset_assets.compare.manifests import compare_values
from dataset_assets.compare.match import Kind, Matched, Reason, name_of
from dataset_assets.compare.records import TEXT_LIMIT, Difference, Example, Side
from dataset_assets.compare.rows import read_sample, show_key
from dataset_assets.compare.words import compare_words

_NO_FIELDS = ("caption_variant", "bucket_id")  # which a side has by itself
_LONGEST = 200  # characters of a field
_MOST = 40  # fields


class Sketch(NamedTuple):
    """An example, and the JPEG of each side, b"" where it has none."""

    example: Example
    jpegs: tuple[bytes, bytes]


class _Found(NamedTuple):
    """A sample as it was read from a tar."""

    key: str
    side: Side
    fields: Mapping[str, Any]
    jpeg: bytes


def read_examples(
    exports: tuple[Export, Export], gathered: Gathered, matched: Matched, count: int
) -> Iterator[tuple[str, Sketch]]:
    """Yield `count` examples of each kind of difference, fewer where there are not so many, each with its kind.

    Raises StorageError where a tar cannot be read any more.
    """
    reader = _Reader(exports, gathered)
    for row in matched.added[:count]:
        yield "added", reader.read(None, int(row))
    for row in matched.removed[:count]:
        yield "removed", reader.read(int(row), None)
    wanted = {name_of(kind): matched.kinds & kind for kind in Kind}
    for name, which in {**wanted, "moved": matched.moved & (matched.kinds == 0)}.items():
        for pair in which.nonzero()[0][:count]:
            sketch = reader.read(int(matched.a[pair]), int(matched.b[pair]))
            kinds, reasons = name_flags(Kind, matched.kinds[pair]), name_flags(Reason, matched.reasons[pair])
            yield name, sketch._replace(example=replace(sketch.example, kinds=kinds, reasons=reasons))


class _Reader:
    def __init__(self, exports: tuple[Export, Export], gathered: Gathered) -> None:
        self._exports = exports
        self._gathered = gathered

    def read(self, a: int | None, b: int | None) -> Sketch:
        """Return a sample by its rows, None where an export has none."""
        first, second = self._find(0, a), self._find(1, b)
        there = second or first
        assert there is not None
        example = Example(
            key=there.key,
            image_id=_shorten(there.fields.get("image_id") or ""),
            kinds=(),
            reasons=(),
            a=first.side if first else None,
            b=second.side if second else None,
            fields=(),
            words_a=(),
            words_b=(),
        )
        if first and second:
            example = replace(example, fields=_compare_fields(first.fields, second.fields))
            if first.side.caption != second.side.caption:
                words_a, words_b = compare_words(first.side.caption, second.side.caption)
                example = replace(example, words_a=words_a, words_b=words_b)
        return Sketch(example, (first.jpeg if first else b"", second.jpeg if second else b""))

    def _find(self, number: int, row: int | None) -> _Found | None:
        if row is None:
            return None
        export, rows = self._exports[number], self._gathered.rows[number]
        tar = export.tars[int(rows["tar"][row])]
        key, place = show_key(rows["key"][row]), int(rows["place"][row])
        jpeg, text, fields = read_sample(export.folder, tar, key, place)
        side = Side(
            tar=tar.path,
            bucket=tar.bucket,
            variant=self._gathered.variants[int(rows["variant"][row])],
            caption=text[:TEXT_LIMIT],
            length=len(text),
            bytes=len(jpeg),
            sha256=sha256(jpeg).hexdigest(),
            picture=None,
        )
        return _Found(key, side, fields, jpeg)


def _compare_fields(a: Mapping[str, Any], b: Mapping[str, Any]) -> Sequence[Difference]:
    first, second = ({key: value for key, value in one.items() if key not in _NO_FIELDS} for one in (a, b))
    found = compare_values(first, second)[:_MOST]
    return [Difference(key=one.key[:_LONGEST], a=_limit(one.a), b=_limit(one.b)) for one in found]


def _limit(value: object) -> object:
    """Return a value as an example has it: what is long is cut off and written as a text."""
    return value if isinstance(value, int | float | None) else _shorten(value)


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
