"""An iterator in a thread of its own, which goes on while what it yielded is worked on. No pool is known here."""

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")

_GLANCE_SECONDS = 0.05  # between two looks at whether the thread has ended


class Ahead(Generic[Item]):
    """Runs `items` in a thread, at most `room` of them ahead. Use it as a context manager, and as an iterator in it.

    What `items` raises is raised to the one who takes them, after those that came before. When the block ends, `stop`
    is called: it makes `items` end soon, also where it waits for something, and is safe to call from another thread.
    """

    def __init__(self, items: Generator[Item, None, None], room: int, stop: Callable[[], None]) -> None:
        self._items = items
        self._stop = stop
        self._queue: Queue[tuple[Item] | BaseException | None] = Queue(room)  # None: the end
        self._unwanted = Event()
        self._thread = Thread(target=self._run, name="ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unwanted.set()
        self._stop()
        while self._thread.is_alive():
            with suppress(Empty):
                self._queue.get(timeout=_GLANCE_SECONDS)  # it may be waiting for room

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        """Return the next item as soon as it is there."""
        taken = self._queue.get()
        if isinstance(taken, tuple):
            return taken[0]
        self._queue.put(taken)  # for whoever asks again
        raise StopIteration if taken is None else taken

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            for item in self._items:
                self._queue.put((item,))
                if self._unwanted.is_set():
                    self._items.close()
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where the items are taken
            end = error
        self._queue.put(end)
