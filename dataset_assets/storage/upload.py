"""One object while it is written: blocks are sent by a thread while the next is made, and it is there whole or not.

What is smaller than a block is one request at the end. Of more, the blocks lie in the store unseen until the last one
is there and the whole is asked for; a process that is killed before leaves blocks of which no object was made, which a
rule of the bucket for incomplete uploads removes.
"""

import errno
import io
from contextlib import suppress
from queue import Queue
from threading import Thread
from typing import Any

from dataset_assets.storage.objects import BLOCK, ObjectPath
from dataset_assets.storage.store import ObjectError, calling

_WAITING = 2  # blocks
_GROWTH = 1000  # blocks, after which they are larger: there are at most 10,000 of an object in S3


class Upload(io.RawIOBase):
    """A file to write, from its start to its end. `finish` makes the object, `abort` makes sure that there is none."""

    def __init__(self, path: ObjectPath) -> None:
        self._path = path
        self._block = bytearray()
        self._size = 0  # bytes, of all that was written
        self._sent = 0  # blocks
        self._blocks: Queue[bytes | None] = Queue(_WAITING)  # None: the end
        self._thread: Thread | None = None
        self._file: Any = None  # of fsspec; the thread's while it runs
        self._error: BaseException | None = None

    def writable(self) -> bool:
        """Return that it can be written."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._size

    def write(self, data: Any) -> int:
        """Take all of `data`, bytes. Raises OSError where what was taken before could not be sent."""
        with memoryview(data).cast("B") as taken:
            self._block += taken
            self._size += len(taken)
            while len(self._block) > (size := BLOCK * (1 + self._sent // _GROWTH)):
                with memoryview(self._block) as view:
                    self._send(bytes(view[:size]))
                del self._block[:size]
            return len(taken)

    def finish(self) -> None:
        """Make the object of all that was written, and see that it is there with its size.

        Raises OSError. There is none then, but where another writer put one in its place, or where all was sent and the
        store does not answer when it is asked for it.
        """
        name = self._path.url.partition("://")[2]
        if self._thread is None:
            with calling(self._path.url):
                self._path.store.pipe_file(name, bytes(self._block))
        else:
            self._send(bytes(self._block))
            self._join()
            with calling(self._path.url):
                self._file.close()
                self._file.commit()
        there = self._path.stat().st_size
        if there != self._size:
            raise ObjectError(errno.EIO, f"{self._size} bytes were written, and {there} are there", self._path.url)

    def abort(self) -> None:
        """Give up what was sent."""
        with suppress(OSError):
            self._join()
        if self._file is not None:
            self._file.closed = True  # else fsspec would send the rest when it is forgotten
            with suppress(OSError), calling(self._path.url):
                self._file.discard()

    def _send(self, block: bytes) -> None:
        self._sent += 1
        if self._thread is None:
            self._thread = Thread(target=self._run, name="upload", daemon=True)
            self._thread.start()
        self._blocks.put(block)
        self._raise()

    def _join(self) -> None:
        """Wait until everything is sent."""
        if self._thread is not None and self._thread.is_alive():
            self._blocks.put(None)
            self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with calling(self._path.url):
                name = self._path.url.partition("://")[2]
                self._file = self._path.store.open(name, "wb", block_size=BLOCK, autocommit=False)
                while (block := self._blocks.get()) is not None:
                    self._file.write(block)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that writes
            self._error = error
            while self._blocks.get() is not None:  # whoever waits for room must not wait for ever
                pass
