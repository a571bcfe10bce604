"""A catalog in a file: how SQLite is opened, locked, and what its errors mean. No queries here."""

import sqlite3
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from dataset_assets.catalog.backend import Backend

_RETRY_SECONDS = 0.02


def sqlite_url(path: Path) -> URL:
    """Return the URL of a SQLite catalog at `path`."""
    return URL.create("sqlite", database=str(path))  # as text, what follows a ? in the path would be options


def open_sqlite(url: URL, wait_seconds: float) -> Backend:
    """Return the catalog in the file that `url` names; it is opened later."""
    patience = {} if "timeout" in url.query else {"timeout": wait_seconds}  # ?timeout=… in the URL comes first
    engine = create_engine(url, poolclass=QueuePool, connect_args=patience)

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        _use_wal(connection, wait_seconds)
        connection.execute("PRAGMA synchronous = NORMAL")  # in WAL a crash loses no committed order, only power can
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes the lock at once: two that read first and then both want to write would deadlock.
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return Backend(
        name=url.database or "",
        spelled=str(url),
        engine=engine,
        reading={"immediate": False},
        writing={"immediate": True},
        recording={"immediate": True},  # there is one writer at a time
        faults=(DBAPIError,),
        explain=_explain,
        passes=lambda _: False,  # SQLite has waited already
        wait_seconds=wait_seconds,
    )


def _use_wal(connection: sqlite3.Connection, wait_seconds: float) -> None:
    """Change to WAL, which lasts. SQLite does not wait for the lock this takes, and all who open a new file want it."""
    deadline = monotonic() + wait_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(_RETRY_SECONDS)
        else:
            return


def _explain(error: Exception) -> str:
    """Return what a person can do about an error."""
    said = str(getattr(error, "orig", error)).strip()
    if "locked" in said:
        return f"{said}: another process is writing to it; wait for that process or end it, then run this again"
    if "readonly" in said or "unable to open" in said:
        return f"{said}: is its folder there, and may this user write to it?"
    if "not a database" in said or "malformed" in said:
        return f"{said}: it is damaged; put a copy of it back, or remove it and build from nothing"
    return said
