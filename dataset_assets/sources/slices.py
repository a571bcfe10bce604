"""A part of a file as a file of its own."""

import os
from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase
from typing import Any


class Slice(RawIOBase):
    """Some bytes of an open file, read where they lie: other readers of the file do not notice."""

    def __init__(self, file: int, offset: int, size: int) -> None:
        self._file = os.dup(file)
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
        data = os.pread(self._file, wanted, self._offset + self._position)
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
        if not self.closed:
            os.close(self._file)
        super().close()
