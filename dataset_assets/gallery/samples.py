"""What the gallery says of each sample that it shows: what its tar holds, where it comes from, and all its captions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from dataset_assets.captions.reports.explain import Explanation, ShownCaption, explain_images
from dataset_assets.catalog.lookup import NamedImage, images_seated
from dataset_assets.dataset import Dataset
from dataset_assets.errors import StorageError
from dataset_assets.gallery.choose import Chosen
from dataset_assets.gallery.draw import Original, Slice
from dataset_assets.gallery.pictures import LARGE, ORIGIN, THUMB, Album
from dataset_assets.gallery.records import TEXT_LIMIT, Said, Sample
from dataset_assets.images.geometry import find_part
from dataset_assets.storage.location import Location, read_part


def collect_samples(dataset: Dataset, chosen: Sequence[Chosen], album: Album, near: Mapping[str, int]) -> list[Sample]:
    """Return the samples in the order of `chosen`; their pictures are made later, and what is told of them comes then.

    `near` is the number of the group of those that are shown in one, by image_id. Raises StorageError where a tar
    cannot be read.
    """
    images = _find_images(dataset, [str(one.row["image_id"]) for one in chosen])
    return [_describe(dataset, one, images[one.row["image_id"]], album, near) for one in chosen]


def explain_samples(dataset: Dataset, samples: Sequence[Sample]) -> dict[str, Explanation]:
    """Return what there is to say of the captions of samples, by image_id; it takes as long as some of the pictures.

    Raises StorageError where the crops of a partition cannot be read.
    """
    images = _find_images(dataset, [one.image_id for one in samples])
    return {one.image_id: one for one in explain_images(dataset, list(images.values()))}


def settle_sample(sample: Sample, album: Album, told: Explanation) -> Sample:
    """Return a sample with the pictures that could be made, and with what is told of its captions.

    Raises StorageError where a picture of its crop could not be made.
    """
    if fault := album.find_fault(sample.large) or album.find_fault(sample.thumb):
        raise StorageError(f"{sample.shard}: the image of {sample.key} is damaged: {fault}")
    captions = [quote(one) for one in told.captions]
    return replace(sample, origin=album.check(sample.origin), why=told.why, captions=captions)


def _find_images(dataset: Dataset, image_ids: Sequence[str]) -> dict[str, NamedImage]:
    with dataset.catalog.reading() as connection:
        return {image.image_id: image for image in images_seated(connection, image_ids)}


def _describe(dataset: Dataset, chosen: Chosen, image: NamedImage, album: Album, near: Mapping[str, int]) -> Sample:
    row = chosen.row
    tar = dataset.layout.export / row["shard"]
    jpeg, fields = (read_stored(tar, row[f"{name}_offset"], row[f"{name}_size"]) for name in ("jpg", "json"))
    source, cropped = (row["src_w"], row["src_h"]), row["image_mode"] != "passthrough_jpeg"
    stored = (row["w"], row["h"]) if cropped else source
    place = Slice(path=tar, offset=row["jpg_offset"], size=row["jpg_size"])
    large, thumb = album.want(place, sha256(jpeg).hexdigest(), stored, LARGE, THUMB)
    original = Original(source=image.source, uri=image.uri, version=image.version, sha256=row["source_sha256"])
    (origin,) = album.want(original, row["source_sha256"], source, ORIGIN)
    return Sample(
        **{name: row[name] for name in ("key", "image_id", "bucket_id", "shard", "source_sha256", "image_mode")},
        **{name: row[name] for name in ("src_w", "src_h", "w", "h", "quality", "subsampling")},
        number=chosen.number,
        source=image.source,
        uri=image.uri,
        bytes=row["jpg_size"],
        box=find_part(source, (row["w"], row["h"]), (row["crop_x"], row["crop_y"]), cropped=cropped),
        scale=row["crop_scale"],
        thumb=thumb,
        large=large,
        origin=origin,
        variant=row["caption_variant"],
        selector=row["caption_selector_index"],
        text=row["caption"][:TEXT_LIMIT],
        length=len(row["caption"]),
        why="",
        captions=(),
        near=near.get(image.image_id, 0),
        fields=fields.decode(errors="replace")[:TEXT_LIMIT],
    )


def read_stored(path: Location, offset: int, size: int) -> bytes:
    """Return a member's data from a tar of the export. Raises StorageError where that cannot be read."""
    try:
        return read_part(path, offset, size)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from None


def quote(one: ShownCaption) -> Said:
    """Return what a caption source says of an image, as the page gets it."""
    return Said(
        variant=one.variant,
        caption_source=one.caption_source,
        backend=one.backend,
        model=one.model,
        status=one.said.status,
        text=one.said.text[:TEXT_LIMIT],
        length=len(one.said.text),
        detail=one.said.detail[:TEXT_LIMIT],
        counts=one.counts,
        current=one.current,
        selector=one.selector,
        findings=[found.finding for found in one.findings],
        cost=one.said.cost,
        provider=one.said.provider,
        created_at=one.said.created_at,
        won=one.won,
    )
