"""The images that are not exported: examples of each reason, from every stage that leaves images out.

They are found as the stages count them, by the same functions, so that all of a reason are as many as the manifest
says. The examples are those with the smallest keys: they stay the same while others come and go.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.buckets.admit import explain_refused
from dataset_assets.captions.reports.explain import Explanation, explain_images
from dataset_assets.catalog.images import usable_images
from dataset_assets.catalog.lookup import NamedImage, images_seated, unseated_images, unusable_images
from dataset_assets.catalog.slots import slot_table
from dataset_assets.catalog.state import Piece, load_pieces
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DropReason
from dataset_assets.gallery.draw import Original
from dataset_assets.gallery.pictures import THUMB, Album
from dataset_assets.gallery.records import TEXT_LIMIT, LeftOut, Picture
from dataset_assets.gallery.samples import quote
from dataset_assets.images.store import open_rows
from dataset_assets.records import sample_key
from dataset_assets.shards.pack import give_reasons
from dataset_assets.shards.partition import Partition
from dataset_assets.stages import Stage
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import read_table
from dataset_assets.work import condemning

_CROPS = ["slot", "key", "image_id", "reason", "detail", "w", "h"]
# There is nothing to see, or decoding it has failed already.
_UNSEEN = (
    DropReason.EMPTY_FILE,
    DropReason.UNREADABLE,
    DropReason.UNSUPPORTED_FORMAT,
    DropReason.TOO_MANY_PIXELS,
    DropReason.DECODE_ERROR,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dropped:
    """An image that is left out, as the stage knows it that did."""

    key: str
    reason: str
    detail: str
    image_id: str
    original: NamedImage | None = None  # None where the image has a slot: its row in the catalog is looked up
    crop: tuple[Location, int, tuple[int, int]] | None = None  # the file of its crop, which row of it, and its size


def collect_left_out(dataset: Dataset, tars: Sequence[Piece], album: Album) -> list[LeftOut]:
    """Return examples of each reason, by reason in the manifest's order and key; their thumbs are made later.

    `tars` are the pieces of all shards, those without a file, too. Raises StorageError where a file of a stage cannot
    be read.
    """
    limit = dataset.settings.gallery.drops
    if not limit:
        return []
    examples = _Smallest(limit)
    with dataset.catalog.reading() as connection:
        for image in unusable_images(connection):
            examples.offer(_drop(image, image.reason, image.detail))
    for dropped in (*_list_unassigned(dataset), *_list_unpacked(dataset, tars)):
        examples.offer(dropped)
    found = examples.conclude()
    with dataset.catalog.reading() as connection:
        seated = images_seated(connection, [one.image_id for one in found if one.original is None])
    images = {image.image_id: image for image in seated}
    cropped = [images[one.image_id] for one in found if one.crop]
    told = {one.image_id: one for one in explain_images(dataset, cropped)}
    return [
        _show(dataset, one, one.original or images[one.image_id], told.get(one.image_id) if one.crop else None, album)
        for one in found
    ]


def settle_left_out(one: LeftOut, album: Album) -> LeftOut:
    """Return an image with its thumb if that could be made."""
    return replace(one, thumb=album.check(one.thumb))


class _Smallest:
    """Those with the smallest keys of each reason; a few times as many are in memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._found: dict[str, list[_Dropped]] = {}

    def offer(self, one: _Dropped) -> None:
        """Take one in if it may be among the smallest."""
        own = self._found.setdefault(one.reason, [])
        own.append(one)
        if len(own) >= 4 * self._limit:
            self._cut(own)

    def conclude(self) -> list[_Dropped]:
        """Return the smallest of each reason, in order."""
        for own in self._found.values():
            self._cut(own)
        return [one for reason in DropReason for one in self._found.get(reason, ())]

    def _cut(self, own: list[_Dropped]) -> None:
        own.sort(key=lambda one: (one.key, one.image_id))
        del own[self._limit :]


