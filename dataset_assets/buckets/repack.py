"""Closes the gaps that removed and rejected images left in their buckets: the one time that slots change.

Finished crops move with their images, so that nothing is encoded again; plans and tars are made anew by the next build.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from dataset_assets.catalog.slots import free_bucket, next_slots, seated_images, take_slots
from dataset_assets.catalog.state import drop_piece, load_pieces, load_states, void_state
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DamagedError, DropReason
from dataset_assets.images.store import Row, group_rows, make_table, read_crops, writing_crops
from dataset_assets.records import sample_key
from dataset_assets.shards.partition import Partition
from dataset_assets.stages import Stage
from dataset_assets.storage.atomic import remove
from dataset_assets.storage.parquet import find_table
from dataset_assets.work import holding_lock

_PASSING = frozenset(reason.value for reason in DropReason if reason.passing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repacked:
    """What repacking did to a bucket."""

    bucket_id: str
    images: int
    moved: int  # images with another slot than before
    shards_before: int
    shards_after: int


@holding_lock()
def repack_buckets(dataset: Dataset) -> list[Repacked]:
    """Give the images of every bucket slots without gaps, in the order they have; return the buckets that changed.

    Images that were rejected go to the end of their bucket, where they leave no gap. Kept up to date by the next
    build; one that is killed is repeated. Raises StorageError when crops cannot be written, or cannot be read though
    they may be whole: none is given up for that.
    """
    with dataset.catalog.reading() as connection:
        seated = seated_images(connection).select(["bucket_id", "slot", "id", "image_id"]).to_pandas()
        free = next_slots(connection)
    seated["key"] = [sample_key(image_id) for image_id in seated["image_id"]]
    done = []
    for name, before in ((str(bucket_id), rows) for bucket_id, rows in seated.groupby("bucket_id")):
        rejected = before["key"].isin(_find_rejected(dataset, name))
        images = pd.concat([before[~rejected], before[rejected]]).assign(new=range(len(before)))
        moved = images[images["new"] != images["slot"]]
        if len(moved) or free[name] != len(images):
            done.append(_repack(dataset, name, images, moved, free[name]))
    return done


def _repack(dataset: Dataset, bucket_id: str, images: pd.DataFrame, moved: pd.DataFrame, end: int) -> Repacked:
    size = dataset.settings.shards.shard_size
    first = min([*moved["slot"], *moved["new"], len(images)]) // size
    last = max(end - 1, 0) // size
    _forget_shards(dataset, bucket_id, first)
    _move_crops(dataset, bucket_id, dict(zip(images["key"], images["new"], strict=True)), range(first, last + 1))
    rows = [
        {"image": image, "bucket_id": bucket_id, "slot": slot}
        for image, slot in images[["id", "new"]].itertuples(index=False)
    ]
    with dataset.catalog.writing() as connection:
        free_bucket(connection, bucket_id)
        take_slots(connection, rows, {bucket_id: len(images)})
    return Repacked(
        bucket_id=bucket_id,
        images=len(images),
        moved=len(moved),
        shards_before=last + 1,
        shards_after=-(-len(images) // size),
    )


def _forget_shards(dataset: Dataset, bucket_id: str, first: int) -> None:
    """Say that the bucket's shards from `first` on are about to change, and every plan with them."""
    with dataset.catalog.writing() as connection:
        void_state(connection, Stage.BUCKET_ASSIGNMENTS)
        for stage, key in load_states(connection):
            if stage == Stage.RESIZED_CROPS and _is_of(key, bucket_id) and Partition.parse(key).last >= first:
                void_state(connection, stage, key)
        for piece in load_pieces(connection, Stage.RESIZED_CROPS):
            if _is_of(piece.partition, bucket_id) and piece.number >= first:
                drop_piece(connection, piece.stage, piece.partition, piece.number)


def _is_of(key: str, bucket_id: str) -> bool:
    return Partition.parse(key).bucket_id == bucket_id


def _find_rejected(dataset: Dataset, bucket_id: str) -> set[str]:
    """Return the keys of images in a bucket that became no crop, and never will as they are."""
    rejected: set[str] = set()
    folder = dataset.layout.crops(bucket_id, 0).parent
    for path in sorted(folder.glob("*.parquet")):
        table = find_table(path, ["key", "reason"])
        if table is not None:  # else it is made anew, and says so then
            rows = zip(*table.to_pydict().values(), strict=True)
            rejected |= {key for key, reason in rows if reason and reason not in _PASSING}
    return rejected


def _move_crops(dataset: Dataset, bucket_id: str, slots: Mapping[str, int], shards: range) -> None:
    """Write the crops of these shards anew, with the slots that their keys have now.

    Images keep their order and only move forward, so that the rows read so far are all that a shard needs: reading and
    writing go through the files together, and a file is replaced after its rows were read or while it is open.
    """
    size = dataset.settings.shards.shard_size
    empty = set(shards)
    for number, rows in groupby(_order(dataset, bucket_id, slots, shards), key=lambda row: row["slot"] // size):
        with writing_crops(dataset.layout.crops(bucket_id, number)) as writer:
            for group in group_rows(rows):
                writer.write_table(make_table(group))
        empty.remove(number)
    for number in empty:
        remove(dataset.layout.crops(bucket_id, number))


def _order(dataset: Dataset, bucket_id: str, slots: Mapping[str, int], shards: range) -> Iterator[Row]:
    """Yield the rows of these shards' files in the order of their new slots, those of images that are gone left out."""
    rejected: list[Row] = []
    seen: set[str] = set()  # an interrupted repacking leaves some rows in two files
    for number in shards:
        path = dataset.layout.crops(bucket_id, number)
        if not path.exists():
            continue
        try:
            for row in read_crops(path):
                slot = slots.get(row["key"])
                if slot is None or row["key"] in seen or slot < shards.start * dataset.settings.shards.shard_size:
                    continue
                seen.add(row["key"])
                moved = {**row, "slot": slot}
                if row["reason"] and row["reason"] not in _PASSING:
                    rejected.append(moved)
                else:
                    yield moved
        except DamagedError:
            continue  # the crops stage makes what is missing
    yield from sorted(rejected, key=lambda row: int(row["slot"]))
