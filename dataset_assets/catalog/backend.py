"""What a database has to offer to be a catalog, whichever it is. How each does is in sqlite.py and postgres.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """An engine, and the execution options that make its connections one of three kinds."""

    name: str  # what to call it in a message: no password in it
    spelled: str  # its URL as it can be shown
    engine: Engine
    reading: Mapping[str, Any]  # sees one state of the catalog
    writing: Mapping[str, Any]  # nobody else writes until it is committed
    recording: Mapping[str, Any]  # beside others of this kind, and never beside one that is `writing`
    faults: tuple[type[Exception], ...]  # what it raises
    explain: Callable[[Exception], str]  # what a person can do about one of these, in one line
    passes: Callable[[Exception], bool]  # whether the same may well succeed a moment later
    wait_seconds: float  # how long a lock, or a server that restarts, is waited for
