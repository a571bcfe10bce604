"""Where a dataset's locks lie, by where its catalog lies: on the server, for all machines, or in files, for this one.

A lock on a server is the session's that took it: it is free when its process ends, or its machine (postgres.py says
after how long). Who waits for one stands in the server's queue, so that a stage of the whole dataset is served when
those end that were there before it, and those that come later wait behind it. What excludes what is said in
storage/lock.py, and is the same for both.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from math import ceil, inf
from types import TracebackType
from typing import Any, Self

from sqlalchemy import text

from dataset_assets.catalog.database import Catalog
from dataset_assets.errors import CatalogError, StorageError
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.lock import WAIT_SECONDS, Confirm, FileLocks, Locks

_BUILD = "build"
_DATASET = "dataset"
_AGAIN_SECONDS = 5  # for a server to end the session that had a lost lock


def open_locks(catalog: Catalog, layout: Layout) -> Locks:
    """Return the locks of the dataset with this catalog. Nobody else asks what kind of catalog it is."""
    if catalog.on_server:
        return ServerLocks(catalog)
    return FileLocks(build=layout.lock, folder=layout.locks)


class ServerLocks:
    """The locks of a dataset that several machines work on: advisory locks of PostgreSQL.

    Every call has a session of its own, so that two threads of a process exclude each other as two processes do. All
    raise CatalogError when the server cannot be reached, and at the end when the connection was lost meanwhile, and
    with it the lock.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @contextmanager
    def building(self) -> Iterator[None]:
        """Hold the lock of builds. Raises StorageError, naming the process, when another one holds it."""
        with _Session(self._catalog) as session:
            if not session.wait(_BUILD, 0):
                holder = session.find_holder(_BUILD) or "a process that just ended"
                raise StorageError(f"{holder} is building this dataset: wait until it ends, or end it")
            yield

    def is_building(self) -> bool:
        """Return whether a process holds the lock of builds."""
        with _Session(self._catalog) as session:
            return bool(session.find_holder(_BUILD))

    @contextmanager
    def holding(self, partitions: Iterable[str] | None = None, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
        """Hold the dataset's lock: with partitions shared, and theirs alone; without, all of it alone.

        Raises StorageError, naming the process, when others hold it for longer than `wait_seconds`.
        """
        end = time.monotonic() + wait_seconds
        wanted = [(_DATASET, partitions is not None)]
        wanted += [(key, False) for key in sorted(partitions or ())]  # in one order: nobody waits in a ring
        with _Session(self._catalog) as session:
            for name, shared in wanted:
                if not session.wait(name, end - time.monotonic(), shared=shared):
                    holder = session.find_holder(name) or "a process that just ended"
                    raise StorageError(f"{holder} is working on {name}: try again when it has ended")
            yield

    @contextmanager
    def waiting(self, name: str) -> Iterator[Confirm]:
        """Hold the lock of this name, alone, however long others hold it before.

        What the block is given takes it again where it was lost with its connection and is still free.
        """
        with _Session(self._catalog) as session:
            session.identify()
            session.wait(name, inf)
            yield partial(session.confirm, name)


class _Session:
    """A connection that holds locks until its block ends."""

    def __init__(self, catalog: Catalog) -> None:
        from dataset_assets.catalog import postgres  # and psycopg, which few datasets need

        self._catalog = catalog
        self._server = postgres
        self._patient = False  # whether the session has settings of one that waits
        self._identity = ""  # who the session is to the server, once `identify` has asked

    def __enter__(self) -> Self:
        self._connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._connection.invalidated:  # else the locks went with it, and whoever asked last was told
                self._ask(self._server.UNLOCK_ALL)
                if self._patient:
                    self._ask(self._server.RESET_PATIENCE)
        except CatalogError:
            self._connection.invalidate()  # it must not come back with a lock
            if kind is None:
                raise
        finally:
            self._connection.close()

    def wait(self, name: str, seconds: float, *, shared: bool = False) -> bool:
        """Take a lock as soon as it is free and nobody else is before us; return whether that was in time."""
        if self._ask(self._server.TAKE_LOCK[shared], name=name):
            return True
        if seconds <= 0:
            return False
        milliseconds = 0 if seconds == inf else min(ceil(seconds * 1000), self._server.LONGEST_PATIENCE)
        self._patient = True
        self._ask(self._server.SET_PATIENCE, milliseconds=str(milliseconds))
        try:
            self._ask(self._server.QUEUE_FOR_LOCK[shared], name=name)
        except CatalogError as error:
            if not self._server.is_lock_timeout(error.__cause__):
                raise
            return False
        return True

    def identify(self) -> None:
        """Ask the server who this session is, which `confirm` has to know of one that was lost."""
        self._identity = str(self._ask(self._server.FIND_SESSION))

    def confirm(self, name: str) -> None:
        """See that a lock is still held; one that was lost with its connection is taken again. `identify` comes first.

        Raises CatalogError, naming the process, where another one has it by now.
        """
        try:
            self._ask("SELECT 1")
            return
        except CatalogError:
            if not self._connection.invalidated:
                raise
        lost, before, self._patient = self._connection, self._identity, False
        self._connect()
        lost.close()
        self.identify()
        self._ask(self._server.END_SESSION, session=before)  # a server that has not missed it keeps the lock for it
        if not self.wait(name, _AGAIN_SECONDS):
            holder = self.find_holder(name) or "a process that just ended"
            raise CatalogError(
                f"catalog {self._catalog.name}: {name} was lost with its connection, and {holder} has taken it: "
                "run this again, what was committed is kept"
            )

    def find_holder(self, name: str) -> str:
        """Return who holds a lock: "process 12 on host"; "" where nobody does."""
        found = self._ask(self._server.FIND_HOLDER, name=name)
        return str(found).replace("dataset-assets", "process", 1) if found else ""

    def _connect(self) -> None:
        with self._catalog.explaining():
            self._connection = self._catalog.connect().execution_options(isolation_level="AUTOCOMMIT")

    def _ask(self, statement: str, **values: str) -> Any:
        with self._catalog.explaining():
            return self._connection.execute(text(statement), values).scalar()
