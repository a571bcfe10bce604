"""The bytes of images, under way in threads before a worker comes to them: it computes while it waits for a store.

What an image is, and what becomes of it, is not known here. Where nothing is waited for, nothing is read ahead.
"""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock

from dataset_assets.sources.base import Reader, count_at_once
from dataset_assets.sources.waiting import untold, waiting

_MOST_AHEAD = 32 << 20  # bytes that are read ahead; of one image that is larger, all


@dataclass(slots=True, eq=False)
class _Read:
    """An image that is read ahead: by a thread, once there is room for it, or where it is taken, if that is sooner."""

    read: Callable[[], bytes]
    size: int
    coming: Future[bytes] | None = None


class Reads:
    """Reads images from the sources that are named. One thread may begin what another takes."""

    def __init__(self, sources: Mapping[str, Reader]) -> None:
        self._sources = sources
        self._threads = ThreadPoolExecutor(count_at_once(sources.values()))  # which starts them as they are needed
        self._lock = Lock()
        self._waiting: deque[_Read] = deque()  # until there is room
        self._ahead = 0  # bytes that are on their way, or there and not taken

    def begin(self, source: str, uri: str, version: str) -> Callable[[], bytes]:
        """Return what gives an image's bytes and raises as Reader.read does; it is to be called, once.

        An image is read there and then, and not ahead, where its source is not waited for, and where decoders are
        needed to read it, which may end the process while another image is worked on.
        """
        reader = self._sources[source]
        read = partial(reader.read, uri, version)
        if reader.at_once == 1 or not reader.is_quick(version):
            return read
        one = _Read(read, reader.count_bytes(version))
        with self._lock:
            self._waiting.append(one)
            self._start()
        return partial(self._take, one)

    def _start(self) -> None:
        """Let threads read what there is room for; the lock is held."""
        while self._waiting and (not self._ahead or self._ahead + self._waiting[0].size <= _MOST_AHEAD):
            first = self._waiting.popleft()
            self._ahead += first.size
            first.coming = self._threads.submit(_read_untold, first.read)

    def _take(self, one: _Read) -> bytes:
        with self._lock:
            coming = one.coming
            if coming is None:
                self._waiting.remove(one)
        if coming is None:
            return one.read()
        try:
            with waiting():  # here, and not where it is read: this process may be at work on another image then
                return coming.result()
        finally:
            with self._lock:
                self._ahead -= one.size
                self._start()


def _read_untold(read: Callable[[], bytes]) -> bytes:
    with untold():
        return read()
