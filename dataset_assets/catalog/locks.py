"""Where a dataset's locks lie, by where its catalog lies: on the server, for all machines, or in files, for this one.

A lock on a server is the session's that took it: it is free when its process ends, or its machine (postgres.py says
after how long). What excludes what is said in storage/lock.py, and is the same for both.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf
from types import TracebackType
from typing import Any, Self

from sqlalchemy import text

from dataset_assets.catalog.database import Catalog
from dataset_assets.errors import CatalogError, StorageError
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.lock import POLL_SECONDS, WAIT_SECONDS, FileLocks, Locks

_BUILD = "build"
_DATASET = "dataset"


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
    def waiting(self, name: str) -> Iterator[None]:
        """Hold the lock of this name, alone, however long others hold it before."""
        with _Session(self._catalog) as session:
            session.wait(name, inf)
            yield


class _Session:
    """A connection that holds locks until its block ends."""

    def __init__(self, catalog: Catalog) -> None:
        from dataset_assets.catalog.postgres import FIND_HOLDER, TAKE_LOCK, UNLOCK_ALL

        self._catalog = catalog
        self._take, self._find, self._unlock = TAKE_LOCK, FIND_HOLDER, UNLOCK_ALL

    def __enter__(self) -> Self:
        with self._catalog.explaining():
            self._connection = self._catalog.connect().execution_options(isolation_level="AUTOCOMMIT")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._ask(self._unlock)
        except CatalogError:
            self._connection.invalidate()  # it must not come back with a lock
            if kind is None:
                raise
        finally:
            self._connection.close()

    def wait(self, name: str, seconds: float, *, shared: bool = False) -> bool:
        """Take a lock as soon as it is free; return whether that was in time."""
        end = time.monotonic() + seconds
        while not self._ask(self._take[shared], name=name):
            if time.monotonic() >= end:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def find_holder(self, name: str) -> str:
        """Return who holds a lock: "process 12 on host"; "" where nobody does."""
        found = self._ask(self._find, name=name)
        return str(found).replace("dataset-assets", "process", 1) if found else ""

    def _ask(self, statement: str, **names: str) -> Any:
        with self._catalog.explaining():
            return self._connection.execute(text(statement), names).scalar()
