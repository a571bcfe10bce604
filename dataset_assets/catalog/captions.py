"""Captions and where they came from: one row an image and caption source. Which one wins is captions/waterfall.py."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, nextafter
from operator import itemgetter
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, and_, bindparam, case, cast, exists, false, func, insert, not_, or_, select, update

from dataset_assets.catalog.database import cut, insert_into, upsert
from dataset_assets.catalog.schema import caption_sources, captions, slots, spending
from dataset_assets.catalog.slots import in_seats
from dataset_assets.catalog.tables import fetch_table

CAPTION_SCHEMA = pa.schema(
    [
        ("slot", pa.int64()),
        ("id", pa.int64()),
        ("caption_source", pa.int32()),
        ("status", pa.string()),
        ("text", pa.string()),
        ("input_version", pa.string()),
        ("attempts", pa.int32()),
    ]
)
_USAGE = ("prompt_tokens", "completion_tokens", "cost", "latency")


class CaptionStatus(StrEnum):
    """What became of asking for a caption. Only OK is ever selected, unless the review's policy keeps another."""

    OK = "ok"
    MISSING = "missing"  # there is no file, or no such field in it
    EMPTY = "empty"  # there is a text, and nothing in it
    TRUNCATED = "truncated"  # the model was cut off at max_tokens
    REFUSED = "refused"  # the model says that it will not
    FILTERED = "filtered"  # the service's content filter stopped it
    PLACEHOLDER = "placeholder"  # the text stands for no caption: "placeholder image", "[insert caption]"
    UNAVAILABLE = "unavailable"  # the text says that there is no image to see
    ERROR = "error"  # it could not be read, or there was no answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceIdentity:
    """What makes captions of one source: another prompt, model or parameter is another source."""

    variant: str
    backend: str
    model: str
    system_prompt_sha256: str = ""  # "" where there is no prompt
    user_prompt_sha256: str = ""
    parameters: str = "{}"  # canonical JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionSource(SourceIdentity):
    """One way captions of a variant were made: a row of the manifest's caption_sources."""

    id: int
    created_at: int  # unix seconds
    activated_at: float = 0  # unix seconds: when the settings came to name it; 0 for one that they never did
    system_prompt: str = ""  # where it is known; never exported
    user_prompt: str = ""

    @property
    def since(self) -> float:
        """Since when it is in use, unix seconds: of several sources of a variant the newest wins by this."""
        return max(self.created_at, self.activated_at)

    @property
    def identity(self) -> SourceIdentity:
        """What tells it from the others."""
        return SourceIdentity(**{name: getattr(self, name) for name in _IDENTITY})


_IDENTITY = tuple(SourceIdentity.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a variant has cost so far."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0  # USD


def register_source(
    connection: Connection, identity: SourceIdentity, *, prompts: tuple[str, str] = ("", ""), created_at: int = 0
) -> CaptionSource:
    """Return the source with this identity; the first time it is made, created now unless `created_at` says when.

    `prompts` are the texts of system and user prompt, kept where they are known.
    """
    row = {name: getattr(identity, name) for name in _IDENTITY}
    found = select(caption_sources).filter_by(**row)
    known = connection.execute(found).first()
    if known is None:
        texts = dict(zip(("system_prompt", "user_prompt"), prompts, strict=True))
        connection.execute(insert(caption_sources).values(created_at=created_at or int(time.time()), **texts, **row))
        known = connection.execute(found).one()
    return _source(known)


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
            captions.c.attempts,
        )
        .join_from(slots, captions, slots.c.image == captions.c.image)
        .where(in_seats(bucket_id, seats))
    )
    return fetch_table(connection, statement, CAPTION_SCHEMA)


def sum_usage(connection: Connection, source: CaptionSource, bucket_id: str, seats: range) -> dict[str, float]:
    """Return what a source's captions of the images in a range of slots cost: tokens, and `cost` in USD."""
    names = ("prompt_tokens", "completion_tokens", "cost")
    sums = {name: func.coalesce(func.sum(captions.c[name]), 0) for name in names}
    statement = (
        select(*(cast(total, captions.c[name].type).label(name) for name, total in sums.items()))
        .join_from(slots, captions, slots.c.image == captions.c.image)
        .where(in_seats(bucket_id, seats))
        .where(captions.c.caption_source == source.id)
    )
    return dict(connection.execute(statement).mappings().one())


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


def count_newest(connection: Connection, sources: Iterable[CaptionSource]) -> dict[tuple[str, str], int]:
    """Return how many images in slots have a caption of these sources, by (variant, status); each once a variant.

    Of several sources of a variant, the newest that has a row for an image says its status.
    """
    known = {source.id: source for source in sources}
    newer = captions.alias("newer")
    replaced = []
    for source in known.values():
        after = [one.id for one in known.values() if one.variant == source.variant and _order(one) > _order(source)]
        if after:
            later = exists().where(newer.c.image == captions.c.image, newer.c.caption_source.in_(after))
            replaced.append(and_(captions.c.caption_source == source.id, later))
    counted = (
        select(captions.c.caption_source, captions.c.status, func.count())
        .join_from(captions, slots, slots.c.image == captions.c.image)
        .where(captions.c.caption_source.in_(list(known)), not_(or_(false(), *replaced)))
        .group_by(captions.c.caption_source, captions.c.status)
    )
    counts: Counter[tuple[str, str]] = Counter()
    for number, status, count in connection.execute(counted):
        counts[known[number].variant, status] += count
    return dict(counts)


