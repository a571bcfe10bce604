"""A source's folder in an object store. There are no folders there, only keys; what a / parts is taken for one."""

import errno
import posixpath
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import BinaryIO, NamedTuple, TypeVar

from dataset_assets.errors import SourceError
from dataset_assets.sources.objects import ObjectFile, list_objects, look_up, parse_version
from dataset_assets.sources.slices import Slice, Wanted
from dataset_assets.sources.walk import FileState, is_left_alone, is_system_folder
from dataset_assets.storage.objects import ObjectPath
from dataset_assets.storage.store import CONNECTIONS, is_url

_ARCHIVES = 8  # that are listed at a time: each asks for one part after the other

# Bytes that are read at once, at first and at most: 16 kB hold most headers, and 256 kB what follows a photograph.
_READ_AHEAD: dict[Wanted, tuple[int, int]] = {"parts": (0, 0), "start": (1 << 14, 1 << 23), "walk": (1 << 18, 1 << 18)}

_Task = TypeVar("_Task")
_Answer = TypeVar("_Answer")


class ObjectEntry(NamedTuple):
    """An object in a folder."""

    name: str
    state: FileState


@dataclass(frozen=True, slots=True)
class BucketTree:
    """See trees.Tree. Objects are read only as they were listed: the store is asked for that version and no other."""

    root: ObjectPath
    skip: tuple[ObjectPath, ...] = ()

    @property
    def at_once(self) -> int:
        """Many: each object is waited for."""
        return CONNECTIONS

    def walk(self, offered: frozenset[str]) -> Iterator[tuple[str, list[ObjectEntry]]]:
        """Yield each folder after those below it. Files of a folder are held until all of it was listed.

        Raises SourceError where the listing fails, and where there is nothing: a path is wrong more likely.
        """
        if self.root in self.skip:
            return
        nothing = True
        skipped = tuple(f"{folder.relative_to(self.root)}/" for folder in self.skip if folder.is_relative_to(self.root))
        open_folders: list[tuple[str, list[ObjectEntry]]] = [("", [])]  # each in the one before
        for path, state in self._list(self.root):
            nothing = False
            folder, name = path[: path.rfind("/") + 1], path[path.rfind("/") + 1 :]
            while not folder.startswith(open_folders[-1][0]):
                yield open_folders.pop()
            if not name or is_left_alone(name) or path.startswith(skipped) or _is_left_alone(folder):
                continue
            if folder != open_folders[-1][0]:
                open_folders.append((folder, []))
            open_folders[-1][1].append(ObjectEntry(name, state))
        if nothing:
            raise SourceError(
                f"source {self.root}: there is nothing in it; path under [[sources]] in the settings names it"
            )
        yield from reversed(open_folders)

    def look_at(self, entry: ObjectEntry) -> FileState:
        """Return what the listing says of an object."""
        return entry.state

    def make_look(self) -> Callable[[str], FileState]:
        """Return what tells the state of an object; a folder is listed when the first object in it is asked for."""
        listed: dict[ObjectPath, dict[str, FileState]] = {}

        def look(path: str) -> FileState:
            place = self._locate(path)
            if place.parent not in listed:
                listed[place.parent] = dict(self._list(place.parent, deep=False))
            if place.name not in listed[place.parent]:
                raise FileNotFoundError(errno.ENOENT, "there is no such object")
            return listed[place.parent][place.name]

        return look

    def is_folder(self, path: str) -> bool:
        """Return whether there is no object of this name: then it has a listed one below it."""
        try:
            look_up(self._locate(path))
        except FileNotFoundError:
            return True
        return False

    def is_skipped(self) -> bool:
        """Return whether this is one of the folders that are left alone."""
        return self.root in self.skip

    def find_path(self, place: str) -> str | None:
        """Return the way from here to a URL."""
        start = f"{self.root}/"
        return place.removeprefix(start) if is_url(place) and place.startswith(start) else None

    def open(self, path: str, version: str) -> BinaryIO:
        """Open an object: its first kilobytes are asked for with its first byte, what follows in larger parts."""
        with self.open_parts(path, version, "start") as file:
            return BufferedReader(Slice(file, 0, file.state.size))

    def read(self, path: str, version: str) -> bytes:
        """Return a whole object. Raises OSError: ChangedError where it is not `version`."""
        return self.read_start(path, parse_version(version).size, version)

    def read_start(self, path: str, size: int, version: str) -> bytes:
        """Return the first `size` bytes of an object, or all where it has fewer. Raises OSError as `read` does."""
        return ObjectFile(self._locate(path), parse_version(version)).read_at(size, 0)

    @contextmanager
    def open_parts(self, path: str, version: str, what: Wanted = "parts") -> Iterator[ObjectFile]:
        """Yield an object. Nothing is asked for yet. Raises ChangedError for a version that no object has."""
        ahead, most = _READ_AHEAD[what]
        yield ObjectFile(self._locate(path), parse_version(version), ahead=ahead, most=most)

    def map(self, function: Callable[[_Task], _Answer], tasks: Iterable[_Task]) -> Iterator[_Answer]:
        """Yield the answers in order; some tasks are under way at a time, each in a thread."""
        waiting: deque[Future[_Answer]] = deque()
        pool = ThreadPoolExecutor(_ARCHIVES)
        try:
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) == _ARCHIVES:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def beside(self, path: str, other: str) -> str:
        """Return the path of what is called `other` in the folder of a file; `..` leads out of a folder."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(path), other))

    def _locate(self, path: str) -> ObjectPath:
        root = self.root
        while path.startswith("../"):  # only as `beside` makes it: folders of this name are left alone
            root, path = root.parent, path.removeprefix("../")
            if root.url.endswith(":/"):
                raise FileNotFoundError(errno.ENOENT, "a path that leads out of the bucket")
        return root / path

    def _list(self, folder: ObjectPath, *, deep: bool = True) -> Iterator[tuple[str, FileState]]:
        """Yield every object below a folder, or directly in it, in the order of the paths. Raises SourceError."""
        last = ""
        try:
            for path, state in list_objects(folder, deep=deep):
                if path < last:
                    raise SourceError(f"source {folder}: cannot be listed: the store knows no order")
                last = path
                yield path, state
        except OSError as error:
            raise SourceError(f"source {folder}: cannot be listed: {error.strerror or error}") from None


def _is_left_alone(folder: str) -> bool:
    """Return whether a folder or one that it is in is hidden, temporary or a system's."""
    return any(is_left_alone(part) or is_system_folder(part) for part in folder.split("/"))
