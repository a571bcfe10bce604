"""The plan of a partition: one row an image, in slot order, with all that the later stages need to know of it.

bucket_assignments writes the plans whose rows changed; `write_plan` writes one again whose file was lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.buckets.protos import list_buckets
from dataset_assets.catalog.slots import SEATED_SCHEMA, seated_images
from dataset_assets.catalog.state import (
    Piece,
    StageState,
    forget_partitions,
    load_pieces,
    load_states,
    put_piece,
    put_state,
    void_state,
)
from dataset_assets.damage import INDEX, is_whole, survey
from dataset_assets.dataset import Dataset
from dataset_assets.errors import OrderError
from dataset_assets.freshness import fingerprint
from dataset_assets.settings import Settings
from dataset_assets.shards.partition import Partition, slots_per_partition
from dataset_assets.stages import Stage
from dataset_assets.storage.atomic import remove
from dataset_assets.storage.location import path_in
from dataset_assets.storage.parquet import read_table, write_table
from dataset_assets.work import Outcome, holding_lock

# SEATED_SCHEMA's columns and the target size of the bucket, pixels.
PLAN_SCHEMA = pa.schema([*SEATED_SCHEMA, ("target_w", pa.int32()), ("target_h", pa.int32())])

# What each of the later stages is made from: a change in other columns leaves it fresh.
_DIGESTS = {
    "rows": PLAN_SCHEMA.names,
    "pixels": ["slot", "image_id", "revision", "target_w", "target_h"],
    "seats": ["slot", "id"],
    "sidecars": ["id", "source", "uri", "sidecars"],
}


@dataclass(frozen=True, slots=True)
class PlanChanges:
    """Which partitions there are, and what became of their plans."""

    digests: Mapping[str, str] = field(default_factory=dict)  # partition key → digest of its rows
    changed: Sequence[str] = ()
    removed: Sequence[str] = ()


def write_plans(dataset: Dataset) -> PlanChanges:
    """Write the plan of every partition whose rows changed; forget the partitions that have no rows any more."""
    with dataset.catalog.reading() as connection:
        seated = seated_images(connection)
        states = load_states(connection)
        pieces = load_pieces(connection)
    plans = [piece for piece in pieces if piece.stage == Stage.SHARD_PLANS]
    look = survey(dataset.layout, plans)
    whole = {piece.partition for piece in plans if is_whole(dataset.layout, piece, look)}
    digests: dict[str, str] = {}
    changed = []
    for partition, rows in _cut(dataset.settings, seated):
        made = _digest(rows)
        digests[partition.key] = made["rows"]
        old = states.get((Stage.SHARD_PLANS, partition.key))
        if old is None or old.interrupted or old.output != made["rows"] or partition.key not in whole:
            _write(dataset, partition, rows, made)
            changed.append(partition.key)
    removed = sorted(key for stage, key in states if stage == Stage.SHARD_PLANS and key not in digests)
    _forget(dataset, removed, pieces, kept=[Partition.parse(key) for key in digests])
    return PlanChanges(digests, changed, removed)


def list_plans(dataset: Dataset) -> dict[str, str]:
    """Return the digest of every plan that is recorded, by partition key."""
    with dataset.catalog.reading() as connection:
        states = load_states(connection)
    return {key: state.output for (stage, key), state in sorted(states.items()) if stage == Stage.SHARD_PLANS}


@holding_lock("key")
def write_plan(dataset: Dataset, key: str, *, force: bool = False) -> Outcome:
    """Return the plan's state, after writing it again from the catalog if its file is not there as it was written.

    Raises OrderError for a partition that bucket_assignments has not made.
    """
    partition = Partition.parse(key)
    with dataset.catalog.reading() as connection:
        states = load_states(connection, [key])
        pieces = load_pieces(connection, Stage.SHARD_PLANS, key)
        if (Stage.SHARD_PLANS, key) not in states:
            raise OrderError(f"there is no partition {key}: materialize bucket_assignments, which makes them, first")
        state = states[Stage.SHARD_PLANS, key]
        if not force and not state.interrupted and pieces and is_whole(dataset.layout, pieces[0]):
            return Outcome(state, reused=True)
        seats = (partition.bucket_id, partition.slots(dataset.settings.shards.shard_size))
        rows = _aim(dataset.settings, partition.bucket_id, seated_images(connection, seats))
    return Outcome(_write(dataset, partition, rows, _digest(rows)))


def read_plan(dataset: Dataset, key: str) -> pa.Table:
    """Return the rows of a partition with the columns of `PLAN_SCHEMA`, by slot. Raises StorageError."""
    return read_table(dataset.layout.plan(key))


def split_shards(rows: pa.Table, shard_size: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield the number of each shard that has rows, and those rows; `rows` has a column `slot` and is ordered by it."""
    numbers = rows["slot"].to_numpy() // shard_size
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield int(numbers[start]), rows.slice(start, end - start)