def _order(source: CaptionSource) -> tuple[float, int]:
    """Return what is greater the newer a source is."""
    return source.since, source.id


def activate_source(connection: Connection, source: CaptionSource) -> CaptionSource:
    """Return the source as the one that the settings name for its variant, now if they named another before.

    So one that they come back to is the newest again, also where the clock of the machine that named the other is
    ahead of this one's.
    """
    newest = select(func.max(caption_sources.c.activated_at), func.max(caption_sources.c.created_at))
    named, made = connection.execute(newest.filter_by(variant=source.variant)).one()
    if source.activated_at and source.activated_at >= named:
        return source
    now = max(time.time(), nextafter(max(named, made), inf))
    connection.execute(update(caption_sources).filter_by(id=source.id).values(activated_at=now))
    return replace(source, activated_at=now)


def record_answers(connection: Connection, source: CaptionSource, rows: Sequence[Mapping[str, Any]]) -> float:
    """Write a model's answers and what they cost; return what the source's variant has cost in all, USD.

    A row is one of `captions` without `caption_source` and `attempts`. Of an image that was asked about before, the
    attempts and the usage are added up. An answer that is an error does not replace a text of the same input.
    """
    statement = insert_into(connection, captions)
    new = statement.excluded
    again = captions.c.input_version == new.input_version
    worse = and_(again, new.status == CaptionStatus.ERROR.value, captions.c.text != "")
    changed: dict[str, Any] = {
        name: case((worse, captions.c[name]), else_=new[name])
        for name in ("status", "text", "detail", "finish_reason", "provider", "created_at")
    }
    changed |= {name: case((again, captions.c[name] + new[name]), else_=new[name]) for name in ("attempts", *_USAGE)}
    changed |= {"input_version": new.input_version}
    ordered = sorted(rows, key=itemgetter("image"))  # two that write at a time never wait for each other
    answers = [{**row, "caption_source": source.id, "attempts": 1} for row in ordered]
    connection.execute(
        statement.on_conflict_do_update(index_elements=["image", "caption_source"], set_=changed), answers
    )
    return _spend(connection, source.variant, rows)


def forgive_attempts(connection: Connection, source: CaptionSource, rows: Iterable[int]) -> None:
    """Take one attempt back from the captions of these images: it was not their fault that there was no answer."""
    statement = update(captions).where(captions.c.image == bindparam("row"), captions.c.attempts > 0)
    forgiven = [{"row": row} for row in rows]
    if forgiven:
        statement = statement.where(captions.c.caption_source == source.id)
        connection.execute(statement.values(attempts=captions.c.attempts - 1), forgiven)


def copy_captions(connection: Connection, source: CaptionSource, inputs: Mapping[int, str]) -> int:
    """Give images the ok captions that a source has of the same inputs; return how many that were.

    `inputs` maps an image's row to what a caption of it would be made from. So a file that was renamed, or is there
    twice, is not paid for again: the copy costs nothing.
    """
    images_of: dict[str, list[int]] = {}
    for row, made_from in inputs.items():
        images_of.setdefault(made_from, []).append(row)
    copies: dict[int, dict[str, Any]] = {}
    for some in cut(images_of):
        found = select(captions).where(
            captions.c.caption_source == source.id,
            captions.c.input_version.in_(some),
            captions.c.status == CaptionStatus.OK.value,
        )
        for known in connection.execute(found).mappings():
            free = dict(known) | dict.fromkeys(_USAGE, 0)
            copies |= {image: free | {"image": image} for image in images_of[known["input_version"]]}
    upsert(connection, captions, copies.values())
    return len(copies)


def _spend(connection: Connection, variant: str, rows: Sequence[Mapping[str, Any]]) -> float:
    """Add what these answers cost to the variant's account; return what it has cost in all, USD."""
    names = ("prompt_tokens", "completion_tokens", "cost")
    more = {"requests": len(rows), **{name: sum(row[name] for row in rows) for name in names}}
    statement = insert_into(connection, spending).values(variant=variant, **more)
    added = {name: spending.c[name] + statement.excluded[name] for name in more}
    connection.execute(statement.on_conflict_do_update(index_elements=["variant"], set_=added))
    return float(connection.execute(select(spending.c.cost).filter_by(variant=variant)).scalar_one())


def mean_cost(connection: Connection, source: CaptionSource) -> float:
    """Return what asking for one caption of a source has cost on average, USD; 0 where that is not known."""
    total = select(func.sum(captions.c.cost), func.sum(captions.c.attempts)).filter_by(caption_source=source.id)
    cost, attempts = connection.execute(total.where(captions.c.cost > 0)).one()
    return float(cost / attempts) if attempts else 0.0


def load_spending(connection: Connection) -> dict[str, Spending]:
    """Return what each variant has cost so far; one that never cost anything has no entry."""
    rows = connection.execute(select(spending)).mappings()
    return {row["variant"]: Spending(**{name: row[name] for name in Spending.__dataclass_fields__}) for row in rows}


def _source(row: Any) -> CaptionSource:
    return CaptionSource(**{name: getattr(row, name) for name in CaptionSource.__dataclass_fields__})
