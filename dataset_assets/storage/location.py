"""Where an artifact lies, or a folder of them: a Path of a local disk, or an object of a store (objects.py).

Stages know no more of a location than what is listed here, so none asks which kind it is.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BufferedReader, RawIOBase
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Literal, Protocol, cast, overload
from urllib.parse import unquote_to_bytes

from dataset_assets.storage.objects import ObjectPath
from dataset_assets.storage.patterns import cut_pattern, has_pattern
from dataset_assets.storage.store import find_fault, is_url

_ON_DISK = "file://"
_EXAMPLE = "the URL of files, such as s3://bucket/captions/*.jsonl"
_LISTINGS = 16  # of folders, at a time
_FEW = 2  # files of a folder that are asked for one by one


class Status(Protocol):
    """What is known of a file without opening it, by the names that `os.stat` has for it."""

    @property
    def st_size(self) -> int:
        """Its size, bytes."""

    @property
    def st_mtime_ns(self) -> int:
        """A number that is another one when the file was written again."""


class Location(Protocol):
    """A file or folder. What `Path` does, with the errors that it raises: OSError."""

    @property
    def name(self) -> str:
        """The last part."""

    @property
    def stem(self) -> str:
        """The last part without its ending."""

    @property
    def suffix(self) -> str:
        """The ending of the last part, with its dot."""

    @property
    def parent(self) -> "Location":
        """The folder it is in."""

    def __truediv__(self, part: str) -> "Location": ...

    def __hash__(self) -> int: ...

    def __lt__(self, other: Any) -> bool: ...

    def with_name(self, name: str) -> "Location":
        """Return the file of another name beside it."""

    def with_suffix(self, suffix: str) -> "Location":
        """Return the file beside it that only has another ending."""

    def relative_to(self, other: Any) -> PurePath:
        """Return the way from a folder above to here. Raises ValueError where there is none."""

    def is_relative_to(self, other: Any) -> bool:
        """Return whether it is in a folder, or the folder."""

    def stat(self) -> Status:
        """Return size and stamp of a file. Raises OSError."""

    def exists(self) -> bool:
        """Return whether a file is there, or a folder with something in it."""

    def is_file(self) -> bool:
        """Return whether a file is there."""

    def is_dir(self) -> bool:
        """Return whether a folder is there."""

    @overload
    def open(self, mode: Literal["rb"], buffering: Literal[0]) -> RawIOBase: ...

    @overload
    def open(self, mode: Literal["rb"]) -> BufferedReader: ...

    def open(self, mode: Literal["rb"], buffering: int = -1) -> BufferedReader | RawIOBase:
        """Open a file to read it: from its start to its end is quick, and any other way possible."""

    def read_bytes(self) -> bytes:
        """Return all that is in a file."""

    def read_text(self, encoding: str) -> str:
        """Return the text that a file is."""

    def glob(self, pattern: str) -> Iterable["Location"]:
        """Return what a pattern of names means below the folder."""

    def iterdir(self) -> Iterable["Location"]:
        """Return what is in a folder."""


class Look(Protocol):
    """What is there under a root, by path."""

    def __call__(self, path: str) -> Status:
        """Return what is known of a file. Raises OSError, FileNotFoundError where it is not there."""


def make_location(text: str, folder: Path) -> Location:
    """Return the place that a URL or a path means; a relative path is in `folder`. Nothing is looked at.

    What `check_location` finds a fault in has no meaning.
    """
    if text.startswith(_ON_DISK):
        return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(_ON_DISK)))).absolute()
    return ObjectPath(text.rstrip("/")) if is_url(text) else (folder / Path(text).expanduser()).absolute()


def check_location(text: str) -> str:
    """Return why a text cannot be a location, "" where it can."""
    if text.startswith(_ON_DISK):
        absolute = text.startswith(f"{_ON_DISK}/") and b"\0" not in unquote_to_bytes(text)
        return "" if absolute else f"{_ON_DISK}/folder, which names no machine"
    return find_fault(text) if is_url(text) else ""


def check_pattern(text: str) -> str:
    """Return why a text can be neither a path nor a URL of files, "" where it can. What it says shows no secret."""
    if not is_url(text) or text.startswith(_ON_DISK):
        return check_location(text)
    folder, wanted = cut_pattern(text)
    if fault := check_location(folder):
        return fault
    return "" if wanted and wanted[-1] and not has_pattern(folder) else _EXAMPLE


def is_local(location: Location) -> bool:
    """Return whether a place is on a local disk. For storage/ and the settings: no stage needs to know."""
    return isinstance(location, Path)


def make_folder(folder: Location) -> None:
    """Make a folder where it is not there; of an object store, which has none, see that it answers. Raises OSError."""
    if isinstance(folder, ObjectPath):
        folder.check()
    else:
        cast("Path", folder).mkdir(parents=True, exist_ok=True)


def look_at(root: Location, paths: Iterable[str]) -> Look:
    """Return what tells size and stamp of files under a root; `paths`, relative to it, are those to be asked about.

    On a local disk it tells how they are when it is asked. In an object store each folder is listed once, here, and
    what a listing does not show is asked for by itself.
    """
    if not isinstance(root, ObjectPath):
        return lambda path: (root / path).stat()
    from concurrent.futures import ThreadPoolExecutor

    folders: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, []).append(name)
    many = {folder: _find_start(names) for folder, names in folders.items() if len(names) > _FEW}
    with ThreadPoolExecutor(_LISTINGS) as pool:
        listings = pool.map(lambda one: (root / one[0] if one[0] else root).list(prefix=one[1]), many.items())
        known = {
            f"{folder}/{name}" if folder else name: status
            for folder, listing in zip(many, listings, strict=True)
            for name, status in listing.items()
        }
    return lambda path: known.get(path) or (root / path).stat()


def _find_start(names: Sequence[str]) -> str:
    """Return what all names begin with."""
    first, last = min(names), max(names)
    return first[: next((at for at, sign in enumerate(first) if last[at : at + 1] != sign), len(first))]


def find_stamp(look: Look, path: str) -> int:
    """Return the stamp of a file, 0 where it is not there. Raises OSError."""
    try:
        return look(path).st_mtime_ns
    except FileNotFoundError:
        return 0


def find_files(folder: Location) -> dict[str, Location]:
    """Return every file in a folder and below, by its path there, `/`-separated, in the order of these."""
    if isinstance(folder, ObjectPath):
        return {name: folder / name for name in sorted(folder.list())}
    local = cast("Path", folder)
    found = local.rglob("*")
    return {path.relative_to(local).as_posix(): path for path in sorted(found) if not path.is_dir()}


def list_sizes(folder: Location) -> dict[str, int]:
    """Return the size, bytes, of every file that `find_files` finds, by its path there: one listing of a store."""
    if isinstance(folder, ObjectPath):
        return {name: status.st_size for name, status in sorted(folder.list().items())}
    sizes = {}
    for name, path in find_files(folder).items():
        with suppress(FileNotFoundError):  # it is gone since, or a link that leads nowhere
            sizes[name] = path.stat().st_size
    return sizes


def read_part(location: Location, start: int, size: int) -> bytes:
    """Return `size` bytes of a file from `start` on, fewer where it ends. Raises OSError."""
    if isinstance(location, ObjectPath):
        return location.read_part(start, size)
    with location.open("rb") as file:
        file.seek(start)
        return file.read(size)


def path_in(root: Location, location: Location) -> str:
    """Return the way from a folder to a place below it, `/`-separated."""
    return PurePosixPath(location.relative_to(root)).as_posix()
