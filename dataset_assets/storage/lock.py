"""Who may work on a dataset at a time: what a stage can ask for, and how files of the operating system give it.

Two builds exclude each other for as long as they last. Stages exclude each other only while they run: those of the
whole dataset all others, those of one partition the same partition's. Whoever is killed frees what it held. Files hold
on one machine; where the catalog is on a server the locks are there, too (catalog/locks.py).

Files have no queue: who wants one looks whether it is free, several times a second. So a stage of the whole dataset
begins when it finds no partition's stage at work, and where these follow each other without a gap it gives up in the
end. A build runs its stages one after the other, and the sensor asks for one step at a time: it takes several who start
runs by hand. Each lock is an open file, of which a process may have a thousand as a rule.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import IO, Protocol

from dataset_assets.errors import StorageError

WAIT_SECONDS = 600.0  # for a stage of another process: a large one takes minutes, one that hangs is not waited for

_POLL_SECONDS = 0.2
_GLANCE_SECONDS = 1.0  # longer than `is_locked` of another process keeps a build lock


Confirm = Callable[[], None]  # sees to it that a lock is still held; raises CatalogError where another has it now


class Locks(Protocol):
    """The locks of one dataset. Each holds until its block ends, or its process."""

    def building(self) -> AbstractContextManager[None]:
        """Hold the lock of builds. Raises StorageError, naming the process, when another one holds it."""

    def is_building(self) -> bool:
        """Return whether a process holds the lock of builds."""

    def holding(
        self, partitions: Iterable[str] | None = None, *, wait_seconds: float = WAIT_SECONDS
    ) -> AbstractContextManager[None]:
        """Hold the dataset's lock: with partitions shared, and theirs alone; without, all of it alone.

        Raises StorageError, naming the process, when others hold it for longer than `wait_seconds`.
        """

    def waiting(self, name: str) -> AbstractContextManager[Confirm]:
        """Hold the lock of this name, alone, however long others hold it before.

        It is for hours: what the block is given is called now and then, at what would do harm without the lock.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLocks:
    """The locks of a dataset that one machine works on."""

    build: Path  # the file that a build holds locked
    folder: Path  # of those that stages hold locked while they run

    def building(self) -> AbstractContextManager[None]:
        """Hold the lock of builds."""
        return locked(self.build)

    def is_building(self) -> bool:
        """Return whether a process holds the lock of builds."""
        return is_locked(self.build)

    def holding(
        self, partitions: Iterable[str] | None = None, *, wait_seconds: float = WAIT_SECONDS
    ) -> AbstractContextManager[None]:
        """Hold the dataset's lock."""
        return holding(self.folder, partitions, wait_seconds=wait_seconds)

    def waiting(self, name: str) -> AbstractContextManager[Confirm]:
        """Hold the lock of this name."""
        return waiting(self.folder / name)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the build lock at `path`. Raises StorageError, naming the process, when another one holds it."""
    with _open(path, make_folder=True) as file:
        if not _wait(file, fcntl.LOCK_EX, _GLANCE_SECONDS):
            holder = _holder(file)
            raise StorageError(f"process {holder} is building this dataset: wait until it ends, or end it")
        yield


def is_locked(path: Path) -> bool:
    """Return whether a process holds the build lock at `path`."""
    if not path.exists():
        return False
    with _open(path) as file:
        return not _try(file, fcntl.LOCK_SH)


@contextmanager
def holding(
    folder: Path, partitions: Iterable[str] | None = None, *, wait_seconds: float = WAIT_SECONDS
) -> Iterator[None]:
    """Hold the dataset's lock in `folder`: with partitions shared, and theirs alone; without, all of it alone.

    Raises StorageError, naming the process, when others hold it for longer than `wait_seconds`.
    """
    keys = sorted(partitions or ())  # in one order, so that two processes never wait for each other
    end = time.monotonic() + wait_seconds
    with ExitStack() as stack:
        wanted = [
            ("dataset", fcntl.LOCK_EX if partitions is None else fcntl.LOCK_SH),
            *((key, fcntl.LOCK_EX) for key in keys),
        ]
        for name, mode in wanted:
            file = stack.enter_context(_open(folder / f"{name}.lock", make_folder=True))
            if not _wait(file, mode, end - time.monotonic()):
                raise StorageError(f"process {_holder(file)} is working on {name}: try again when it has ended")
        yield


@contextmanager
def waiting(path: Path) -> Iterator[Confirm]:
    """Hold the lock at `path`, alone, however long others hold it before."""
    with _open(path, make_folder=True) as file:
        _wait(file, fcntl.LOCK_EX, inf)
        yield _trust


def _trust() -> None:
    """Confirm nothing: the operating system takes a file's lock from nobody."""


@contextmanager
def _open(path: Path, *, make_folder: bool = False) -> Iterator[IO[str]]:
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        file = path.open("r+")
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror}") from None
    with file:
        try:
            yield file
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # also that of a copy which a child has that is just being started


def _wait(file: IO[str], mode: int, seconds: float) -> bool:
    """Take a lock as soon as it is free, and write into the file whose it is; return whether that was in time."""
    end = time.monotonic() + seconds
    while not _try(file, mode):
        if time.monotonic() >= end:
            return False
        time.sleep(_POLL_SECONDS)
    with suppress(OSError):  # on a full disk: it only tells others who has it
        _sign(file)
    return True


def _sign(file: IO[str]) -> None:
    """Write into a file whose lock it is."""
    number, process = file.fileno(), str(os.getpid()).encode()
    if os.fstat(number).st_size > len(process):  # else not: what is cut off is brought to the disk at once
        os.ftruncate(number, 0)
    os.pwrite(number, process, 0)


def _try(file: IO[str], mode: int) -> bool:
    """Take a lock if that can be done at once."""
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "(just started)"
