"""Objects of a store as places: read by ranges, listed by folder, and written whole (upload.py).

Every error is an OSError that names what went wrong; which store it is and how it is asked is store.py's.
"""

import errno
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, Literal, Self, overload

from dataset_assets.storage.faults import find_status
from dataset_assets.storage.patterns import fixed_start, has_pattern
from dataset_assets.storage.store import ObjectError, calling, open_store

BLOCK = 8 << 20  # bytes: what is asked for at a time, and what is sent at a time

_BUFFER = 1 << 17  # bytes, of readers who read a few at a time
_BLOCKS = 3  # of a file in memory: the one that is read, the one before, and the next, which a thread fetches
_SECOND = 10**9
_BEYOND = 416  # the answer to a range behind the end
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")  # as the libraries of stores call them
_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "generation")


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """Size of an object, bytes, and a number that is another one when it was written again."""

    st_size: int
    st_mtime_ns: int  # to the second; below it, digits of the etag


def find_version(info: Mapping[str, Any]) -> tuple[float, str]:
    """Return when an object was written, unix seconds, and what is another text where its content is another one.

    `info` is what the library of a store says of it.
    """
    modified = next((info[name] for name in _TIMES if info.get(name)), 0)
    if isinstance(modified, str):
        modified = datetime.fromisoformat(modified)
    seconds = modified.timestamp() if isinstance(modified, datetime) else float(modified)
    tag = str(next((info[name] for name in _TAGS if info.get(name)), seconds))
    return seconds, tag[1:-1] if tag[:1] == tag[-1:] == '"' else tag


def _describe(info: Mapping[str, Any]) -> ObjectStatus:
    seconds, tag = find_version(info)
    digits = int(sha256(tag.encode()).hexdigest()[:12], 16) % _SECOND
    return ObjectStatus(int(info["size"]), int(seconds) * _SECOND + digits)


