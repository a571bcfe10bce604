"""How long work tells how far it is: a callback that the command line draws as a bar and an asset writes to its log."""

from typing import Protocol


class Progress(Protocol):
    """Takes the progress of one stage at a time. Calls are cheap and come from one thread."""

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Begin a stage of `total` units, None where that is not known."""

    def advance(self, count: int) -> None:
        """`count` more units are done."""

    def finish(self) -> None:
        """The stage is over."""


class Silence:
    """Progress for nobody."""

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Ignore it."""

    def advance(self, count: int) -> None:
        """Ignore it."""

    def finish(self) -> None:
        """Ignore it."""
