"""Opens the catalog and hands out connections: a short transaction each, errors as CatalogError. No queries here."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from dataset_assets.catalog.migrations import current_version, migrate, newest_version
from dataset_assets.errors import CatalogError

BATCH = 10_000  # rows a transaction when many are written
_LONGEST_LIST = 900  # values in a statement: SQLite before 3.32 takes 999
_LOCK_SECONDS = 30
_RETRY_SECONDS = 0.02
_ALLOWED = "allowed: postgresql://user@host/database, or sqlite:////absolute/path"


class Catalog:
    """The database of one dataset. Safe to use from several threads; each `with` is one transaction."""

    def __init__(self, url: str | URL, *, lock_seconds: float = _LOCK_SECONDS) -> None:
        """Open `url`; a new or older database is brought to the newest schema.

        Raises CatalogError when it cannot be opened, is locked for longer than `lock_seconds`, or is too new.
        """
        self._engine = _make_engine(url, lock_seconds)
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    def _migrate(self) -> None:
        with self.reading() as connection:
            version = current_version(connection)
        if version > newest_version():
            raise CatalogError(
                f"catalog {self.name}: it has schema version {version}, and this version of dataset_assets knows "
                f"{newest_version()}: upgrade dataset_assets"
            )
        if version < newest_version():
            with self.writing() as connection:
                migrate(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that sees one state of the catalog."""
        with self._transaction(immediate=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection whose changes are committed at the end, or rolled back on an exception."""
        with self._transaction(immediate=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, immediate: bool) -> Iterator[Connection]:
        try:
            with self._engine.connect().execution_options(immediate=immediate) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise CatalogError(f"catalog {self.name}: {_explain(error)}") from error

    @property
    def name(self) -> str:
        """What to call the catalog in a message: no password in it."""
        return _name(self._engine.url)

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()


def sqlite_url(path: Path) -> URL:
    """Return the URL of a SQLite catalog at `path`."""
    return URL.create("sqlite", database=str(path))  # as text, what follows a ? in the path would be options


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that can say what to do with rows that are there, in the dialect of the database."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def cut(values: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the values in lists of which each fits into one statement."""
    rest = iter(values)
    while some := list(islice(rest, _LONGEST_LIST)):
        yield some


def upsert(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows; where one with the same primary key is there, its other columns take the new values."""
    batch = list(rows)
    if not batch:
        return
    statement = insert_into(connection, table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in batch[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), batch)


def _make_engine(url: str | URL, lock_seconds: float) -> Engine:
    """Return the engine, which connects later. Raises CatalogError for a database that is not supported."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        if backend == "postgresql":
            return create_engine(parsed)
    except ArgumentError:
        raise CatalogError(f"dataset.catalog: this is no database's URL; {_ALLOWED}") from None
    except ImportError as error:
        raise CatalogError(f"catalog {_name(parsed)}: the Python package {error.name} is not installed") from None
    if backend != "sqlite" or not Path(parsed.database or "").is_absolute():
        raise CatalogError(f"dataset.catalog: {_name(parsed)} given; {_ALLOWED}")
    patience = {} if "timeout" in parsed.query else {"timeout": lock_seconds}  # ?timeout=… in the URL comes first
    engine = create_engine(parsed, poolclass=QueuePool, connect_args=patience)

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        _use_wal(connection, lock_seconds)
        connection.execute("PRAGMA synchronous = NORMAL")  # in WAL a crash loses no committed order, only power can
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes the lock at once: two that read first and then both want to write would deadlock.
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection, lock_seconds: float) -> None:
    """Change to WAL, which lasts. SQLite does not wait for the lock this takes, and all who open a new file want it."""
    deadline = monotonic() + lock_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(_RETRY_SECONDS)
        else:
            return


def _name(url: URL) -> str:
    return url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def _explain(error: DBAPIError) -> str:
    """Return what a person can do about a database's error."""
    said = str(error.orig).strip()
    if "locked" in said:
        return f"{said}: another process is writing to it; wait for that process or end it, then run this again"
    if "readonly" in said or "unable to open" in said:
        return f"{said}: is its folder there, and may this user write to it?"
    if "not a database" in said or "malformed" in said:
        return f"{said}: it is damaged; put a copy of it back, or remove it and build from nothing"
    return said