@dataclass(frozen=True, slots=True, order=True)
class ObjectPath:
    """A URL without a `/` at its end, with what `Path` does. Crosses process borders, and opens nothing by itself."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, part: str) -> Self:
        return type(self)(f"{self.url}/{part}")

    @property
    def _parts(self) -> tuple[str, str]:
        protocol, _, path = self.url.partition("://")
        return protocol, path

    @property
    def store(self) -> Any:
        """The file system of fsspec that it is in. Raises ObjectError where there is none for it."""
        return open_store(self._parts[0], os.getpid())

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The ending of the last part, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Self:
        """The folder it is in."""
        return type(self)(self.url.rpartition("/")[0])

    def with_name(self, name: str) -> Self:
        """Return the object of another name beside it."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> Self:
        """Return the object beside it that only has another ending."""
        return self.with_name(PurePosixPath(self.name).with_suffix(suffix).name)

    def relative_to(self, other: object) -> PurePosixPath:
        """Return the way from a folder above to here. Raises ValueError where there is none."""
        if not self.is_relative_to(other):
            raise ValueError(f"{self} is not below {other}")
        return PurePosixPath(self.url[len(str(other)) :].lstrip("/"))

    def is_relative_to(self, other: object) -> bool:
        """Return whether it is in a folder, or the folder."""
        return isinstance(other, ObjectPath) and f"{self.url}/".startswith(f"{other.url}/")

    def check(self) -> None:
        """Raise OSError unless the store answers, and has the bucket."""
        try:
            with calling(self.url):
                self.store.ls(self._parts[1], refresh=True)
        except ObjectError:
            raise
        except FileNotFoundError:
            pass  # nothing is below it yet

    def stat(self) -> ObjectStatus:
        """Return size and stamp of an object. Raises OSError."""
        with calling(self.url):
            info = self.store.info(self._parts[1])
        if info["type"] != "file":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.url)
        return _describe(info)

    def exists(self) -> bool:
        """Return whether an object is there, or a folder with one in it."""
        with calling(self.url):
            return bool(self.store.exists(self._parts[1]))

    def is_file(self) -> bool:
        """Return whether an object is there."""
        with suppress(FileNotFoundError):
            return self.stat().st_size >= 0
        return False

    def is_dir(self) -> bool:
        """Return whether something is below it."""
        with calling(self.url):
            return bool(self.store.isdir(self._parts[1]))

    def list(self, *, prefix: str = "") -> dict[str, ObjectStatus]:
        """Return every object below it, by its path there; `prefix` is how these begin. Raises OSError."""
        start = f"{self._parts[1]}/".lstrip("/")
        options = {"prefix": prefix} if prefix else {}
        with calling(self.url):
            found = self.store.find(self._parts[1], detail=True, **options)
        below = ((path.lstrip("/"), info) for path, info in found.items())
        named = ((path.removeprefix(start), info) for path, info in below if path.startswith(start))
        return {
            name: _describe(info)
            for name, info in named
            if info["type"] == "file" and name.startswith(prefix) and name and not name.endswith("/")
        }

    def glob(self, pattern: str) -> Iterator[Self]:
        """Yield the objects below it that a pattern means, in order; `**` has no meaning."""
        parts = pattern.split("/")
        fixed = next((number for number, part in enumerate(parts) if has_pattern(part)), len(parts))
        folder = "/".join(parts[: min(fixed, len(parts) - 1)])
        below = self / folder if folder else self
        wanted = parts[min(fixed, len(parts) - 1) :]
        for name in sorted(below.list(prefix=fixed_start(wanted[0]))):
            given = name.split("/")
            if len(given) == len(wanted) and all(map(fnmatchcase, given, wanted)):
                yield below / name

    def iterdir(self) -> Iterator[Self]:
        """Yield what is directly below it, in order."""
        with calling(self.url):
            names = self.store.ls(self._parts[1], detail=False)
        below = (str(path).strip("/") for path in names)
        own = self._parts[1].strip("/")  # of what some programs put in a folder's place
        yield from (self / name for name in sorted(path.rpartition("/")[2] for path in below if path != own))

    @overload
    def open(self, mode: Literal["rb"], buffering: Literal[0]) -> io.RawIOBase: ...

    @overload
    def open(self, mode: Literal["rb"]) -> io.BufferedReader: ...

    def open(self, mode: Literal["rb"], buffering: int = -1) -> io.BufferedReader | io.RawIOBase:
        """Open an object to read it; what comes next is fetched while the caller works. Raises OSError."""
        raw = self._open(cache_type="background", cache_options={"maxblocks": _BLOCKS})
        return raw if buffering == 0 else io.BufferedReader(raw, _BUFFER)

    def open_ranges(self) -> io.RawIOBase | io.BytesIO:
        """Open an object of which a few parts are read: each is fetched alone. A small one is fetched at once."""
        raw = self._open(cache_type="none")
        if raw.size > BLOCK:
            return raw
        with raw:
            return io.BytesIO(raw.read(raw.size))

    def _open(self, **options: Any) -> "_Reading":
        with calling(self.url):
            file = self.store.open(self._parts[1], "rb", block_size=BLOCK, **options)
            if getattr(file, "details", {}).get("type") == "directory":
                raise FileNotFoundError
        return _Reading(file, self.url)

    def read_bytes(self) -> bytes:
        """Return all that is in an object. Raises OSError."""
        with self.open("rb") as file:
            return file.read()

    def read_text(self, encoding: str) -> str:
        """Return the text that an object is. Raises OSError, UnicodeDecodeError."""
        return self.read_bytes().decode(encoding)

    def read_part(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start` on, fewer where it ends; one request. Raises OSError."""
        try:
            with calling(self.url):
                return bytes(self.store.cat_file(self._parts[1], start=start, end=start + size)) if size else b""
        except ObjectError as error:
            if find_status(error) != _BEYOND:
                raise
            return b""

    def remove(self) -> None:
        """Remove an object. Raises FileNotFoundError where there is none."""
        self.stat()
        with calling(self.url):
            self.store.rm_file(self._parts[1])


class _Reading(io.RawIOBase):
    """An open object of which every read gives what was asked for, or raises OSError."""

    def __init__(self, file: Any, url: str) -> None:
        self._file = file
        self._url = url
        self.size = int(file.size)  # bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer).cast("B")
        start = self.tell()
        wanted = max(0, min(len(room), self.size - start))
        with calling(self._url):
            data = self._file.read(wanted) if wanted else b""
        if len(data) != wanted:
            said = f"{len(data)} bytes came where {wanted} were asked for, from byte {start} on"
            raise ObjectError(errno.EIO, said, self._url)
        room[:wanted] = data
        return int(wanted)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
