"""The bytes of images, under way in threads before a worker comes to them: it computes while it waits for a store.

What an image is, and what becomes of it, is not known here. Where nothing is waited for, nothing is read ahead.
"""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock

from dataset_assets.sources.base import Reader

_ROOM = 32 << 20  # bytes that are read ahead, about
_LARGE = 4 << 20  # bytes: an image, as far as none was seen yet
_FADES = 0.9  # what is left of a large one's size as a guess, an image later


@dataclass(slots=True, eq=False)
class _Read:
    """An image that is read ahead: by a thread, once there is room for it, or where it is taken, if that is sooner."""

    read: Callable[[], bytes]
    coming: Future[bytes] | None = None


class Reads:
    """Reads images from the sources that are named. One thread may begin what another takes."""

    def __init__(self, sources: Mapping[str, Reader]) -> None:
        self._sources = sources
        self._threads = ThreadPoolExecutor(count_reads(sources))  # which starts them as they are needed
        self._lock = Lock()
        self._waiting: deque[_Read] = deque()  # until there is room
        self._under_way = 0  # images
        self._size = float(_LARGE)  # that an image may have, bytes

    def begin(self, source: str, uri: str, version: str) -> Callable[[], bytes]:
        """Return what gives an image's bytes and raises as Reader.read does; it is to be called, once.

        An image is read there and then, and not ahead, where its source is not waited for, and where decoders are
        needed to read it, which may end the process while another image is worked on.
        """
        reader = self._sources[source]
        read = partial(reader.read, uri, version)
        if reader.at_once == 1 or not reader.is_quick(version):
            return read
        ahead = _Read(read)
        with self._lock:
            self._waiting.append(ahead)
            self._start()
        return partial(self._take, ahead)

    def _start(self) -> None:
        """Let threads read what there is room for; the lock is held."""
        while self._waiting and (self._under_way + 1) * self._size <= _ROOM:
            first = self._waiting.popleft()
            first.coming = self._threads.submit(first.read)
            self._under_way += 1

    def _take(self, ahead: _Read) -> bytes:
        with self._lock:
            coming = ahead.coming
            if coming is None:
                self._waiting.remove(ahead)
        size = 0
        try:
            data = coming.result() if coming else ahead.read()
            size = len(data)
        finally:
            with self._lock:
                self._under_way -= coming is not None
                self._size = max(size, _FADES * self._size)
                self._start()
        return data


def count_reads(sources: Mapping[str, Reader]) -> int:
    """Return how many images are best read at a time: one where none is waited for."""
    return max((source.at_once for source in sources.values()), default=1)
