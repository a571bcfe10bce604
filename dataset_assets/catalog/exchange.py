"""Captions that leave the catalog and come into it as files, or are changed by hand: the queries for that.

What such a file looks like, and which of its rows is taken, is said in captions/files/.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, exists, func, select, update

from dataset_assets.catalog.captions import CaptionSource, CaptionStatus
from dataset_assets.catalog.database import BATCH, cut
from dataset_assets.catalog.schema import caption_sources, captions, images, slots

_OF_SOURCES = ("variant", "backend", "model", "system_prompt_sha256", "user_prompt_sha256", "parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """An image that an image_id may mean."""

    id: int
    image_id: str
    source: str
    checksum: str  # "" until its bytes were read
    removed: bool
    seated: bool  # whether it is in a slot


def count_sourced(connection: Connection, variants: Collection[str] = ()) -> int:
    """Return how many captions there are of these variants, or of all, removed images' too."""
    statement = select(func.count()).select_from(captions.join(caption_sources))
    return int(connection.execute(_narrow(statement, variants)).scalar_one())


def stream_captions(
    connection: Connection, columns: Sequence[str], variants: Collection[str] = ()
) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield all captions of these variants, or of all, BATCH at a time, in the order of images and caption sources.

    `columns` names what each row holds: image_id and source of the image, variant and the rest of the caption source's
    identity, source_created_at, and columns of `captions`.
    """
    statement = (
        select(*(_find_column(name) for name in columns))
        .select_from(captions.join(images).join(caption_sources))
        .order_by(captions.c.image, captions.c.caption_source)  # the order of an index: nothing is sorted
    )
    result = connection.execute(_narrow(statement, variants), execution_options={"yield_per": BATCH})
    for rows in result.partitions():
        yield [tuple(row) for row in rows]


def _find_column(name: str) -> Any:
    if name in ("image_id", "source"):
        return images.c[name]
    if name in _OF_SOURCES:
        return caption_sources.c[name]
    return caption_sources.c.created_at if name == "source_created_at" else captions.c[name]


def _narrow(statement: Select[Any], variants: Collection[str]) -> Select[Any]:
    return statement.where(caption_sources.c.variant.in_(list(variants))) if variants else statement


def find_images(connection: Connection, image_ids: Collection[str]) -> dict[str, list[FoundImage]]:
    """Return the images that have these ids, by id; the likeliest first.

    That is one in a slot, then one that is there, then the one that has been known longest.
    """
    statement = select(
        images.c.id,
        images.c.image_id,
        images.c.source,
        images.c.checksum,
        images.c.removed,
        slots.c.image.is_not(None).label("seated"),
    ).join_from(images, slots, slots.c.image == images.c.id, isouter=True)
    found = [
        FoundImage(**row)
        for some in cut(image_ids)
        for row in connection.execute(statement.where(images.c.image_id.in_(some))).mappings()
    ]
    by_id: dict[str, list[FoundImage]] = {}
    for one in sorted(found, key=lambda one: (not one.seated, one.removed, one.id)):
        by_id.setdefault(one.image_id, []).append(one)
    return by_id


def find_captions(connection: Connection, rows: Collection[int]) -> dict[tuple[int, int], dict[str, Any]]:
    """Return all captions of the images with these row ids, by image and caption source."""
    names = captions.c.keys()
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for some in cut(rows):
        for values in connection.execute(select(captions).where(captions.c.image.in_(some))):
            row = dict(zip(names, values, strict=True))
            found[row["image"], row["caption_source"]] = row
    return found


def seated_in(
    connection: Connection, rows: Collection[int] | Select[Any], slots_per_partition: int
) -> list[tuple[str, int]]:
    """Return the bucket and the number of each partition in which these images sit, in order.

    `rows` are row ids of images, or a selection of them.
    """
    number = slots.c.slot // slots_per_partition
    statement = select(slots.c.bucket_id, number.label("number")).distinct()
    found: set[tuple[str, int]] = set()
    for some in [rows] if isinstance(rows, Select) else cut(rows):
        found |= {(bucket, number) for bucket, number in connection.execute(statement.where(slots.c.image.in_(some)))}
    return sorted(found)


def select_images(source: CaptionSource, statuses: Collection[CaptionStatus]) -> Select[Any]:
    """Return the selection of the images whose caption of a source has one of these statuses."""
    names = [status.value for status in statuses]
    return select(captions.c.image).where(captions.c.caption_source == source.id, captions.c.status.in_(names))


def reset_attempts(connection: Connection, source: CaptionSource, statuses: Collection[CaptionStatus]) -> int:
    """Let the captions of a source with these statuses count as never asked for; return how many they are."""
    names = [status.value for status in statuses]
    wanted = (captions.c.caption_source == source.id, captions.c.status.in_(names))
    return connection.execute(update(captions).where(*wanted).values(attempts=0)).rowcount


def antedate_source(connection: Connection, source: CaptionSource, created_at: int) -> None:
    """Give a source without captions the earlier time of two at which it was made, unix seconds."""
    unused = ~exists().where(captions.c.caption_source == source.id)
    earlier = update(caption_sources).where(
        caption_sources.c.id == source.id, caption_sources.c.created_at > created_at
    )
    connection.execute(earlier.where(unused).values(created_at=created_at))
