"""Dagster's SQLite files while a build writes to them: many small commits that need not wait for the disk one by one.

Dagster opens a connection for every event and closes it again. When the last one of a file closes, SQLite copies its
log into the file and removes it, with some waits for the disk each time: they took longer than the build's own work.
What is in the files, and Dagster itself, is not known here.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect, Engine, event

_KEPT = 8  # files: those of all runs, of all assets and of the run that goes on, and some room


@contextmanager
def quick_records(folder: Path) -> Iterator[None]:
    """Let the SQLite files in a folder and below be written quickly by this process while the block lasts.

    A commit survives the process as ever. After a power cut the newest may be missing, and the file is whole: as in the
    catalog, which is what says what was made.
    """
    inside = f"{folder.absolute()}{os.sep}"
    kept: dict[str, sqlite3.Connection] = {}

    def connect(dialect: Dialect, _record: object, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
        path = arguments[0] if arguments else None
        if dialect.name != "sqlite" or not isinstance(path, str) or not path.startswith(inside):
            return None  # then SQLAlchemy connects, as without us
        connection = dialect.connect(*arguments, **options)
        connection.cursor().execute("PRAGMA synchronous = NORMAL")
        if path in kept:
            kept[path] = kept.pop(path)  # the one in use longest ago comes first
        elif (keeper := _keep_open(path)) is not None:
            kept[path] = keeper
        if len(kept) > _KEPT:
            kept.pop(next(iter(kept))).close()
        return connection

    event.listen(Engine, "do_connect", connect)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", connect)
        for keeper in kept.values():
            keeper.close()


def _keep_open(path: str) -> sqlite3.Connection | None:
    """Return a connection that does nothing but keep a file's log; None where the file has none yet.

    It holds no lock between its one look at the file and its end.
    """
    keeper = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        if keeper.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()  # until it reads it is not counted
            return keeper
    except sqlite3.OperationalError:
        pass  # somebody is just making the file: the next connection finds it made
    keeper.close()
    return None
