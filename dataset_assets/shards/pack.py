"""Crops and their captions to the members of one tar and the rows of its index, column by column.

JPEG bytes go from the table of the crops into the tar as they are, and nothing that was written is parsed again: what
the index says of a sample is known. No path, no catalog and no partition here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dataset_assets.errors import DamagedError, DropReason
from dataset_assets.shards.index import SAMPLE_SCHEMA, Row
from dataset_assets.shards.sample import MEMBERS, dump_members
from dataset_assets.shards.tar import TarWriter

# What the index and the JSON say of a crop, in the file of the crops.
_FACTS = (
    *("key", "image_id", "w", "h", "src_w", "src_h", "quality", "subsampling"),
    *("scale", "x", "y", "corner", "source_sha256"),
)
CROP_COLUMNS = ["slot", "reason", *_FACTS, "jpeg"]
_CAPTION = ("text", "variant", "selector_index", "caption_source")
# The index's names of columns that are called otherwise before.
_RENAMED = {
    "crop_scale": "scale", "crop_x": "x", "crop_y": "y", "crop_corner": "corner", "caption": "text",
    "caption_variant": "variant", "caption_selector_index": "selector_index", "caption_source_id": "caption_source",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """What all samples of a tar have in common."""

    path: str  # of the tar in the export
    bucket_id: str
    target: tuple[int, int]  # (width, height), pixels
    image_mode: str
    missing_caption_policy: str


@dataclass(slots=True)
class Tally:
    """What went into a tar and what was left out."""

    count: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    selected: Counter[str] = field(default_factory=Counter)  # by selector index; JSON's keys are text
    sources: set[int] = field(default_factory=set)


def admit(crops: Iterable[pa.Table], chosen: pa.Table, shard: Shard, tally: Tally) -> Iterator[pa.Table]:
    """Yield the samples that belong into the tar, in slot order, some megabytes at a time; count all.

    `crops` are parts of a file of crops with CROP_COLUMNS, `chosen` the rows of the selection for the same slots, both
    by slot. The tables have the columns of both. Raises DamagedError for a sample that lacks a fact.
    """
    slots = chosen["slot"].to_numpy()
    for group in crops:
        captions = chosen.take(pa.array(_find_rows(slots, group["slot"].to_numpy(), shard)))
        if group["reason"].null_count or captions["drop"].null_count:
            raise DamagedError(f"{shard.path}: of some samples it is not said whether they belong into it")
        reasons = give_reasons(group["reason"], captions, shard.missing_caption_policy)
        kept = pc.equal(reasons, "")
        counts = pc.value_counts(reasons.filter(pc.invert(kept))).to_pylist()
        tally.drops.update({count["values"]: count["counts"] for count in counts})
        samples = group.select([*_FACTS, "jpeg"])
        for name in _CAPTION:
            samples = samples.append_column(name, captions[name])
        if len(counts):
            samples = samples.filter(kept)
        if lacking := [name for name in samples.column_names if samples[name].null_count]:
            raise DamagedError(f"{shard.path}: there are samples without {', '.join(lacking)}")
        if len(samples):
            _count(samples, tally)
            yield samples


def _find_rows(slots: NDArray[np.int64], wanted: NDArray[np.int64], shard: Shard) -> NDArray[np.int64]:
    """Return where each wanted slot stands among `slots`. Raises DamagedError where one does not."""
    places = np.minimum(np.searchsorted(slots, wanted), max(len(slots) - 1, 0))
    if len(wanted) and not (len(slots) and np.array_equal(slots[places], wanted)):
        raise DamagedError(f"{shard.path}: the crops and the selection are not of the same samples")
    return places


def give_reasons(reasons: pa.ChunkedArray, captions: pa.Table, missing_caption_policy: str) -> pa.ChunkedArray:
    """Return why each sample is left out, "" for one that is not.

    `reasons` are those of the crops' file, `captions` the rows of the selection for the same slots.
    """
    reasons = pc.if_else(pc.equal(reasons, ""), captions["drop"], reasons)
    if missing_caption_policy == "drop":
        lost = pc.and_(pc.equal(reasons, ""), pc.less(captions["selector_index"], 0))
        reasons = pc.if_else(lost, DropReason.NO_CAPTION.value, reasons)
    return reasons


def _count(samples: pa.Table, tally: Tally) -> None:
    tally.count += len(samples)
    captioned = pc.greater_equal(samples["selector_index"], 0)
    tally.selected.update(map(str, samples["selector_index"].filter(captioned).to_pylist()))
    tally.sources.update(samples["caption_source"].filter(captioned).to_pylist())


def pack(tar: TarWriter, samples: Iterable[pa.Table], shard: Shard) -> Iterator[pa.Table]:
    """Add samples to a tar and yield their rows of its index, with the columns of SAMPLE_SCHEMA.

    `samples` are tables as `admit` yields them. Raises ValueError for what the format cannot hold.
    """
    for group in samples:
        facts = group.drop_columns(["jpeg"])
        jpegs = (memoryview(value.as_buffer()) for value in group["jpeg"])
        places: list[int] = []
        for row, jpeg in zip(facts.to_pylist(), jpegs, strict=True):
            members = dump_members(row["key"], jpeg, row["text"], _describe(row, shard))
            for offset, (_, data) in zip(tar.add_all(members), members, strict=True):
                places += (offset, len(data))
        yield _index(facts, places, shard)


def _describe(row: Row, shard: Shard) -> dict[str, object]:
    """Return the sample's JSON (docs/format.md, Samples), in the order of SAMPLE_FIELDS.

    Its types are those of the columns.
    """
    return {
        "image_id": row["image_id"],
        "bucket_id": shard.bucket_id,
        "target_w": shard.target[0],
        "target_h": shard.target[1],
        "w": row["w"],
        "h": row["h"],
        "src_w": row["src_w"],
        "src_h": row["src_h"],
        "image_mode": shard.image_mode,
        "jpeg": {"quality": row["quality"], "subsampling": row["subsampling"]},
        "crop": {"scale": row["scale"], "x": row["x"], "y": row["y"], "corner": row["corner"]},
        "source_sha256": row["source_sha256"],
        "caption_variant": row["variant"],
        "caption_selector_index": row["selector_index"],
        "caption_source_id": row["caption_source"],
    }


def _index(facts: pa.Table, places: list[int], shard: Shard) -> pa.Table:
    """Return the rows of the index of samples that were just added; `places` are offset and size of each member."""
    count = len(facts)
    known: dict[str, Any] = {
        "bucket_id": shard.bucket_id,
        "shard": shard.path,
        "target_w": shard.target[0],
        "target_h": shard.target[1],
        "image_mode": shard.image_mode,
    }
    columns = {name: pa.array([value] * count) for name, value in known.items()}
    numbers = np.array(places, np.int64).reshape(count, len(MEMBERS), 2)
    for member, extension in enumerate(MEMBERS):
        for number, name in enumerate(("offset", "size")):
            columns[f"{extension}_{name}"] = pa.array(numbers[:, member, number])
    for name in SAMPLE_SCHEMA.names:
        if name not in columns:
            columns[name] = facts[_RENAMED.get(name, name)]
    return pa.table({name: columns[name] for name in SAMPLE_SCHEMA.names}).cast(SAMPLE_SCHEMA)
