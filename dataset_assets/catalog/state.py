"""What each stage last made, by partition and piece: the memory freshness.py compares with. Nothing is judged here.

A piece is one file: a shard of a partition, or the whole partition where a stage makes one file of it.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from dataset_assets.catalog.database import upsert
from dataset_assets.catalog.schema import pieces, stage_state


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """The record of one finished stage of one partition ("" where the stage has none)."""

    stage: str
    partition: str = ""
    fingerprint: str  # of its inputs; "" while it is made again
    output: str  # digest of its result
    report: Mapping[str, Any] = field(default_factory=dict)  # JSON: counts and digests
    finished_at: float = 0  # unix seconds; put_state fills it

    @property
    def interrupted(self) -> bool:
        """Whether it was about to be made again and never was."""
        return not self.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The record of one file of a stage."""

    stage: str
    partition: str = ""
    number: int = 0
    fingerprint: str = ""  # of what it was made from
    output: str = ""
    path: str  # relative to the root; "" where nothing was left to write
    bytes: int
    facts: Mapping[str, Any] = field(default_factory=dict)


States = Mapping[tuple[str, str], StageState]


def load_states(connection: Connection, partitions: Sequence[str] | None = None) -> dict[tuple[str, str], StageState]:
    """Return the recorded states by (stage, partition); `partitions` narrows it."""
    statement = select(stage_state)
    if partitions is not None:
        statement = statement.where(stage_state.c.partition.in_(partitions))
    rows = connection.execute(statement).mappings()
    return {
        (row["stage"], row["partition"]): StageState(**{**row, "report": json.loads(row["report"])}) for row in rows
    }


def load_pieces(connection: Connection, stage: str | None = None, partition: str | None = None) -> list[Piece]:
    """Return the recorded pieces by stage, partition and number, narrowed to one stage and one partition if given."""
    statement = select(pieces).order_by(pieces.c.stage, pieces.c.partition, pieces.c.number)
    if stage is not None:
        statement = statement.where(pieces.c.stage == stage)
    if partition is not None:
        statement = statement.where(pieces.c.partition == partition)
    rows = connection.execute(statement).mappings()
    return [Piece(**{**row, "facts": json.loads(row["facts"])}) for row in rows]


def put_state(connection: Connection, state: StageState) -> None:
    """Record that a stage of a partition finished now."""
    row = {
        "stage": state.stage,
        "partition": state.partition,
        "fingerprint": state.fingerprint,
        "output": state.output,
        "report": json.dumps(state.report, ensure_ascii=False),
        "finished_at": time.time(),
    }
    upsert(connection, stage_state, [row])


def void_state(connection: Connection, stage: str, partition: str = "") -> None:
    """Say that a stage of a partition is about to be made again: until it is recorded anew it is interrupted."""
    connection.execute(update(stage_state).filter_by(stage=stage, partition=partition).values(fingerprint=""))


def drop_state(connection: Connection, stage: str, partition: str) -> None:
    """Forget that a stage of a partition was ever made."""
    connection.execute(delete(stage_state).filter_by(stage=stage, partition=partition))


def put_piece(connection: Connection, piece: Piece) -> None:
    """Record a piece that is there now."""
    row = {name: getattr(piece, name) for name in Piece.__dataclass_fields__}
    upsert(connection, pieces, [row | {"facts": json.dumps(piece.facts, ensure_ascii=False)}])


def drop_piece(connection: Connection, stage: str, partition: str = "", number: int = 0) -> None:
    """Forget a piece: its file is about to be replaced or removed."""
    connection.execute(delete(pieces).filter_by(stage=stage, partition=partition, number=number))


def forget_partitions(connection: Connection, partitions: Iterable[str]) -> None:
    """Forget everything recorded of partitions that are gone."""
    gone = [{"gone": partition} for partition in partitions]
    if gone:
        for table in (stage_state, pieces):
            connection.execute(delete(table).where(table.c.partition == bindparam("gone")), gone)
