"""The engines with which Dagster writes to its SQLite files: it makes one for each event, and throws it away.

What SQLAlchemy has compiled of a statement it keeps with the engine, and the connection in its pool. So every event was
compiled anew and went over a connection of its own; when the last one of a file closes, SQLite copies its log into the
file and removes it, with some waits for the disk each time. All this took longer than the build's own work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any, cast

from sqlalchemy import Engine, QueuePool, create_engine, event

# Dagster's own matters. Where another version of it has them elsewhere, a build is only slower.
_STORAGES = (
    "dagster._core.storage.event_log.sqlite.sqlite_event_log",
    "dagster._core.storage.runs.sqlite.sqlite_run_storage",
)
_NAME = "create_engine"
_KEPT = 8  # files: those of all runs, of all assets and of the run that goes on, and some room


@contextmanager
def shared_engines() -> Iterator[None]:
    """Let Dagster's SQLite files have one engine each in this process while the block lasts, the newest of them.

    A commit survives the process as ever. After a power cut the newest may be missing, and the file is whole: as in the
    catalog, which is what says what was made.
    """
    engines: dict[str, Engine] = {}
    evicted: list[Engine] = []
    lock = Lock()

    def share(url: str, **options: Any) -> Engine:
        with lock:
            engines[url] = engines.pop(url) if url in engines else _make_engine(url, **options)  # as the newest
            if len(engines) > _KEPT:
                evicted.append(engines.pop(next(iter(engines))))
                _close(evicted[-1])
            return engines[url]

    storages = [names for names in map(_list_names, _STORAGES) if _NAME in names]
    before = [names[_NAME] for names in storages]
    try:
        for names in storages:
            names[_NAME] = share
        yield
    finally:
        for names, own in zip(storages, before, strict=True):
            names[_NAME] = own
        for engine in (*evicted, *engines.values()):  # the former once more: a connection may have been in use
            _close(engine)


class _Pool(QueuePool):
    """Connections that stay open when their engine is thrown away, until `end`."""

    def dispose(self) -> None:
        """Keep them."""

    def recreate(self) -> "_Pool":
        """Return the same pool."""
        return self

    def end(self) -> None:
        """Close them."""
        super().dispose()


def _make_engine(url: str, **options: Any) -> Engine:
    engine = create_engine(url, **{**options, "poolclass": _Pool, "max_overflow": -1})  # as many as are asked for
    event.listen(engine, "connect", _hurry)
    return engine


def _hurry(connection: Any, _record: object) -> None:
    """Let a new connection not wait for the disk at every commit."""
    connection.execute("PRAGMA synchronous = NORMAL")


def _close(engine: Engine) -> None:
    cast("_Pool", engine.pool).end()


def _list_names(module: str) -> dict[str, Any]:
    """Return what a module of Dagster calls by which name, nothing where there is no such module."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:  # of a package that it should be in
        found = None
    return vars(import_module(module)) if found else {}