def _cut(settings: Settings, seated: pa.Table) -> Iterator[tuple[Partition, pa.Table]]:
    """Yield every partition with its rows; `seated` is ordered by bucket and slot."""
    runs = pc.run_end_encode(seated["bucket_id"].combine_chunks())
    start = 0
    for bucket_id, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        rows = _aim(settings, bucket_id, seated.slice(start, end - start))
        start = end
        for number, part in split_shards(rows, slots_per_partition(settings.shards)):
            yield Partition.of(bucket_id, number, settings.shards.shards_per_partition), part


def _aim(settings: Settings, bucket_id: str, rows: pa.Table) -> pa.Table:
    """Return the rows of one bucket with its target size."""
    width, height = list_targets(settings)[bucket_id]
    for name, side in (("target_w", width), ("target_h", height)):
        rows = rows.append_column(name, pa.array(np.full(len(rows), side, np.int32)))
    return rows


@lru_cache(maxsize=8)
def list_targets(settings: Settings) -> dict[str, tuple[int, int]]:
    """Return the (width, height) of each bucket's crops, pixels, by bucket id."""
    buckets = list_buckets(settings.buckets)
    return {bucket.id: bucket.target for bucket in buckets}


def _digest(rows: pa.Table) -> dict[str, str]:
    return {name: fingerprint(rows.select(columns).to_pydict()) for name, columns in _DIGESTS.items()}


def _write(dataset: Dataset, partition: Partition, rows: pa.Table, digests: Mapping[str, str]) -> StageState:
    path = dataset.layout.plan(partition.key)
    with dataset.catalog.writing() as connection:
        void_state(connection, Stage.SHARD_PLANS, partition.key)
    write_table(path, rows)
    inputs = {Stage.BUCKET_ASSIGNMENTS: digests["rows"]}
    state = StageState(
        stage=Stage.SHARD_PLANS,
        partition=partition.key,
        fingerprint=fingerprint(inputs),
        output=digests["rows"],
        report={"images": len(rows), "digests": dict(digests), "inputs": inputs},
    )
    piece = Piece(
        stage=Stage.SHARD_PLANS,
        partition=partition.key,
        path=path_in(dataset.layout.root, path),
        bytes=path.stat().st_size,
    )
    with dataset.catalog.writing() as connection:
        put_piece(connection, piece)
        put_state(connection, state)
    return state


def _forget(dataset: Dataset, removed: Sequence[str], pieces: Sequence[Piece], *, kept: Sequence[Partition]) -> None:
    """Remove the partitions' files and records; a shard that another partition has now stays for it to reuse.

    The records go last: while they are there, a killed process's successor knows what is left to remove.
    """
    gone = set(removed)
    taken = {(one.bucket_id, shard) for one in kept for shard in one.shards}
    for piece in pieces:
        if piece.partition not in gone or not piece.path:
            continue
        shared = piece.stage in (Stage.RESIZED_CROPS, Stage.SHARDS, Stage.SHARDS_INTACT)
        if not (shared and (Partition.parse(piece.partition).bucket_id, piece.number) in taken):
            remove(dataset.layout.root / piece.path)
            if index := piece.facts.get(INDEX):
                remove(dataset.layout.root / index["path"])
    with dataset.catalog.writing() as connection:
        forget_partitions(connection, removed)
