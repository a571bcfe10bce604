"""The rows of merged metadata, whatever their texts and sizes come from: to bytes for every file, and to counts. Pure.

What joins the inputs by id is stretch.py, and the rows of a bucketed export are export.py's.
"""

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.trainer.inputs.rows import Lack, measure
from dataset_assets.trainer.merge.tally import EMPTY, Tally
from dataset_assets.trainer.merge.turns import Block
from dataset_assets.trainer.output.render import (
    JOINT,
    cut_by_split,
    quote_keys,
    render_captions,
    render_list,
    render_reasons,
    render_records,
    render_sizes,
    view,
)
from dataset_assets.trainer.output.texts import make_strings, unescape

CAPTIONS, ARCHIVE, REASONS = "meta_cap.json", "meta_cap.tar.gz", "missing_reasons.jsonl"
MISSING = ("tags", "caption", "latent")  # as missing.json has them
ARCHIVE_LEVEL = 3  # of gzip: above it each per cent of size takes a third more time

_TAGS, _CAPTION, _NONE = "tags", "caption", "none"  # sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the metadata looks like, and which files there are."""

    prefix: str = ""
    dialect: Literal["json", "jsonl"] = "json"
    split: int = 1
    captions: bool = True  # meta_cap.json
    archive: bool = True  # of it
    numeric: bool = True  # keys are ids, and not hashes

    @property
    def names(self) -> tuple[str, ...]:
        """The files that are written by turns, in the order of their numbers: merged metadata comes first."""
        ending = self.dialect
        merged = [f"meta_merged_{part}.{ending}" for part in range(self.split)]
        if self.split == 1:
            merged = [f"meta_merged.{ending}"]
        captions = [CAPTIONS, *([ARCHIVE] if self.archive else [])] if self.captions else []
        return (*merged, *captions, REASONS, *(f"missing_{name}" for name in MISSING))

    def find(self, name: str) -> int:
        """Return the number of a file."""
        return self.names.index(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some ids in the order of the files. Texts are as JSON has them, null where there is none; each has its lack."""

    keys: pa.LargeStringArray  # without folder and quotes
    ids: npt.NDArray[np.int64]  # what `split` cuts by
    tags: pa.LargeStringArray
    tags_lack: npt.NDArray[np.int8]
    captions: pa.LargeStringArray
    captions_lack: npt.NDArray[np.int8]
    marks: npt.NDArray[np.uint8]  # of the captions, as their estimate of tokens
    tokens: npt.NDArray[np.int64]
    made_of: pa.LargeStringArray  # what our records say of a caption's origin; null where nobody does
    width: pa.Array  # pixels
    height: pa.Array
    latent_lack: npt.NDArray[np.int8]


def render(rows: Rows, form: Form) -> tuple[list[Block], Tally]:
    """Return the bytes of some rows for each file that gets any, and what is counted of them."""
    keys = quote_keys(rows.keys, form.prefix)
    shown = rows.keys if form.numeric and not form.prefix else keys  # as a value: a number where it is one
    own = rows.captions_lack == Lack.NONE
    texts = pc.coalesce(rows.captions, rows.tags)
    tails = render_sizes(rows.width, rows.height, rows.latent_lack == Lack.NONE)
    merged = render_records(shown if form.dialect == "jsonl" else keys, rows.tags, texts, tails, form.dialect)
    joint = len(JOINT) if form.dialect == "json" else 0
    blocks = [
        Block(file=part, data=view(entries)[joint:], joint=JOINT[:joint])
        for part, entries in (cut_by_split(merged, rows.ids % form.split) if form.split > 1 else [(0, merged)])
    ]
    if form.captions and own.any():
        blocks += _render_captions(keys.filter(pa.array(own)), rows.captions.filter(pa.array(own)), form)
    lacks = dict(zip(MISSING, (rows.tags_lack, rows.captions_lack, rows.latent_lack), strict=True))
    blocks += _render_missing(keys, shown, lacks, form)
    return blocks, _count(rows, own, lacks)


def _render_captions(keys: pa.LargeStringArray, captions: pa.LargeStringArray, form: Form) -> Iterator[Block]:
    entries = view(render_captions(keys, captions))[len(JOINT) :]
    yield Block(file=form.find(CAPTIONS), data=entries, joint=JOINT)
    if form.archive:
        yield Block(file=form.find(ARCHIVE), data=compress(entries), joint=compress(JOINT))


def compress(data: bytes | memoryview, level: int = ARCHIVE_LEVEL) -> bytes:
    """Return a whole gzip member without a time; members after each other are one file."""
    squeeze = zlib.compressobj(level, zlib.DEFLATED, 31)
    return squeeze.compress(data) + squeeze.flush()


def _render_missing(
    keys: pa.LargeStringArray, shown: pa.LargeStringArray, lacks: dict[str, npt.NDArray[np.int8]], form: Form
) -> Iterator[Block]:
    """Yield the lists of what is missing, and the lines that say why, in the order of the keys."""
    told_reasons = pa.array([lack.name.lower() for lack in Lack], pa.large_string())
    lines, places = [], []
    for name, lack in lacks.items():
        missing = np.flatnonzero(lack)
        if len(missing):
            entries = keys.take(pa.array(missing))
            joined = view(render_list(entries))[len(JOINT) :]
            yield Block(file=form.find(f"missing_{name}"), data=joined, joint=JOINT)
        told = np.flatnonzero((lack != Lack.NONE) & (lack != Lack.NO_INPUT))  # the last is said once, of all
        reasons = told_reasons.take(pa.array(lack[told].astype(np.int64)))
        lines.append(render_reasons(shown.take(pa.array(told)), name, reasons))
        places.append(told)
    order = np.argsort(np.concatenate(places), kind="stable")
    if len(order):
        told_lines = pa.concat_arrays(lines).take(pa.array(order))
        yield Block(file=form.find(REASONS), data=view(told_lines))


def _count(rows: Rows, own: npt.NDArray[np.bool_], lacks: dict[str, npt.NDArray[np.int8]]) -> Tally:
    fallen = ~own & (rows.tags_lack == Lack.NONE)  # their tags are their captions
    marks, tokens = rows.marks.copy(), rows.tokens.copy()
    if fallen.any():
        texts = make_strings([unescape(text) for text in rows.tags.filter(pa.array(fallen)).to_pylist()])
        found = measure(texts)
        marks[fallen], tokens[fallen] = found["marks"], found["tokens"]
    empty = (rows.captions_lack == Lack.EMPTY) | (rows.tags_lack == Lack.EMPTY)
    sources = np.where(empty, EMPTY, _NONE).astype(object)
    sources[fallen] = _TAGS
    told = rows.made_of.to_numpy(False)
    sources[own] = np.where(find_copies(rows.captions, rows.tags), _TAGS, _CAPTION)[own]
    known = own & rows.made_of.is_valid().to_numpy(False)
    sources[known] = told[known]
    tally = Tally(ids=len(own), sources=Counter(sources.tolist()))
    tally.count_texts(rows.keys, marks, tokens, own | fallen)
    for name, lack in lacks.items():
        numbers, counts = np.unique(lack[lack != Lack.NONE], return_counts=True)
        reasons = {Lack(number).name.lower(): int(count) for number, count in zip(numbers, counts, strict=True)}
        tally.reasons[name] = Counter(reasons)
    return tally


def find_copies(captions: pa.LargeStringArray, tags: pa.LargeStringArray) -> npt.NDArray[np.bool_]:
    """Return which captions are really their tags, with commas between them or without."""
    likely = _find_alike(captions, tags)
    places = pa.array(np.flatnonzero(likely))
    some, theirs = captions.take(places), tags.take(places)
    same = pc.or_(pc.equal(some, theirs), pc.equal(some, pc.replace_substring(theirs, ", ", " ")))
    likely[likely] = same.to_numpy(False)
    return likely


def _find_alike(captions: pa.LargeStringArray, tags: pa.LargeStringArray) -> npt.NDArray[np.bool_]:
    """Return which captions have the same first letter and the same last ones as their tags: few others do."""
    both: npt.NDArray[np.bool_] = captions.is_valid().to_numpy(False) & tags.is_valid().to_numpy(False)
    if not both.any():
        return both
    (starts, ends, data), (other_starts, other_ends, other_data) = _open(captions), _open(tags)
    both &= (ends - starts <= other_ends - other_starts) & (ends - starts > 2)
    places = np.flatnonzero(both)
    same = data[starts[places] + 1] == other_data[other_starts[places] + 1]
    for back in (2, 3):
        same &= data[ends[places] - back] == other_data[other_ends[places] - back]
    both[places] = same
    return both


def _open(texts: pa.LargeStringArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int64, len(texts) + 1, texts.offset * 8)
    return places[:-1], places[1:], np.frombuffer(data, np.uint8)
