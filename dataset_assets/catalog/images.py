"""The index of images: what was found, what it is like, or why it cannot be used. Its writer is the scan."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, Select, bindparam, func, select, update

from dataset_assets.catalog.database import insert_rows
from dataset_assets.catalog.schema import images
from dataset_assets.catalog.tables import fetch_table

KNOWN_SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("source", pa.string()),
        ("uri", pa.string()),
        ("image_id", pa.string()),
        ("version", pa.string()),
        ("revision", pa.string()),
        ("checksum", pa.string()),
        ("sidecars", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("reason", pa.string()),
        ("removed", pa.bool_()),
    ]
)
USABLE_SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("source", pa.string()),
        ("uri", pa.string()),
        ("version", pa.string()),
        ("image_id", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("checksum", pa.string()),
    ]
)


def known_images(connection: Connection) -> pa.Table:
    """Return every row the scan compares with, removed ones too, with the columns of `KNOWN_SCHEMA`."""
    return fetch_table(connection, _columns(KNOWN_SCHEMA), KNOWN_SCHEMA)


def usable_images(connection: Connection) -> pa.Table:
    """Return the images that can be put into buckets, with the columns of `USABLE_SCHEMA`."""
    wanted = _columns(USABLE_SCHEMA).where(~images.c.removed, images.c.reason == "")
    return fetch_table(connection, wanted, USABLE_SCHEMA)


def insert_images(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add images that no row is there for."""
    insert_rows(connection, images, rows)


def update_images(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Give the images named by `id` new values; every row has the same columns."""
    if not rows:
        return
    values: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "id"}
    statement = update(images).where(images.c.id == bindparam("row_id")).values(values)
    connection.execute(statement, [{**row, "row_id": row["id"]} for row in rows])


def record_checksums(connection: Connection, checksums: Iterable[tuple[int, str]]) -> None:
    """Keep the sha256 of images whose bytes were read, by row id."""
    update_images(connection, [{"id": row, "checksum": checksum} for row, checksum in checksums])


def count_images(connection: Connection) -> dict[str, int]:
    """Return how many images there are by reason, "" for the usable ones; removed ones are not counted."""
    counted = select(images.c.reason, func.count()).where(~images.c.removed).group_by(images.c.reason)
    return {reason: count for reason, count in connection.execute(counted)}


def _columns(schema: pa.Schema) -> Select[Any]:
    return select(*(images.c[name] for name in schema.names))
