"""Opens the catalog and hands out connections: a short transaction each, errors as CatalogError. No queries here."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Table, bindparam, column, func, insert, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError

from dataset_assets.catalog.backend import Backend
from dataset_assets.catalog.migrations import current_version, find_foreign, migrate, newest_version
from dataset_assets.catalog.sqlite import open_sqlite, sqlite_url
from dataset_assets.errors import CatalogError

__all__ = ["BATCH", "Catalog", "cut", "insert_into", "insert_rows", "sqlite_url", "upsert"]

BATCH = 10_000  # rows a transaction when many are written
_LONGEST_LIST = 900  # values in a statement: SQLite before 3.32 takes 999
_LOCK_SECONDS = 30
_RETRIES = 5  # of what is recorded, where a server gives it up
_RETRY_SECONDS = 0.2
_ALLOWED = "allowed: postgresql://user@host/database, or sqlite:////absolute/path"

R = TypeVar("R")


class Catalog:
    """The database of one dataset. Safe to use from several threads; each `with` is one transaction."""

    def __init__(self, url: str | URL, *, lock_seconds: float = _LOCK_SECONDS) -> None:
        """Open `url`; a new or older database is brought to the newest schema.

        Raises CatalogError when it cannot be opened, is locked for longer than `lock_seconds`, or is too new.
        """
        self.url = _parse(url)
        self._backend = _open(self.url, lock_seconds)
        self._reached = False
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
                if foreign := find_foreign(connection):
                    raise CatalogError(
                        f"catalog {self.name}: its table {foreign} is another program's: give the catalog a database "
                        "of its own, or a schema"
                    )
                migrate(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that sees one state of the catalog."""
        with self.explaining(), self._transaction(self.connect(), self._backend.reading) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection whose changes are committed at the end, or rolled back on an exception.

        Nobody else writes meanwhile: what it reads stays so until it is committed.
        """
        with self.explaining(), self._transaction(self.connect(), self._backend.writing) as connection:
            yield connection

    def record(self, write: Callable[[Connection], R]) -> R:
        """Return what `write` returns, when its changes are committed.

        For what many write at a time, each its own rows, in one order, and without having read others: where the
        database can, several are recorded side by side. `write` is called again where a server gave it up before it
        was asked to commit; for what cannot be had a second time, such as answers that were paid for.
        """
        retries = _RETRIES
        while True:
            with self.explaining():
                opened = self.connect()
            committing = False
            try:
                with self._transaction(opened, self._backend.recording) as connection:
                    written = write(connection)
                    committing = True
                return written
            except self._backend.faults as error:
                if committing or not retries or not self._backend.passes(error):
                    raise self._explain(error) from error
            retries -= 1
            sleep(_RETRY_SECONDS)

    @contextmanager
    def _transaction(self, opened: Connection, options: Mapping[str, Any]) -> Iterator[Connection]:
        with opened as connection:
            connection.execution_options(**options)
            with connection.begin():
                yield connection

    def connect(self) -> Connection:
        """Return a connection, for what is no transaction such as a lock; within `explaining`.

        A server that was there before is waited for: it may be restarting.
        """
        end = monotonic() + self._backend.wait_seconds
        while True:
            try:
                connection = self._backend.engine.connect()
            except self._backend.faults as error:
                if not self._reached or monotonic() > end or not self._backend.passes(error):
                    raise
                sleep(_RETRY_SECONDS)
            else:
                self._reached = True
                return connection

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turn what the database raises into a CatalogError."""
        try:
            yield
        except self._backend.faults as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> CatalogError:
        return CatalogError(f"catalog {self.name}: {self._backend.explain(error)}")

    @property
    def on_server(self) -> bool:
        """Whether several machines can reach it."""
        return self.url.get_backend_name() == "postgresql"

    @property
    def name(self) -> str:
        """What to call the catalog in a message: no password in it."""
        return self._backend.name

    @property
    def spelled(self) -> str:
        """Its URL as it can be shown: no password in it."""
        return self._backend.spelled

    def close(self) -> None:
        """Close its connections."""
        self._backend.engine.dispose()


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


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that are not there yet, all with the same columns: many at a time."""
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), rows)
        return
    names = list(rows[0])
    columns = ", ".join(map(connection.dialect.identifier_preparer.quote, names))
    driver: Any = connection.connection.driver_connection  # psycopg's own, which alone knows COPY
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
        for row in rows:  # a fifth of the time that an INSERT for each takes
            copy.write_row([row[name] for name in names])


def upsert(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows; where one with the same primary key is there, its other columns take the new values."""
    batch = list(rows)
    if not batch:
        return
    names = list(batch[0])
    keys = [column.name for column in table.primary_key]
    statement = insert_into(connection, table)
    if isinstance(statement, sqlite.Insert):
        connection.execute(_replacing(statement, keys, names), batch)
        return
    last = {tuple(row[key] for key in keys): row for row in batch}.values()  # one statement changes a row once
    arrays = [
        bindparam(None, [row[name] for row in last], type_=postgresql.ARRAY(table.c[name].type)) for name in names
    ]
    given = func.unnest(*arrays).table_valued(*(column(name, table.c[name].type) for name in names)).render_derived()
    # As columns: half of what a statement for each row takes, of both ends.
    connection.execute(_replacing(statement.from_select(names, select(*given.c)), keys, names))


def _replacing(statement: Any, keys: Sequence[str], names: Sequence[str]) -> Any:
    """Return an insert that gives the rows that are there the new values."""
    changed = {name: statement.excluded[name] for name in names if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def _parse(url: str | URL) -> URL:
    try:
        made = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number
        raise CatalogError(f"dataset.catalog: this is no database's URL; {_ALLOWED}") from None
    if "@" in (made.host or ""):  # what is before it is the end of a password
        raise CatalogError("dataset.catalog: an @ in the password of a URL has to be escaped: write %40")
    return made


def _open(url: URL, lock_seconds: float) -> Backend:
    """Return the database, which is reached later. Raises CatalogError for one that is not supported."""
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        try:
            from dataset_assets.catalog.postgres import open_postgres  # and psycopg, which few datasets need
        except ImportError as error:
            raise CatalogError(
                f"a catalog on PostgreSQL needs the Python package {error.name}: pip install 'dataset_assets[postgres]'"
            ) from None
        return open_postgres(url, lock_seconds)
    if url.drivername != "sqlite" or not Path(url.database or "").is_absolute():
        told = url.set(query={})  # in which there may be a password
        shown = url.database or "" if url.get_backend_name() == "sqlite" else told.render_as_string(hide_password=True)
        raise CatalogError(f"dataset.catalog: {shown} given; {_ALLOWED}")
    return open_sqlite(url, lock_seconds)
