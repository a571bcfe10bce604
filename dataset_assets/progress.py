"""How long work tells how far it is: a callback that the command line draws as bars and a run writes to its log."""

import time
from collections.abc import Callable
from typing import Protocol

_SAY_SECONDS = 10.0


class Progress(Protocol):
    """Takes the progress of one stage at a time. Calls are cheap and come from one thread."""

    def expect(self, stage: str, later: int) -> None:
        """Say, before `start`, how many units of the stage other starts will bring later."""

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Begin a stage of `total` units, None where that is not known."""

    def advance(self, count: int) -> None:
        """Count `count` more units as done."""

    def note(self, text: str) -> None:
        """Show a short text beside the count, in place of the one before: what it has cost so far."""

    def finish(self) -> None:
        """End the stage."""


class Silence:
    """Progress for nobody."""

    def expect(self, stage: str, later: int) -> None:
        """Ignore it."""

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Ignore it."""

    def advance(self, count: int) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""

    def finish(self) -> None:
        """Ignore it."""


class Lines:
    """Progress as lines of text, one every ten seconds of a stage: for logs, and where no terminal is."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._later: dict[str, int] = {}

    def expect(self, stage: str, later: int) -> None:
        """Remember what comes later."""
        self._later[stage] = later

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Begin a stage."""
        self._stage, self._total, self._unit = stage, total, unit
        self._done, self._note = 0, ""
        self._started = self._said = time.monotonic()

    def advance(self, count: int) -> None:
        """Count, and say so now and then."""
        self._done += count
        if time.monotonic() - self._said >= _SAY_SECONDS:
            self._said = time.monotonic()
            self._tell()

    def note(self, text: str) -> None:
        """Remember what to say beside the count."""
        self._note = text

    def finish(self) -> None:
        """Say where it ended, if it ever said that it was under way."""
        if self._said != self._started:
            self._tell()

    def _tell(self) -> None:
        of = f" of {self._total:,}" if self._total else ""
        later = self._later.get(self._stage)
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        more = f", {later:,} more later" if later else ""
        note = f", {self._note}" if self._note else ""
        self._say(f"{self._stage}: {self._done:,}{of} {self._unit}, {rate:,.1f} a second{more}{note}")
