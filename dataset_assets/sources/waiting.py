"""Whether this process waits for a source just now: the time that it has for its own work does not run meanwhile.

Who counts that time is another process (images/workers.py), which looks at a number that both share. What is read, and
how long that may take, is not known here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local
from time import monotonic
from typing import Protocol

WAITS = 0.0  # the number while it waits; else the moment when it ceased to, by the clock that all processes have


class Shared(Protocol):
    """A number in memory that two processes share."""

    value: float


class _Waits:
    """How many threads wait, and whom to tell."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads = 0
        self._shared: Shared | None = None

    def tell(self, shared: Shared) -> None:
        self._shared = shared

    def change(self, by: int) -> None:
        if self._shared is None:
            return
        with self._lock:
            self._threads += by
            self._shared.value = WAITS if self._threads else monotonic()


_waits = _Waits()
_thread = local()  # whether what this thread waits for is told


def tell_waits(shared: Shared) -> None:
    """Let `shared` say from now on whether this process waits."""
    _waits.tell(shared)


@contextmanager
def waiting() -> Iterator[None]:
    """Say that this process waits for a source while the block lasts; blocks may lie in each other, and in threads."""
    if getattr(_thread, "untold", False):
        yield
        return
    _waits.change(1)
    try:
        yield
    finally:
        _waits.change(-1)


@contextmanager
def untold() -> Iterator[None]:
    """Let nobody know of what this thread waits for while the block lasts: the process works on something else."""
    _thread.untold = True
    try:
        yield
    finally:
        _thread.untold = False
