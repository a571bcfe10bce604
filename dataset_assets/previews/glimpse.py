"""Which crops stand for a partition, or for images that look alike, in a strip: read from where they rest, and drawn.

They are those of the smallest keys, from shards spread over the partition: the same crops give the same strip. What
cannot be read is left out. Only the row groups of these crops are read, and of a tar only their bytes.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from heapq import nsmallest
from itertools import accumulate, groupby
from math import ceil
from operator import itemgetter
from typing import Any

import pyarrow.parquet as pq

from dataset_assets.catalog.lookup import images_named
from dataset_assets.catalog.state import Piece, load_pieces
from dataset_assets.counts import count_noun
from dataset_assets.damage import index_path
from dataset_assets.dataset import Dataset
from dataset_assets.errors import StorageError
from dataset_assets.previews.strip import COLUMNS, Band, Strip, Tile, draw_strip
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import list_targets
from dataset_assets.stages import Stage
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.location import Location, read_part
from dataset_assets.storage.parquet import open_table, read_table

CROPS = 8  # of a partition
GROUPS = 4  # of images that look alike, the largest; of each as many as stand side by side

_ROW = ["slot", "key", "image_id", "reason"]
_SAMPLE = ["key", "image_id", "caption", "caption_variant", "jpg_offset", "jpg_size"]

Row = dict[str, Any]


def show_crops(dataset: Dataset, key: str) -> Strip | None:
    """Return a strip of the crops of a partition, None where there is none to be shown."""
    pieces = [piece for piece in _list_pieces(dataset, Stage.RESIZED_CROPS, key) if piece.facts["crops"]]
    chosen, most = _spread(pieces)
    choose = partial(_choose_keys, most)
    tiles = [tile for piece in chosen for tile in _read_crops(dataset.layout.root / piece.path, choose)]
    return _draw_partition(dataset, key, tiles, count_noun(sum(piece.facts["crops"] for piece in pieces), "crop"))


def show_samples(dataset: Dataset, key: str) -> Strip | None:
    """Return a strip of the samples in a partition's tars with their captions, None where there is none to be shown."""
    pieces = _list_pieces(dataset, Stage.SHARDS, key)
    chosen, most = _spread(pieces)
    tiles = [tile for piece in chosen for tile in _read_samples(dataset.layout, piece, most)]
    return _draw_partition(dataset, key, tiles, count_noun(sum(piece.facts["count"] for piece in pieces), "sample"))


def show_groups(dataset: Dataset) -> Strip | None:
    """Return a strip of the largest groups of images that look alike, a band each; None where there is none."""
    try:
        found = read_table(dataset.layout.near_duplicates, ["group_id", "image_id"]).to_pylist()  # the largest first
    except StorageError:
        return None
    groups = [[row["image_id"] for row in rows] for _, rows in groupby(found, itemgetter("group_id"))]
    return draw_strip(
        [
            Band(
                title=f"group {number}",
                facts=count_noun(len(group), "image"),
                tiles=_find_crops(dataset, group[:COLUMNS]),
            )
            for number, group in enumerate(groups[:GROUPS], 1)
        ]
    )


def _list_pieces(dataset: Dataset, stage: str, key: str) -> list[Piece]:
    with dataset.catalog.reading() as connection:
        return [piece for piece in load_pieces(connection, stage, key) if piece.path]


def _spread(pieces: Sequence[Piece]) -> tuple[list[Piece], int]:
    """Return some of a partition's shards, equally far apart, and how many crops to take of each."""
    count = min(CROPS, len(pieces))
    chosen = [pieces[place * len(pieces) // count] for place in range(count)]
    return chosen, ceil(CROPS / max(count, 1))


def _draw_partition(dataset: Dataset, key: str, tiles: Sequence[Tile], count: str) -> Strip | None:
    bucket_id = Partition.parse(key).bucket_id
    width, height = list_targets(dataset.settings)[bucket_id]
    return draw_strip([Band(title=bucket_id, facts=f"{width} x {height}   ·   {count}", tiles=tiles[:CROPS])])


def _find_crops(dataset: Dataset, image_ids: Sequence[str]) -> list[Tile]:
    """Return the crops of some images, wherever they rest."""
    with dataset.catalog.reading() as connection:
        named = {one.image_id: one for one in images_named(connection, image_ids) if one.slot >= 0}
    tiles = []
    for image_id in image_ids:
        if seat := named.get(image_id):
            path = dataset.layout.crops(seat.bucket_id, seat.slot // dataset.settings.shards.shard_size)
            tiles += _read_crops(path, partial(_choose_slot, seat.slot))
    return tiles


def _choose_keys(count: int, rows: Sequence[Row]) -> list[Row]:
    return nsmallest(count, rows, itemgetter("key"))


def _choose_slot(slot: int, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["slot"] == slot]


def _read_crops(path: Location, choose: Callable[[Sequence[Row]], list[Row]]) -> list[Tile]:
    """Return the crops of a file whose rows are chosen, as they stand in it; none of a file that cannot be read."""
    try:
        with open_table(path) as file:
            rows = [{**row, "row": number} for number, row in enumerate(file.read(_ROW).to_pylist())]
            chosen = choose([row for row in rows if not row["reason"]])
            return list(_read_jpegs(file, sorted(chosen, key=itemgetter("row"))))
    except StorageError:
        return []


def _read_jpegs(file: pq.ParquetFile, rows: Sequence[Row]) -> Iterator[Tile]:
    """Yield the crops of some rows; of each row group only the images are read, once."""
    ends = [*accumulate(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))]
    for group, some in groupby(rows, lambda row: bisect_right(ends, row["row"])):
        jpegs = file.read_row_group(group, ["jpeg"])["jpeg"]
        start = ends[group] - len(jpegs)
        for row in some:
            yield Tile(image_id=row["image_id"], jpeg=jpegs[row["row"] - start].as_py())


def _read_samples(layout: Layout, tar: Piece, count: int) -> list[Tile]:
    """Return the samples of a tar that have the smallest keys; none where tar or index cannot be read."""
    try:
        rows = read_table(index_path(layout, tar), _SAMPLE).to_pylist()
        return [_read_sample(layout.root / tar.path, row) for row in _choose_keys(count, rows)]
    except (StorageError, OSError):
        return []


def _read_sample(tar: Location, row: Row) -> Tile:
    return Tile(
        image_id=row["image_id"],
        jpeg=read_part(tar, row["jpg_offset"], row["jpg_size"]),
        caption=row["caption"],
        variant=row["caption_variant"],
    )
