"""Which samples of two exports are the same, and in what the others differ: sets of rows, no sample by itself."""

from enum import IntFlag
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_assets.compare.gather import Rows
from dataset_assets.compare.rows import show_key
from dataset_assets.errors import StorageError

Numbers = NDArray[np.int64]  # of rows


class Kind(IntFlag):
    """In what a sample differs; one that differs in nothing is the same."""

    IMAGE = 1  # the JPEG, or what its fields say of how it was made
    CAPTION = 2  # its text
    VARIANT = 4  # which variant it is of, with the same text
    RECORD = 8  # another field of the JSON, and nothing else


class Reason(IntFlag):
    """In what an image differs."""

    BUCKET = 1
    CROP = 2
    ENCODING = 4
    SOURCE = 8
    BYTES = 16  # of the JPEG


class Matched(NamedTuple):
    """The rows of two exports, each in the order of its keys."""

    a: Numbers  # rows that are in both, in `a` …
    b: Numbers  # … and in `b`
    removed: Numbers  # rows of `a` alone
    added: Numbers  # rows of `b` alone
    kinds: NDArray[np.uint8]  # Kind of those in both
    reasons: NDArray[np.uint8]  # Reason of those in both
    moved: NDArray[np.bool_]  # whether those in both are in tars of another path


class Tars(NamedTuple):
    """What a row's tar says, by its number: numbers that are the same for the same bucket or path in both exports."""

    buckets: NDArray[np.int32]
    paths: NDArray[np.int32]


def name_of(flag: Kind | Reason) -> str:
    """Return what a kind or a reason is called in records and on pages."""
    return str(flag.name).lower()


def match_rows(a: Rows, b: Rows, tars_a: Tars, tars_b: Tars) -> Matched:
    """Return how two exports' rows belong together. Raises StorageError where a key is twice in one of them."""
    (order_a, keys_a), (order_b, keys_b) = _sort(a, "the first"), _sort(b, "the second")
    places = np.searchsorted(keys_b, keys_a)
    found = np.zeros(len(keys_a), np.bool_)
    inside = places < len(keys_b)
    found[inside] = keys_b[places[inside]] == keys_a[inside]
    alone = np.ones(len(keys_b), np.bool_)
    alone[places[found]] = False
    in_a, in_b = order_a[found], order_b[places[found]]
    kinds, reasons = _judge(a, b, in_a, in_b, (tars_a.buckets, tars_b.buckets))
    moved = tars_a.paths[a["tar"][in_a]] != tars_b.paths[b["tar"][in_b]]
    return Matched(in_a, in_b, order_a[~found], order_b[alone], kinds, reasons, moved)


def _sort(rows: Rows, which: str) -> tuple[Numbers, NDArray[np.bytes_]]:
    """Return the rows in the order of their keys, and the keys in it."""
    keys = np.ascontiguousarray(rows["key"])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    if (repeated := np.flatnonzero(keys[1:] == keys[:-1])).size:
        key = show_key(keys[repeated[0]])
        raise StorageError(f"the sample {key} is twice in {which} export; `dataset-assets verify` names the tars")
    return order, keys


def _judge(
    a: Rows, b: Rows, in_a: Numbers, in_b: Numbers, buckets: tuple[NDArray[np.int32], NDArray[np.int32]]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return kinds and reasons of pairs of rows."""

    def differs(column: str) -> NDArray[np.bool_]:
        different: NDArray[np.bool_] = a[column][in_a] != b[column][in_b]
        return different

    def flag(where: NDArray[np.bool_], value: Kind | Reason) -> NDArray[np.uint8]:
        return where * np.uint8(value)

    moved = buckets[0][a["tar"][in_a]] != buckets[1][b["tar"][in_b]]
    reasons = flag(differs("size") | moved, Reason.BUCKET)
    reasons |= flag(differs("crop"), Reason.CROP)
    reasons |= flag(differs("encoding"), Reason.ENCODING)
    reasons |= flag(differs("source"), Reason.SOURCE)
    reasons |= flag(differs("image"), Reason.BYTES)
    text = differs("text")
    kinds = flag(reasons > 0, Kind.IMAGE)
    kinds |= flag(text, Kind.CAPTION)
    kinds |= flag(~text & differs("variant"), Kind.VARIANT)
    kinds |= flag((kinds == 0) & differs("rest"), Kind.RECORD)
    return kinds, reasons
