"""Files that the settings name by a path, a URL or a pattern of either: which there are, and as what they are read.

An object is read as it was when it was found, by ranges; whatever its store does not do then is a SourceError, so that
nobody takes a part of it for the whole. What is in the files is their readers' matter.
"""

import glob
import io
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, overload

from dataset_assets.errors import SourceError
from dataset_assets.sources.objects import ObjectFile, list_objects, look_up
from dataset_assets.sources.slices import ChangedError, Slice
from dataset_assets.sources.walk import FileState
from dataset_assets.storage.location import Location, Status, make_location
from dataset_assets.storage.objects import BLOCK, ObjectPath, ObjectStatus
from dataset_assets.storage.patterns import cut_pattern, fits, fixed_start, has_pattern
from dataset_assets.storage.store import is_url

_AHEAD = 1 << 18  # bytes that are read at once after a jump; while there is none, more and more, up to BLOCK
_BUFFER = 1 << 17  # bytes, of readers who read a few at a time
_STAMP_DIGITS = 15  # hex digits, which a signed number of 64 bits has room for


@dataclass(frozen=True, slots=True)
class NamedObject(ObjectPath):
    """An object as it was when it was found: another content under its name is not read, but a SourceError.

    No other path is made of it: what is beside it was not found.
    """

    state: FileState

    def stat(self) -> ObjectStatus:
        """Return its size, and a number that is another one where its etag is."""
        return ObjectStatus(self.state.size, int(sha256(self.state.version.encode()).hexdigest()[:_STAMP_DIGITS], 16))

    @overload
    def open(self, mode: Literal["rb"], buffering: Literal[0]) -> io.RawIOBase: ...

    @overload
    def open(self, mode: Literal["rb"]) -> io.BufferedReader: ...

    def open(self, mode: Literal["rb"], buffering: int = -1) -> io.BufferedReader | io.RawIOBase:
        """Open it to read it from any byte on. Nothing is asked for yet."""
        raw = Slice(_Parts(self, _AHEAD), 0, self.state.size)
        return raw if buffering == 0 else io.BufferedReader(raw, _BUFFER)

    def open_ranges(self) -> io.RawIOBase | io.BytesIO:
        """Open it to read a few parts: each is fetched alone. A small one is fetched at once."""
        parts = _Parts(self, 0)
        if self.state.size > BLOCK:
            return Slice(parts, 0, self.state.size)
        return io.BytesIO(parts.read_at(self.state.size, 0))


class _Parts:
    """What slices.Ranges says, with what goes wrong as SourceError. What is far from what was read last is a jump."""

    def __init__(self, path: NamedObject, ahead: int) -> None:
        self._path = path
        self._ahead = ahead
        self._next = -1  # where what was read last ends
        self._file = self._begin()

    def _begin(self) -> ObjectFile:
        return ObjectFile(ObjectPath(self._path.url), self.state, ahead=self._ahead, most=BLOCK)

    @property
    def state(self) -> FileState:
        """What was known of it when it was found."""
        return self._path.state

    @property
    def identity(self) -> Hashable:
        """What tells it from all other objects, and from itself when it was another one."""
        return self._file.identity

    def read_at(self, size: int, offset: int) -> bytes:
        """Return `size` bytes from `offset` on, fewer where it ends. Raises SourceError."""
        if offset != self._next:
            self._file = self._begin()
        self._next = offset + size
        try:
            return self._file.read_at(size, offset)
        except ChangedError:
            raise _explain(self._path, "it has changed since it was found; run it again") from None
        except FileNotFoundError:
            raise _explain(self._path, "it was removed after it was found; run it again") from None
        except OSError as error:
            raise _explain(self._path, error.strerror or str(error)) from None


def find_named(pattern: str, folder: Path) -> list[Location]:
    """Return the files that a path, a URL or a pattern means, by path; a relative one is in `folder`.

    A name with the characters of a pattern is a name. On a disk links that lead nowhere are among them. Raises
    SourceError where a store cannot be listed.
    """
    place = make_location(pattern, folder)
    if isinstance(place, ObjectPath):
        return list(_find_objects(pattern))
    if place.is_file():
        return [place]
    wanted = str(place) if is_url(pattern) else str(Path(pattern).expanduser())
    # Not Path.glob: hidden files are nobody's, and the folder of the settings is no pattern.
    matches = glob.glob(wanted, root_dir=folder, recursive=True)  # noqa: PTH207
    return sorted(one for one in ((folder / name).absolute() for name in matches) if one.is_file() or not one.exists())


def pin(place: Location) -> Location:
    """Return the file at a place as it is to be read: an object as it is now. Raises SourceError where it is not there.

    A file on a disk is whatever it is when it is read.
    """
    if not isinstance(place, ObjectPath):
        return place
    try:
        return NamedObject(place.url, look_up(place))
    except OSError as error:
        raise _explain(place, error.strerror or str(error)) from error


def find_time(place: Location, status: Status) -> float:
    """Return when a file was written, unix seconds; `status` is what its `stat` gave."""
    return place.state.modified if isinstance(place, NamedObject) else status.st_mtime_ns / 10**9


def _find_objects(url: str) -> Iterator[NamedObject]:
    text, wanted = cut_pattern(url)
    folder = ObjectPath(text)
    name = "/".join(wanted)
    found: dict[str, FileState] = {}
    try:
        if not has_pattern(name):
            found[name] = look_up(folder / name)
        else:
            deep = len(wanted) > 1 or wanted == ["**"]
            listing = list_objects(folder, deep=deep, prefix=fixed_start(wanted[0]))
            found = {path: state for path, state in listing if path == name or _means(wanted, path)}
    except FileNotFoundError:
        return
    except OSError as error:
        raise _explain(folder if has_pattern(name) else folder / name, error.strerror or str(error)) from None
    for path in [name] if name in found else sorted(found, key=lambda path: path.split("/")):
        if fault := found[path].fault:
            raise _explain(folder / path, fault[1])
        yield NamedObject(f"{folder}/{path}", found[path])


def _means(wanted: list[str], path: str) -> bool:
    """Return whether a pattern means an object. A key that ends in a / stands for a folder."""
    return not path.endswith("/") and fits(path.split("/"), wanted)


def _explain(place: Any, said: str) -> SourceError:
    return SourceError(f"source {place}: cannot be read: {said}")
