"""Images by their names or by what became of them, and all that was ever said of them.

Which one a person means is captions/reports/find.py's.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, Select, and_, func, or_, select

from dataset_assets.catalog.database import cut
from dataset_assets.catalog.images import USABLE_SCHEMA
from dataset_assets.catalog.schema import captions, images, slots
from dataset_assets.catalog.tables import fetch_table

_FETCH = 1_000  # rows a fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedImage:
    """An image of the index, and where it sits."""

    id: int
    source: str
    uri: str
    version: str  # what the source said of the file when it was scanned
    checksum: str  # sha256 of its bytes, "" until they were read
    image_id: str
    width: int  # pixels; 0 where unusable
    height: int
    reason: str  # a DropReason, "" where usable
    detail: str
    removed: bool
    bucket_id: str  # "" where it has no slot
    slot: int  # -1 where it has none


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedCaption:
    """What one source has said of an image: the catalog's row."""

    caption_source: int
    status: str
    text: str
    detail: str
    input_version: str
    created_at: float  # unix seconds
    attempts: int
    finish_reason: str
    provider: str
    prompt_tokens: int
    completion_tokens: int
    cost: float  # USD
    latency: float  # seconds


def images_at(connection: Connection, places: Collection[tuple[str, str]]) -> list[NamedImage]:
    """Return the images at these places, each a source and a uri there."""
    if not places:
        return []
    there = [and_(images.c.source == source, images.c.uri == uri) for source, uri in places]
    return _fetch(connection, _found().where(or_(*there)))


def images_named(connection: Connection, names: Collection[str]) -> list[NamedImage]:
    """Return the images that have one of these texts as their image_id or their uri."""
    return _fetch(connection, _found().where(or_(images.c.image_id.in_(list(names)), images.c.uri.in_(list(names)))))


def images_seated(connection: Connection, image_ids: Collection[str]) -> list[NamedImage]:
    """Return the images in slots that have these ids."""
    seated = _found().where(slots.c.slot.is_not(None))
    return [one for some in cut(image_ids) for one in _fetch(connection, seated.where(images.c.image_id.in_(some)))]


def unusable_images(connection: Connection) -> Iterator[NamedImage]:
    """Yield the images that cannot be used, those that were removed apart; few are in memory at a time."""
    statement = _found().where(images.c.reason != "", ~images.c.removed).execution_options(yield_per=_FETCH)
    for row in connection.execute(statement).mappings():
        yield NamedImage(**row)


def unseated_images(connection: Connection) -> pa.Table:
    """Return the usable images that have no slot, with the columns of `USABLE_SCHEMA`."""
    columns = [images.c[name] for name in USABLE_SCHEMA.names]
    statement = select(*columns).join_from(images, slots, isouter=True)
    wanted = and_(~images.c.removed, images.c.reason == "", slots.c.slot.is_(None))
    return fetch_table(connection, statement.where(wanted), USABLE_SCHEMA)


def images_alike(connection: Connection, rows: Collection[int]) -> pa.Table:
    """Return these usable images and those with the content of one of them, with the columns of `USABLE_SCHEMA`."""
    columns = [images.c[name] for name in USABLE_SCHEMA.names]
    contents = select(images.c.checksum).where(images.c.id.in_(list(rows)), images.c.checksum != "")
    wanted = or_(images.c.id.in_(list(rows)), images.c.checksum.in_(contents))
    statement = select(*columns).where(~images.c.removed, images.c.reason == "", wanted)
    return fetch_table(connection, statement, USABLE_SCHEMA)


def list_names(connection: Connection) -> Iterator[str]:
    """Yield the image_id of every image, removed ones too; few are in memory at a time."""
    yield from connection.execute(select(images.c.image_id).execution_options(yield_per=_FETCH)).scalars()


def captions_of(connection: Connection, rows: Collection[int]) -> dict[int, list[SavedCaption]]:
    """Return every caption of some images, by the image's row; those of an image by caption source."""
    columns = [captions.c[name] for name in SavedCaption.__dataclass_fields__]
    found: dict[int, list[SavedCaption]] = {row: [] for row in rows}
    for some in cut(rows):
        statement = select(captions.c.image, *columns).where(captions.c.image.in_(some))
        for row in connection.execute(statement.order_by(captions.c.image, captions.c.caption_source)).mappings():
            found[row["image"]].append(SavedCaption(**{name: row[name] for name in SavedCaption.__dataclass_fields__}))
    return found


def _found() -> Select[Any]:
    own = [images.c[name] for name in NamedImage.__dataclass_fields__ if name not in ("bucket_id", "slot")]
    place = (func.coalesce(slots.c.bucket_id, "").label("bucket_id"), func.coalesce(slots.c.slot, -1).label("slot"))
    return select(*own, *place).join_from(images, slots, isouter=True).order_by(images.c.id)


def _fetch(connection: Connection, statement: Select[Any]) -> list[NamedImage]:
    return [NamedImage(**row) for row in connection.execute(statement).mappings()]
