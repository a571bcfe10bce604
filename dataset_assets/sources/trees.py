"""The folder that a source lies in, with all below it: what sources ask of it, and which kind of it a place is.

This is the one place that knows whether a source is on a disk or in an object store.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, BinaryIO, Protocol, TypeVar, cast

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.sources.bucket import BucketTree
from dataset_assets.sources.disk import DiskTree
from dataset_assets.sources.slices import ChangedError, Handle, Wanted
from dataset_assets.sources.waiting import waiting
from dataset_assets.sources.walk import FileState
from dataset_assets.storage.location import Location
from dataset_assets.storage.objects import ObjectPath

_Task = TypeVar("_Task")
_Answer = TypeVar("_Answer")

_asking = Lock()


class Entry(Protocol):
    """A file that a tree found."""

    @property
    def name(self) -> str:
        """The last part of its path."""


class Tree(Protocol):
    """A folder. Paths are relative to it, `/`-separated. Crosses process borders, and holds nothing open."""

    @property
    def at_once(self) -> int:
        """How many files are best opened at a time: one where none is waited for."""

    def walk(self, offered: frozenset[str]) -> Iterator[tuple[str, Sequence[Entry]]]:
        """Yield each folder with its files by name: its path, "" or with a / at its end. The order is always the same.

        Hidden and temporary files are left out. `offered` are the extensions of what the source offers. Raises
        SourceError when anything cannot be listed: guessing that images are gone would throw their places away.
        """

    def look_at(self, entry: Any) -> FileState:
        """Return what is known of a file that was found."""

    def make_look(self) -> Callable[[str], FileState]:
        """Return what tells the state of many files by their paths, now or a little earlier; it raises OSError."""

    def is_folder(self, path: str) -> bool:
        """Return whether this is a folder and no file."""

    def is_skipped(self) -> bool:
        """Return whether the whole tree is one of the folders that are left alone."""

    def beside(self, path: str, other: str) -> str:
        """Return the path of what is called `other` in the folder of a file."""

    def find_path(self, place: str) -> str | None:
        """Return the path of what a person names by a place on disk or a URL, None where that is elsewhere."""

    def open(self, path: str, version: str) -> BinaryIO:
        """Open a file to read its beginning, and more where it is needed. Raises OSError, here or when it is read."""

    def read(self, path: str, version: str) -> bytes:
        """Return a whole file. Raises OSError: ChangedError where it is not `version`."""

    def read_start(self, path: str, size: int, version: str) -> bytes:
        """Return the first `size` bytes of a file, or all where it has fewer. Raises OSError."""

    def open_parts(self, path: str, version: str, what: Wanted = "parts") -> AbstractContextManager[Handle]:
        """Open a file of which parts are read. Raises OSError, here or when it is read."""

    def map(self, function: Callable[[_Task], _Answer], tasks: Iterable[_Task]) -> Iterator[_Answer]:
        """Yield the answers to tasks that read files, in order; several are under way where they wait."""


def make_tree(place: Location, skip: Sequence[Location] = ()) -> Tree:
    """Return the tree at a place. Of the folders in `skip` those are left alone that are in it."""
    if isinstance(place, ObjectPath):
        return BucketTree(place, tuple(folder for folder in skip if isinstance(folder, ObjectPath)))
    return DiskTree(cast("Path", place), tuple(folder for folder in skip if isinstance(folder, Path)))


def find_folder(place: Location, *, again: bool = False) -> Location:
    """Return the folder of a place that may be one file: its parent then, else the place. Raises OSError.

    A store is asked once in a process, and `again` where the answer is to be that of now.
    """
    if isinstance(place, ObjectPath):
        with _asking:  # once, whatever many threads want to know it
            if again:
                _find_prefix.cache_clear()
            return _find_prefix(place)
    return place.parent if place.is_file() else place


@lru_cache
def _find_prefix(place: ObjectPath) -> ObjectPath:
    """Return the same of an object. It is not asked for of every image, which would be too often."""
    with waiting():
        return place.parent if PurePosixPath(place.name).suffix and place.is_file() else place


def tell_loss(error: OSError, whose: str = "") -> SampleError:
    """Return why an image is lost whose file cannot be read; `whose` names the file, where it is an archive."""
    after = " after the scan"
    if isinstance(error, ChangedError):
        return SampleError(DropReason.SOURCE_CHANGED, f"{whose} changed{after}".lstrip())
    if isinstance(error, FileNotFoundError):
        return SampleError(DropReason.SOURCE_CHANGED, f"{whose} was removed{after}" if whose else f"removed{after}")
    return SampleError(DropReason.UNREADABLE, error.strerror or str(error))