def _drop(image: NamedImage, reason: str, detail: str) -> _Dropped:
    key = sample_key(image.image_id)
    return _Dropped(key=key, reason=reason, detail=detail, image_id=image.image_id, original=image)


def _list_unassigned(dataset: Dataset) -> Iterator[_Dropped]:
    """Yield the usable images that got no slot."""
    comparing = dataset.settings.duplicates.exact == "drop"  # else an image is refused for what it is by itself
    with dataset.catalog.reading() as connection:
        images = (usable_images if comparing else unseated_images)(connection).to_pandas()
        seated = slot_table(connection)["id"].to_pylist() if comparing else []
    if images.empty:
        return
    for row in explain_refused(images, seated, dataset.settings).to_dict("records"):
        names = ("id", "source", "uri", "version", "checksum", "image_id", "width", "height")
        known = {str(name): row[name] for name in names}
        image = NamedImage(**known, reason="", detail="", removed=False, bucket_id="", slot=-1)
        yield _drop(image, row["reason"], row["detail"])


def _list_unpacked(dataset: Dataset, tars: Sequence[Piece]) -> Iterator[_Dropped]:
    """Yield the images that have a slot and are not in their tar: those without a crop, and those left out by it."""
    policy = dataset.settings.captions.missing_caption_policy
    with dataset.catalog.reading() as connection:
        crops = {(one.partition, one.number): one for one in load_pieces(connection, Stage.RESIZED_CROPS)}
    selected: tuple[str, pa.Table | None] = ("", None)
    for tar in tars:
        if not any(tar.facts["drops"].values()):
            continue
        if selected[0] != tar.partition:
            selected = (tar.partition, read_table(dataset.layout.selection(tar.partition)))
        path = dataset.layout.crops(Partition.parse(tar.partition).bucket_id, tar.number)
        piece = crops[tar.partition, tar.number]
        with condemning(dataset, (piece.stage, piece.partition, piece.number), path):
            table = read_table(path, _CROPS)
        choices = selected[1]
        assert choices is not None
        captions = choices.take(pc.index_in(table["slot"], choices["slot"].combine_chunks()))
        reasons = give_reasons(table["reason"], captions, policy)
        table = table.append_column("why", reasons).append_column("row", pa.array(range(len(table))))
        for row in table.filter(pc.not_equal(reasons, "")).to_pylist():
            cropped = not row["reason"]
            yield _Dropped(
                key=row["key"],
                reason=row["why"],
                detail="" if cropped else row["detail"],
                image_id=row["image_id"],
                crop=(path, row["row"], (row["w"], row["h"])) if cropped else None,
            )


def _show(dataset: Dataset, one: _Dropped, image: NamedImage, told: Explanation | None, album: Album) -> LeftOut:
    return LeftOut(
        reason=one.reason,
        detail=one.detail[:TEXT_LIMIT],
        why=told.why if told else "",
        captions=[quote(said) for said in told.captions] if told else [],
        image_id=image.image_id,
        source=image.source,
        uri=image.uri,
        width=image.width,
        height=image.height,
        thumb=_picture(dataset, one, image, album),
    )


def _picture(dataset: Dataset, one: _Dropped, image: NamedImage, album: Album) -> Picture | None:
    """Return the thumb of the crop where there is one, of the source where that can be seen."""
    if one.crop is not None and dataset.settings.images.mode != "passthrough_jpeg":
        path, number, size = one.crop
        with open_rows(path) as rows:
            jpeg = rows[number]["jpeg"]
        return album.want(jpeg, sha256(jpeg).hexdigest(), size, THUMB)[0]
    if one.reason in _UNSEEN or not image.width:
        return None
    original = Original(source=image.source, uri=image.uri, version=image.version, sha256=image.checksum)
    shown = image.checksum or f"{image.source} {image.version} {image.uri}"
    return album.want(original, shown, (image.width, image.height), THUMB)[0]
