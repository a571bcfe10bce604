"""What tars offer, kept between two scans: one file a tar, so that a tar that has not changed is not opened again.

The files can be removed at any time: they are made again. One that is damaged, of another version of this project, or
of another tar, is as good as none.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

from dataset_assets.errors import DropReason
from dataset_assets.sources.tars.samples import IdRule, Offer, Offers
from dataset_assets.storage.atomic import remove, write_bytes
from dataset_assets.storage.location import Location

_FORMAT = 1  # one more whenever the same tar would be listed differently
_SUFFIX = ".json.gz"
_LEVEL = 1  # names compress well at any


class Stamp(NamedTuple):
    """What a listing was made of: where one of these differs, it is another."""

    tar: str  # its path in the source
    size: int  # bytes
    stamp: int | str  # of the tar, see FileState
    rule: IdRule


def recall(folder: Location, stamp: Stamp) -> Offers | None:
    """Return what was kept, None where that is not to be had."""
    try:
        kept = json.loads(gzip.decompress(_path(folder, stamp.tar).read_bytes()))
        if kept["stamp"] != _dump_stamp(stamp):
            return None
        return Offers([_parse_offer(row) for row in kept["images"]], kept["ignored"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        return None


def keep(folder: Location, stamp: Stamp, offers: Offers) -> None:
    """Keep what a tar offers. Raises StorageError."""
    text = json.dumps({"stamp": _dump_stamp(stamp), "images": offers.images, "ignored": offers.ignored})
    write_bytes(_path(folder, stamp.tar), gzip.compress(text.encode(), _LEVEL, mtime=0))


def forget_others(folder: Location, tars: Iterable[str]) -> None:
    """Remove what is kept of all tars but these. Raises StorageError."""
    kept = {_path(folder, tar) for tar in tars}
    for path in folder.glob(f"*{_SUFFIX}"):
        if path not in kept:
            remove(path)


def _path(folder: Location, tar: str) -> Location:
    return folder / f"{sha256(os.fsencode(tar)).hexdigest()[:32]}{_SUFFIX}"


def _parse_offer(row: list[Any]) -> Offer:
    name, image_id, (offset, size), sidecars, fault = row
    places = {extension: (at, length) for extension, (at, length) in sidecars.items()}
    return Offer(name, image_id, (offset, size), places, (DropReason(fault[0]), fault[1]) if fault else None)


def _dump_stamp(stamp: Stamp) -> list[str | int]:
    rule = stamp.rule
    return [_FORMAT, stamp.tar, stamp.size, stamp.stamp, rule.by, rule.field, rule.or_key]
