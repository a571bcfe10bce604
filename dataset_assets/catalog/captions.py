"""Captions and where they came from: one row an image and caption source. Which one wins is captions/waterfall.py."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, func, insert, select

from dataset_assets.catalog.database import upsert
from dataset_assets.catalog.schema import caption_sources, captions, slots
from dataset_assets.catalog.tables import fetch_table

CAPTION_SCHEMA = pa.schema(
    [
        ("slot", pa.int64()),
        ("id", pa.int64()),
        ("caption_source", pa.int32()),
        ("status", pa.string()),
        ("text", pa.string()),
        ("input_version", pa.string()),
    ]
)


class CaptionStatus(StrEnum):
    """What became of asking for a caption. Only OK is ever selected."""

    OK = "ok"
    EMPTY = "empty"  # there is a text, and nothing in it
    UNAVAILABLE = "unavailable"  # there is no text
    ERROR = "error"  # it could not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionSource:
    """One way captions of a variant were made: a row of the manifest's caption_sources (SPEC 1.5)."""

    id: int
    variant: str
    backend: str
    model: str
    created_at: int  # unix seconds
    system_prompt_sha256: str
    user_prompt_sha256: str


def register_source(
    connection: Connection, *, variant: str, backend: str, model: str, parameters: str
) -> CaptionSource:
    """Return the source with this identity; the first time it is made, created now."""
    identity = {
        "variant": variant,
        "backend": backend,
        "model": model,
        "system_prompt_sha256": "",
        "user_prompt_sha256": "",
        "parameters": parameters,
    }
    found = select(caption_sources).filter_by(**identity)
    row = connection.execute(found).first()
    if row is None:
        connection.execute(insert(caption_sources).values(created_at=int(time.time()), **identity))
        row = connection.execute(found).one()
    return _source(row)


def list_sources(connection: Connection) -> tuple[CaptionSource, ...]:
    """Return every caption source, by id."""
    return tuple(_source(row) for row in connection.execute(select(caption_sources).order_by(caption_sources.c.id)))


def put_captions(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write captions; one of the same image and source is replaced."""
    upsert(connection, captions, rows)


def seated_captions(connection: Connection, bucket_id: str, seats: range) -> pa.Table:
    """Return all captions of the images in a range of slots, with the columns of `CAPTION_SCHEMA`."""
    statement = (
        select(
            slots.c.slot,
            captions.c.image,
            captions.c.caption_source,
            captions.c.status,
            captions.c.text,
            captions.c.input_version,
        )
        .join_from(slots, captions, slots.c.image == captions.c.image)
        .where(slots.c.bucket_id == bucket_id, slots.c.slot >= seats.start, slots.c.slot < seats.stop)
    )
    return fetch_table(connection, statement, CAPTION_SCHEMA)


def count_captions(connection: Connection, sources: Iterable[CaptionSource]) -> dict[tuple[str, str], int]:
    """Return how many images in slots have a caption of these sources, by (variant, status)."""
    counted = (
        select(caption_sources.c.variant, captions.c.status, func.count(captions.c.image.distinct()))
        .join_from(captions, caption_sources)
        .join(slots, slots.c.image == captions.c.image)
        .where(captions.c.caption_source.in_([source.id for source in sources]))
        .group_by(caption_sources.c.variant, captions.c.status)
    )
    return {(variant, status): count for variant, status, count in connection.execute(counted)}


def _source(row: Any) -> CaptionSource:
    return CaptionSource(**{name: getattr(row, name) for name in CaptionSource.__dataclass_fields__})
