"""Captions added up for people: what an answer costs, and what became of the images. Nothing is written here."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from dataset_assets.catalog.schema import captions, slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a caption took on average, all attempts at it together."""

    answers: int  # the captions that this is the mean of
    prompt_tokens: float = 0
    completion_tokens: float = 0
    cost: float = 0  # USD
    latency: float = 0  # seconds


def measure_usage(connection: Connection, source: int) -> Usage:
    """Return what a caption of a source took on average; captions that no tokens were counted for are left out."""
    names = ("prompt_tokens", "completion_tokens", "cost", "latency")
    statement = select(
        func.count().label("answers"), *(func.coalesce(func.avg(captions.c[name]), 0).label(name) for name in names)
    ).where(captions.c.caption_source == source, captions.c.prompt_tokens + captions.c.completion_tokens > 0)
    row = connection.execute(statement).mappings().one()
    return Usage(answers=row["answers"], **{name: float(row[name]) for name in names})


def count_statuses(connection: Connection, sources: Collection[int]) -> dict[int, dict[str, int]]:
    """Return how many images in slots have a caption of each source, by status; a source without one has no entry."""
    counted = (
        select(captions.c.caption_source, captions.c.status, func.count())
        .join_from(captions, slots, slots.c.image == captions.c.image)
        .where(captions.c.caption_source.in_(list(sources)))
        .group_by(captions.c.caption_source, captions.c.status)
        .order_by(captions.c.caption_source, captions.c.status)
    )
    counts: dict[int, dict[str, int]] = {}
    for source, status, count in connection.execute(counted):
        counts.setdefault(source, {})[status] = count
    return counts
