"""One sample where it lies: its tar, by the name that a person types, and what the tar holds of it.

Headers and JSON are read, and the one JPEG. What is known of its image otherwise is release/describe.py's to say.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import simplejpeg

from dataset_assets.errors import DatasetError, StorageError
from dataset_assets.images.geometry import Part, find_part
from dataset_assets.shards.index import Row, scan_tar
from dataset_assets.shards.jpeg import read_frame
from dataset_assets.shards.tar import TarError
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.location import Location, path_in, read_part

_TYPED = re.compile(r"(?P<tar>.*(?:\.tar|shard-[0-9]+)):(?P<number>[^:/]*)", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,15}")
_SHARD = re.compile(r"shard-(?P<number>[0-9]{1,6})(?:\.tar)?")
_LISTED = 10  # buckets in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One sample of a tar of the export."""

    shard: str  # path of the tar in the export
    number: int  # which sample of the tar, from 0
    row: Row  # as the tar's index has it, shards/index.py
    box: Part | None  # of the source that the crop shows
    fault: str  # what is wrong with its JPEG, "" for nothing


def names_sample(name: str) -> bool:
    """Return whether a text is a tar, a colon and something that should be a number."""
    return _TYPED.fullmatch(name) is not None


def find_number(layout: Layout, name: str) -> Stored:
    """Return the sample that `name` means: a tar of the export, a colon, and which of its samples, from 0.

    The tar is given by its path on disk or by the end of it; `.tar` and leading zeros may be left out. Raises
    DatasetError where there is no such tar, or several, or no such sample, and StorageError where the tar is damaged.
    """
    typed = _TYPED.fullmatch(name)
    if typed is None or not _NUMBER.fullmatch(typed["number"]):
        raise DatasetError(f"{name}: behind the colon comes which sample of the tar is meant, 0 for the first")
    shard, number, count = _find_tar(layout, typed["tar"]), int(typed["number"]), 0
    for count, row in enumerate(_read_rows(layout, shard), 1):
        if count > number:
            return _make_stored(layout, shard, number, row)
    raise DatasetError(f"{shard} has {count:,} samples, from number 0 on: there is no number {number:,}")


def find_key(layout: Layout, shard: str, key: str) -> Stored | None:
    """Return the sample with a key in the tar `shard`, a path in the export; None where it is not in there.

    Raises StorageError where the tar is damaged before that is known.
    """
    if not (layout.export / shard).exists():
        return None
    for number, row in enumerate(_read_rows(layout, shard)):
        if row["key"] == key:
            return _make_stored(layout, shard, number, row)
    return None


def _find_tar(layout: Layout, typed: str) -> str:
    """Return the path in the export of the tar that a person means."""
    path = PurePath(typed)
    if named := _SHARD.fullmatch(path.name):
        path = path.with_name(f"shard-{int(named['number']):06d}.tar")
    # Of an export all are named so; other names are not looked for.
    tars = sorted((layout.export / "buckets").glob(f"*/{path.name}")) if named else []
    found = [tar for tar in tars if _is_same(tar, path)]
    found = found or [tar for tar in tars if PurePath(str(tar)).parts[-len(path.parts) :] == path.parts]
    if len(found) == 1:
        return path_in(layout.export, found[0])
    if found:
        names = ", ".join(f"{tar.parent.name}/{tar.name}" for tar in found[:_LISTED])
        raise DatasetError(f"{typed} may be any of {len(found):,} tars: {names}. Give one of these")
    raise DatasetError(f"there is no tar {typed} in {layout.export}; {_list_tars(layout, path.parent.name)}")


def _is_same(tar: Location, path: PurePath) -> bool:
    return isinstance(tar, Path) and os.path.realpath(tar) == os.path.realpath(path)


def _list_tars(layout: Layout, bucket: str) -> str:
    """Return which tars there are: of the bucket that was meant, where there is such a one."""
    buckets: dict[str, list[str]] = {}
    for tar in sorted((layout.export / "buckets").glob("*/*.tar")):
        buckets.setdefault(tar.parent.name, []).append(tar.name)
    if bucket in buckets:
        names = buckets[bucket]
        return f"{bucket} has {' to '.join(dict.fromkeys([names[0], names[-1]]))}"
    more = f" and {len(buckets) - _LISTED:,} more" if len(buckets) > _LISTED else ""
    return f"its buckets are {', '.join(list(buckets)[:_LISTED])}{more}" if buckets else "it has none yet: build"


def _read_rows(layout: Layout, shard: str) -> Iterator[Row]:
    """Yield the rows of a tar. Raises StorageError where it is damaged, once the samples before that were yielded."""
    try:
        yield from scan_tar(layout.export / shard, shard)
    except TarError as error:
        raise StorageError(
            f"{shard} is damaged: {error}. Delete it and run `dataset-assets build`: it is written again"
        ) from None


def _make_stored(layout: Layout, shard: str, number: int, row: Row) -> Stored:
    source, target = (row["src_w"], row["src_h"]), (row["target_w"], row["target_h"])
    if min(*source, *target) < 1:
        return Stored(shard=shard, number=number, row=row, box=None, fault="its JSON has sizes that no image has")
    cropped = row["image_mode"] != "passthrough_jpeg"
    box = find_part(source, target, (row["crop_x"], row["crop_y"]), cropped=cropped)
    try:
        jpeg = read_part(layout.export / shard, row["jpg_offset"], row["jpg_size"])
    except OSError as error:
        raise StorageError(f"cannot read {layout.export / shard}: {error.strerror}") from None
    return Stored(shard=shard, number=number, row=row, box=box, fault=_find_fault(jpeg, row, plain=cropped))


def _find_fault(jpeg: bytes, row: Row, *, plain: bool) -> str:
    """Return what is wrong with a sample's JPEG, "" for nothing; a `plain` one, which we encoded, is decoded."""
    try:
        frame = read_frame(jpeg, plain=plain)
        if (frame.width, frame.height) != (row["w"], row["h"]):
            return f"the JPEG is {frame.width}×{frame.height}, but its JSON says {row['w']}×{row['h']}"
        if plain:
            simplejpeg.decode_jpeg(jpeg, colorspace="RGB", strict=True)
    except ValueError as error:
        return f"the JPEG is damaged: {error}"
    return ""
