"""The images that look alike, as near_duplicates found them: the largest groups, with thumbs of their crops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.catalog.lookup import images_seated
from dataset_assets.catalog.state import Piece
from dataset_assets.dataset import Dataset
from dataset_assets.gallery.draw import Slice
from dataset_assets.gallery.pictures import THUMB, Album
from dataset_assets.gallery.records import NEAR_GROUPS, NEAR_IMAGES, NearGroup, NearImage, Picture
from dataset_assets.gallery.samples import read_stored
from dataset_assets.shards.index import Row
from dataset_assets.shards.indexes import read_columns
from dataset_assets.shards.partition import Partition
from dataset_assets.stages import Stage
from dataset_assets.storage.parquet import read_table
from dataset_assets.work import condemning

_COLUMNS = ["group_id", "image_id", "bucket_id", "distance"]
_PLACES = ["key", "image_id", "shard", "jpg_offset", "jpg_size", "w", "h", "src_w", "src_h", "image_mode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The groups that are shown."""

    rows: pa.Table  # an image each, with _COLUMNS: all of a group, by group, the first image first
    groups: int  # of all there are
    images: int  # in all of them

    @property
    def numbers(self) -> dict[str, int]:
        """The group of each image that is in one that is shown, by image_id."""
        return dict(zip(self.rows["image_id"].to_pylist(), self.rows["group_id"].to_pylist(), strict=True))


def load_groups(dataset: Dataset) -> Groups | None:
    """Return the groups, None where nobody looks for them. Raises StorageError where their file cannot be read."""
    if not dataset.settings.duplicates.near:
        return None
    path = dataset.layout.near_duplicates
    with condemning(dataset, (Stage.NEAR_DUPLICATES, "", 0), path):
        rows = read_table(path, _COLUMNS)
    groups = pc.count_distinct(rows["group_id"]).as_py()
    return Groups(rows=rows.filter(pc.less_equal(rows["group_id"], NEAR_GROUPS)), groups=groups, images=len(rows))


def collect_near(
    dataset: Dataset, groups: Groups | None, tars: Sequence[Piece], keys: Mapping[str, str], album: Album
) -> list[NearGroup]:
    """Return the groups, the largest first; their thumbs are made later.

    `keys` are those of the samples that the gallery shows, by image_id. Raises DamagedError where an index is damaged,
    StorageError where a tar cannot be read.
    """
    members: dict[int, list[Row]] = {}
    for row in groups.rows.to_pylist() if groups else ():
        members.setdefault(row["group_id"], []).append(row)
    wanted = [row["image_id"] for rows in members.values() for row in rows[:NEAR_IMAGES]]
    thumbs = _want_thumbs(dataset, tars, wanted, album)
    return [
        NearGroup(
            number=number,
            count=len(rows),
            images=[
                NearImage(
                    image_id=row["image_id"],
                    bucket_id=row["bucket_id"],
                    distance=row["distance"],
                    key=keys.get(row["image_id"], ""),
                    thumb=thumbs.get(row["image_id"]),
                )
                for row in rows[:NEAR_IMAGES]
            ],
        )
        for number, rows in sorted(members.items())
    ]


def settle_group(group: NearGroup, album: Album) -> NearGroup:
    """Return a group with the thumbs that could be made."""
    return replace(group, images=[replace(one, thumb=album.check(one.thumb)) for one in group.images])


def _want_thumbs(dataset: Dataset, tars: Sequence[Piece], image_ids: Sequence[str], album: Album) -> dict[str, Picture]:
    """Return thumbs of the crops of images, by image_id; one that is not in the export has none."""
    with dataset.catalog.reading() as connection:
        images = images_seated(connection, image_ids)
    pieces = {(Partition.parse(tar.partition).bucket_id, tar.number): tar for tar in tars if tar.path}
    wanted: dict[tuple[str, int], list[str]] = {}
    for image in images:
        tar = (image.bucket_id, image.slot // dataset.settings.shards.shard_size)
        wanted.setdefault(tar, []).append(image.image_id)
    thumbs = {}
    for place in sorted(wanted.keys() & pieces.keys()):
        rows = pa.concat_tables(read_columns(dataset, [pieces[place]], _PLACES))
        for row in rows.filter(pc.is_in(rows["image_id"], pa.array(wanted[place], pa.string()))).to_pylist():
            crop = Slice(path=dataset.layout.export / row["shard"], offset=row["jpg_offset"], size=row["jpg_size"])
            size = (row["src_w"], row["src_h"]) if row["image_mode"] == "passthrough_jpeg" else (row["w"], row["h"])
            shown = sha256(read_stored(crop.path, crop.offset, crop.size)).hexdigest()
            thumbs[row["image_id"]] = album.want(crop, shown, size, THUMB)[0]
    return thumbs
