"""The engines with which Dagster writes to its SQLite files: it makes one for each event, and throws it away.

What SQLAlchemy has compiled of a statement it keeps with the engine, so every event was compiled anew: a fifth of what
an event costs. How these files wait for the disk is storage/records.py's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from sqlalchemy import Engine, create_engine

_STORAGES = (vars(sqlite_event_log), vars(sqlite_run_storage))  # each calls `create_engine` by this name
_NAME = "create_engine"
_KEPT = 8  # files: those of all runs, of all assets and of the run that goes on, and some room


@contextmanager
def shared_engines() -> Iterator[None]:
    """Let Dagster's SQLite files have one engine each in this process while the block lasts, the newest of them."""
    engines: dict[str, Engine] = {}

    def share(url: str, **options: Any) -> Engine:
        engines[url] = engines.pop(url) if url in engines else create_engine(url, **options)  # as the newest
        if len(engines) > _KEPT:
            engines.pop(next(iter(engines)))
        return engines[url]

    before = [storage[_NAME] for storage in _STORAGES]
    try:
        for storage in _STORAGES:
            storage[_NAME] = share
        yield
    finally:
        for storage, own in zip(_STORAGES, before, strict=True):
            storage[_NAME] = own
