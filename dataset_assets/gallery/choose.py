"""Which samples of the export the gallery shows: those with the smallest keys of each bucket.

A key is a hash, so they are a fair sample that stays the same while the export grows. Nothing but the indexes of the
tars is read, and of those only the keys: of millions of samples as many are in memory as are shown.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.catalog.state import Piece
from dataset_assets.dataset import Dataset
from dataset_assets.errors import OrderError
from dataset_assets.shards.index import Row
from dataset_assets.shards.indexes import read_columns
from dataset_assets.shards.partition import Partition

_KEYS = pa.schema([("key", pa.string()), ("tar", pa.int32()), ("number", pa.int32())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A sample of the export: its row of its tar's index, and which sample of the tar it is, from 0."""

    row: Row
    number: int


def share_out(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    """Return how many samples of each bucket are shown, given how many each has: `limit` in all, and at least one each.

    Every bucket gets as many as every other, as far as it has them: what small ones leave goes to the larger ones.
    """
    shares = {}
    for place, (name, count) in enumerate(sorted(counts.items(), key=lambda one: (one[1], one[0]))):
        shares[name] = max(1, min(count, limit // (len(counts) - place)))
        limit -= shares[name]
    return shares


def choose_samples(dataset: Dataset, tars: Sequence[Piece], limit: int, also: Collection[str] = ()) -> list[Chosen]:
    """Return the samples that are shown, by bucket and key: `limit` of all, and those with the keys `also`.

    `tars` are the pieces of all tars of the export. Raises OrderError for a key that no sample has, DamagedError where
    an index is damaged.
    """
    buckets: dict[str, list[int]] = {}
    for place, tar in enumerate(tars):
        buckets.setdefault(Partition.parse(tar.partition).bucket_id, []).append(place)
    shares = share_out({name: sum(tars[one].facts["count"] for one in own) for name, own in buckets.items()}, limit)
    wanted = pa.array(sorted(also), pa.string())
    picked = [_pick(dataset, tars, own, shares[name], wanted) for name, own in buckets.items()]
    keys = pa.concat_tables([_KEYS.empty_table(), *picked])
    if lost := sorted(set(also).difference(keys["key"].to_pylist())):
        raise OrderError(f"the export has no sample with the key {lost[0]}: run `dataset-assets build`")
    chosen = _read_rows(dataset, tars, keys)
    return sorted(chosen, key=lambda one: (one.row["bucket_id"], one.row["key"]))


def _pick(dataset: Dataset, tars: Sequence[Piece], own: Iterable[int], share: int, also: pa.Array) -> pa.Table:
    """Return the smallest keys of a bucket and those of `also`, with the columns of _KEYS; `own` are its tars."""
    smallest, asked = _KEYS.empty_table(), [_KEYS.empty_table()]
    for place in own:
        keys = pa.concat_tables(read_columns(dataset, [tars[place]], ["key"]))["key"]
        tar = pa.array(np.full(len(keys), place, np.int32))
        table = pa.table([keys, tar, pa.array(np.arange(len(keys), dtype=np.int32))], schema=_KEYS)
        asked.append(table.filter(pc.is_in(keys, also)))
        both = pa.concat_tables([smallest, table])
        smallest = both.take(pc.select_k_unstable(both, share, [("key", "ascending")]))
    extra = pa.concat_tables(asked)
    return pa.concat_tables([smallest, extra.filter(pc.invert(pc.is_in(extra["key"], smallest["key"])))])


def _read_rows(dataset: Dataset, tars: Sequence[Piece], keys: pa.Table) -> Iterator[Chosen]:
    """Yield the samples with these keys, a tar at a time."""
    for place in pc.unique(keys["tar"]).to_pylist():
        numbers = keys.filter(pc.equal(keys["tar"], place))["number"]
        rows = pa.concat_tables(read_columns(dataset, [tars[place]])).take(numbers)
        for row, number in zip(rows.to_pylist(), numbers.to_pylist(), strict=True):
            yield Chosen(row=row, number=number)
