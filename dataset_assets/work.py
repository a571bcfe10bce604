"""One stage of one partition while it is made: what may be kept, what is replaced, what is recorded at the end.

Every stage that leaves artifacts goes through here, so that the order that makes it safe to kill stands in one place:
the record of a file is dropped before the file is replaced and written after, and the record of the stage comes last.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

from dataset_assets.catalog.state import (
    Piece,
    StageState,
    States,
    drop_piece,
    load_pieces,
    load_states,
    put_piece,
    put_state,
    void_state,
)
from dataset_assets.damage import find_damage, is_whole, survey
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DamagedError, OrderError
from dataset_assets.freshness import Inputs, fingerprint, judge_inputs, list_inputs
from dataset_assets.stages import upstream
from dataset_assets.storage.atomic import remove
from dataset_assets.storage.location import Location, Look, path_in

P = ParamSpec("P")
R = TypeVar("R")


def holding_lock(partitions: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a stage run only while no other process changes the same.

    `partitions` names the parameter that holds a partition's key, or several; without it the stage is the whole
    dataset's. The stage's first parameter is the dataset. Raises StorageError after a long wait (storage/lock.py).
    """

    def wrap(stage: Callable[P, R]) -> Callable[P, R]:
        parameters = signature(stage)

        @wraps(stage)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            call = parameters.bind(*args, **kwargs)
            keys = None
            if partitions:
                given = call.arguments[partitions]
                keys = [given] if isinstance(given, str) else list(given)
                call.arguments[partitions] = given if isinstance(given, str) else keys
            with call.arguments["dataset"].locks.holding(keys):
                return stage(*call.args, **call.kwargs)

        return run

    return wrap


@contextmanager
def condemning(dataset: Dataset, piece: tuple[str, str, int], path: Location) -> Iterator[None]:
    """Remove a piece's file where it turns out to be damaged, so that the next run of its stage makes it again.

    `piece` is its stage, partition and number. Raises DamagedError, which says so.
    """
    try:
        yield
    except DamagedError as error:
        stage, partition, number = piece
        with dataset.catalog.writing() as connection:
            drop_piece(connection, stage, partition, number)
            void_state(connection, stage, partition)
        remove(path)
        raise DamagedError(f"{path} was damaged and has been removed: build again, and it is made anew") from error


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a stage of a partition; `reused` when it was fresh and nothing was done."""

    state: StageState
    reused: bool = False

    @property
    def report(self) -> Mapping[str, Any]:
        """The stage's counts."""
        return self.state.report


class Work:
    """A stage of a partition that is being made."""

    def __init__(
        self,
        dataset: Dataset,
        stage: str,
        partition: str,
        inputs: Inputs,
        *,
        states: States,
        pieces: Iterable[Piece],
        look: Look,
        reuse: bool,
    ) -> None:
        self.dataset = dataset
        self.stage = stage
        self.partition = partition
        self.inputs = inputs
        self.states = states
        self._old = {piece.number: piece for piece in pieces}
        self.look = look  # at the files that were there when it began
        self._reuse = reuse
        self._new: dict[int, Piece] = {}

    def require_fresh(self) -> None:
        """Raise OrderError unless what the stage is made from is made of what is there now; files may be to be retried.

        Else what is put together here would be of two plans, or of other settings than the rest.
        """
        for stage in upstream(self.dataset.settings, self.stage):
            partition = "" if (stage, "") in self.states else self.partition
            verdict = judge_inputs(self.dataset.settings, self.states, stage, partition)
            if not (verdict.fresh or verdict.retry):
                of = f" of {partition}" if partition else ""
                raise OrderError(
                    f"{stage}{of} is {verdict.state} ({verdict.reason}): "
                    f"materialize it before {self.stage}, or run `dataset-assets build`"
                )

    def keep(self, number: int, made_from: str) -> Piece | None:
        """Return the piece that is there already if it was made from just this, and count it as made."""
        piece = self._old.get(number) if self._reuse else None
        if piece is None or piece.fingerprint != made_from or not is_whole(self.dataset.layout, piece, self.look):
            return None
        self._new[number] = piece
        return piece

    def replace(self, number: int = 0) -> None:
        """Say that the piece's file is about to be written: what was recorded of it no longer holds."""
        with self.dataset.catalog.writing() as connection:
            drop_piece(connection, self.stage, self.partition, number)

    def put(
        self,
        path: Location | None,
        *,
        made_from: str,
        output: str,
        number: int = 0,
        facts: Mapping[str, Any] | None = None,
    ) -> Piece:
        """Record a file that is written now and return the record; `path` None where nothing was left to write."""
        piece = Piece(
            stage=self.stage,
            partition=self.partition,
            number=number,
            fingerprint=made_from,
            output=output,
            path=path_in(self.dataset.layout.root, path) if path else "",
            bytes=path.stat().st_size if path else 0,
            facts=facts or {},
        )
        with self.dataset.catalog.writing() as connection:
            put_piece(connection, piece)
        self._new[number] = piece
        return piece

    @property
    def pieces(self) -> list[Piece]:
        """What has been kept or made so far, by number."""
        return [self._new[number] for number in sorted(self._new)]

    def finish(self, *, output: str, report: Mapping[str, Any]) -> Outcome:
        """Remove the pieces that are no longer part of it and record the stage as made."""
        for number in self._old.keys() - self._new.keys():
            self.replace(number)
            if path := self._old[number].path:
                remove(self.dataset.layout.root / path)
        state = StageState(
            stage=self.stage,
            partition=self.partition,
            fingerprint=fingerprint(self.inputs),
            output=output,
            report={**report, "inputs": self.inputs},
        )
        with self.dataset.catalog.writing() as connection:
            put_state(connection, state)
        return Outcome(state)


def begin(dataset: Dataset, stage: str, partition: str = "", *, force: bool = False) -> Work | Outcome:
    """Return the Work of a stage, or its Outcome when it is fresh and `force` is not asked for.

    Raises OrderError when a stage it is made from has not run yet.
    """
    with dataset.catalog.reading() as connection:
        states = load_states(connection, [partition, ""] if partition else None)
        pieces = load_pieces(connection, stage, partition)
    inputs = list_inputs(dataset.settings, states, stage, partition)
    fresh = judge_inputs(dataset.settings, states, stage, partition).fresh
    look = survey(dataset.layout, pieces)
    if fresh and not force and not any(find_damage(dataset.layout, piece, look) for piece in pieces):
        return Outcome(states[stage, partition], reused=True)
    with dataset.catalog.writing() as connection:
        void_state(connection, stage, partition)
    return Work(dataset, stage, partition, inputs, states=states, pieces=pieces, look=look, reuse=not force)
