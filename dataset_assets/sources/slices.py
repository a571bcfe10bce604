"""Parts of an open file, read where they lie: by its descriptor, or of an object by ranges. Nothing is opened here."""

import os
from collections.abc import Hashable
from io import SEEK_CUR, SEEK_END, SEEK_SET, BufferedReader, RawIOBase
from typing import Any, BinaryIO, Literal, Protocol

from dataset_assets.sources.walk import FileState, state_of


class Ranges(Protocol):
    """A file that is read by ranges, always as it was when it was listed."""

    @property
    def state(self) -> FileState:
        """What the listing says of it."""

    @property
    def identity(self) -> Hashable:
        """What tells it from all other files, and from itself when it was another one."""

    def read_at(self, size: int, offset: int) -> bytes:
        """Return `size` bytes from `offset` on, fewer where it ends. Raises OSError, ChangedError where it changed."""


Handle = int | Ranges  # of an open file; an int is its descriptor
Wanted = Literal["parts", "start", "walk"]  # each by itself; from a place on; many small ones, one after the other


class ChangedError(OSError):
    """A file is not the one that was listed."""


def read_at(file: Handle, size: int, offset: int) -> bytes:
    """Return `size` bytes from `offset` on, fewer where the file ends. Raises OSError."""
    return os.pread(file, size, offset) if isinstance(file, int) else file.read_at(size, offset)


def find_state(file: Handle) -> FileState:
    """Return what is known of an open file. Raises OSError."""
    return state_of(os.fstat(file)) if isinstance(file, int) else file.state


def identify(file: Handle) -> Hashable:
    """Return what is another value when the file is another one, or has another content. Raises OSError."""
    if not isinstance(file, int):
        return file.identity
    status = os.fstat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def view(file: Handle) -> BinaryIO:
    """Return the whole of an open file as a file object; where it is closed, the file stays open."""
    if isinstance(file, int):
        return open(file, "rb", closefd=False)
    return BufferedReader(Slice(file, 0, file.state.size))


class Slice(RawIOBase):
    """Some bytes of an open file as a file of its own: other readers of the file do not notice."""

    def __init__(self, file: Handle, offset: int, size: int) -> None:
        self._file = os.dup(file) if isinstance(file, int) else file
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that any of it can be read next."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as far as there are bytes; return how many these were."""
        wanted = max(0, min(len(buffer), self._size - self._position))
        data = read_at(self._file, wanted, self._offset + self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Go to a byte; return which that is."""
        start = {SEEK_SET: 0, SEEK_CUR: self._position, SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError("before the beginning of the file")
        self._position = start + offset
        return self._position

    def close(self) -> None:
        """Close it; the file that it is a part of stays as it is."""
        if not self.closed and isinstance(self._file, int):
            os.close(self._file)
        super().close()
