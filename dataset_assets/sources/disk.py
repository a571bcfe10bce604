"""A source's folder on a local disk."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO, TypeVar

from dataset_assets.sources.slices import ChangedError, Wanted
from dataset_assets.sources.waiting import waiting
from dataset_assets.sources.walk import Files, FileState, look_at, state_of, walk

_USUAL = 1 << 14  # bytes

_Task = TypeVar("_Task")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class DiskTree:
    """See trees.Tree. Files are read as they are now: it is compared afterwards with what was listed."""

    root: Path
    skip: tuple[Path, ...] = ()

    @property
    def at_once(self) -> int:
        """One: how long a disk takes is found out by whoever opens many."""
        return 1

    def walk(self, offered: frozenset[str]) -> Iterator[tuple[str, Files]]:
        """Yield each folder with its files, those behind links last, none twice. Raises SourceError."""
        return walk(self.root, offered, self.skip)

    def look_at(self, entry: os.DirEntry[str]) -> FileState:
        """Return what is known of a file that was found."""
        return look_at(entry)

    def make_look(self) -> Callable[[str], FileState]:
        """Return what tells the state of a file now."""
        return lambda path: state_of((self.root / path).stat())

    def is_folder(self, path: str) -> bool:
        """Return whether this is a folder."""
        return (self.root / path).is_dir()

    def is_skipped(self) -> bool:
        """Return whether this is one of the folders that are left alone."""
        return any(folder.is_dir() and self.root.is_dir() and folder.samefile(self.root) for folder in self.skip)

    def find_path(self, place: str) -> str | None:
        """Return the way from here to a path on disk; one that is not absolute starts at the current folder."""
        path = os.path.abspath(place)  # noqa: PTH100 - links stay what they are; `..` in what a person types is resolved
        root = os.path.join(os.path.abspath(self.root), "")  # noqa: PTH100, PTH118 - as above
        return path.removeprefix(root) if path.startswith(root) else None

    def open(self, path: str, version: str) -> BinaryIO:
        """Open a file to read its beginning, whatever it is now. Raises OSError."""
        # A pipe that took a file's place after the listing would be waited for, for ever.
        return BufferedReader(FileIO(self._absolute(path), opener=_open_at_once))

    def read(self, path: str, version: str) -> bytes:
        """Return a whole file. Raises OSError: ChangedError where it is not `version`."""
        with waiting(), FileIO(self._absolute(path)) as file:  # the disk may be another machine's
            data = file.readall()
            now = state_of(os.fstat(file.fileno())).version
        if now != version:
            raise ChangedError(errno.ESTALE, "changed after the scan")
        return data

    def read_start(self, path: str, size: int, version: str) -> bytes:
        """Return the first `size` bytes of a file as it is now, or all where it has fewer. Raises OSError."""
        with FileIO(self._absolute(path)) as file:
            data = file.read(min(_USUAL, size))  # room for the largest one takes longer to get than to read most
            while len(data) < size and (more := file.read(size - len(data))):
                data += more
            return data

    @contextmanager
    def open_parts(self, path: str, version: str, what: Wanted = "parts") -> Iterator[int]:
        """Yield the descriptor of a file as it is now. Raises OSError."""
        with (self.root / path).open("rb", buffering=0) as file:
            yield file.fileno()

    def map(self, function: Callable[[_Task], _Answer], tasks: Iterable[_Task]) -> Iterator[_Answer]:
        """Yield the answers, one after the other."""
        return map(function, tasks)

    def beside(self, path: str, other: str) -> str:
        """Return the path of what is called `other` in the folder of a file."""
        return os.path.join(os.path.dirname(path), other)  # noqa: PTH118, PTH120 - text stays text

    def _absolute(self, path: str) -> str:
        return path if path.startswith("/") else f"{self.root}/{path}"  # a Path takes as long as a read


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
