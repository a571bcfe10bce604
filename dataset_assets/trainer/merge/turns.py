"""Several processes write stretches of the same files, in order, and none waits for another's bytes.

A stretch is made whole in memory. When its turn comes it is told where its bytes go, and the next one's turn comes at
once: they write side by side. What is written is not known here.
"""

import os
from collections.abc import MutableSequence, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dataset_assets.errors import StorageError

_FAILED = -1


class Condition(Protocol, AbstractContextManager[Any, Any]):
    """A condition of threads or of processes."""

    def wait(self) -> Any:
        """Wait until somebody notifies."""

    def notify_all(self) -> None:
        """Wake all who wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The bytes of one stretch for one of the files; `joint` comes before them unless they are the file's first."""

    file: int
    data: bytes | memoryview
    joint: bytes = b""


class Turns:
    """Whose turn it is, and how long each file is so far; every process has it. `files` are there already."""

    def __init__(
        self,
        files: Sequence[Path],
        starts: Sequence[int],
        *,
        condition: Condition,
        ends: MutableSequence[int],
        turn: MutableSequence[int],
    ) -> None:
        """Begin each file at the byte in `starts`. `ends`, as many as files, and `turn`, one, are shared."""
        self._files = files
        self._starts = list(starts)
        self._condition = condition
        self._ends = ends
        self._turn = turn

    def write(self, number: int, blocks: Sequence[Block]) -> None:
        """Write the blocks of a stretch, one a file at most, once those of all before it have their places.

        Raises StorageError where a file cannot be written, and where another stretch has failed.
        """
        with self._condition:
            while self._turn[0] not in (number, _FAILED):
                self._condition.wait()
            if self._turn[0] == _FAILED:
                raise StorageError("what came before it could not be written")
            places = [self._place(block) for block in blocks]
            self._turn[0] = number + 1
            self._condition.notify_all()
        for block, (place, parts) in zip(blocks, places, strict=True):
            _write_at(self._files[block.file], parts, place)

    def _place(self, block: Block) -> tuple[int, tuple[bytes | memoryview, ...]]:
        place = self._ends[block.file]
        parts = (block.data,) if place == self._starts[block.file] else (block.joint, block.data)
        self._ends[block.file] = place + sum(map(len, parts))
        return place, parts

    def fail(self) -> None:
        """Say that a stretch will never come: those after it stop waiting."""
        with self._condition:
            self._turn[0] = _FAILED
            self._condition.notify_all()

    @property
    def ends(self) -> list[int]:
        """How many bytes each file has."""
        return list(self._ends)


def _write_at(path: Path, parts: Sequence[bytes | memoryview], place: int) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for part in parts:
                left = memoryview(part)
                while left:
                    count = os.pwrite(file, left, place)
                    left, place = left[count:], place + count
        finally:
            os.close(file)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None
