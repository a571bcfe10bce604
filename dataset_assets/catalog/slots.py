"""Which image sits in which slot of which bucket. A slot is for life and never given twice (docs/design.md)."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, func, select

from dataset_assets.catalog.database import insert_rows, upsert
from dataset_assets.catalog.schema import buckets, images, slots
from dataset_assets.catalog.tables import fetch_table

SLOT_SCHEMA = pa.schema([("id", pa.int64()), ("bucket_id", pa.string()), ("slot", pa.int64())])
SEATED_SCHEMA = pa.schema(
    [
        ("bucket_id", pa.string()),
        ("slot", pa.int64()),
        ("id", pa.int64()),
        ("image_id", pa.string()),
        ("source", pa.string()),
        ("uri", pa.string()),
        ("version", pa.string()),
        ("revision", pa.string()),
        ("sidecars", pa.string()),
    ]
)


def slot_table(connection: Connection) -> pa.Table:
    """Return every slot that is taken, with the columns of `SLOT_SCHEMA`; `id` is the image's row."""
    return fetch_table(connection, select(slots.c.image, slots.c.bucket_id, slots.c.slot), SLOT_SCHEMA)


def count_slots(connection: Connection) -> dict[str, int]:
    """Return how many slots of each bucket are taken; a bucket without one has no entry."""
    counted = select(slots.c.bucket_id, func.count()).group_by(slots.c.bucket_id).order_by(slots.c.bucket_id)
    return {bucket_id: count for bucket_id, count in connection.execute(counted)}


def next_slots(connection: Connection) -> dict[str, int]:
    """Return the first slot of each bucket that was never given; a bucket without one has no entry."""
    return {bucket_id: slot for bucket_id, slot in connection.execute(select(buckets))}


def release_slots(connection: Connection, rows: Sequence[int]) -> None:
    """Empty the slots of the images with these row ids."""
    if rows:
        connection.execute(delete(slots).where(slots.c.image == bindparam("row")), [{"row": row} for row in rows])


def take_slots(connection: Connection, rows: Sequence[Mapping[str, Any]], next_free: Mapping[str, int]) -> None:
    """Give images (`image`, `bucket_id`, `slot`) their slots and note the next free one of each bucket."""
    upsert(connection, buckets, [{"bucket_id": name, "next_slot": slot} for name, slot in next_free.items()])
    insert_rows(connection, slots, rows)


def seated_images(connection: Connection, seats: tuple[str, range] | None = None) -> pa.Table:
    """Return the images in slots with the columns of `SEATED_SCHEMA`, by bucket and slot.

    `seats` narrows it to a range of slots of one bucket.
    """
    statement: Select[Any] = (
        select(
            slots.c.bucket_id,
            slots.c.slot,
            *(images.c[name] for name in SEATED_SCHEMA.names if name not in ("bucket_id", "slot")),
        )
        .join_from(slots, images)
        .order_by(slots.c.bucket_id, slots.c.slot)
    )
    if seats is not None:
        statement = statement.where(in_seats(*seats))
    return fetch_table(connection, statement, SEATED_SCHEMA)


def in_seats(bucket_id: str, seats: range) -> ColumnElement[bool]:
    """Return the condition that a slot is one of these of a bucket."""
    return and_(slots.c.bucket_id == bucket_id, slots.c.slot >= seats.start, slots.c.slot < seats.stop)


def repeated_ids(connection: Connection) -> list[str]:
    """Return the ids that more than one image in a slot has."""
    statement = select(images.c.image_id).join_from(slots, images).group_by(images.c.image_id).having(func.count() > 1)
    return list(connection.execute(statement).scalars())


def free_bucket(connection: Connection, bucket_id: str) -> None:
    """Empty every slot of a bucket."""
    connection.execute(delete(slots).where(slots.c.bucket_id == bucket_id))
