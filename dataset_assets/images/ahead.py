"""An iterator in a thread of its own, which goes on while what it yielded is worked on. No pool is known here."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")

_GROUPS = 8  # in which items are passed on, where they come quickly
_TOGETHER_SECONDS = 0.1  # the most between the first of a group and the last
_GLANCE_SECONDS = 0.05  # between two looks at whether the thread has ended


class Ahead(Generic[Item]):
    """Runs `items` in a thread, ahead by about `room`. Use it as a context manager, and as an iterator in it.

    `room` is in what `measure` says of an item. Those that come soon after each other are passed on together: to be
    woken for each would cost more than the work.
    What `items` raises is raised to the one who takes them, after those that came before. When the block ends, `stop`
    is called: it makes `items` end soon, also where it waits for something, and is safe to call from another thread.
    """

    def __init__(
        self,
        items: Generator[Item, None, None],
        room: int,
        stop: Callable[[], None],
        *,
        measure: Callable[[Item], int] = lambda _: 1,
    ) -> None:
        self._items = items
        self._stop = stop
        self._measure = measure
        self._together = max(1, room // _GROUPS)
        self._queue: Queue[list[Item] | BaseException | None] = Queue(room // self._together)  # None: the end
        self._taken: deque[Item] = deque()
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
        while not self._taken:
            group = self._queue.get()
            if not isinstance(group, list):
                self._queue.put(group)  # for whoever asks again
                raise StopIteration if group is None else group
            self._taken.extend(group)
        return self._taken.popleft()

    def _run(self) -> None:
        end: BaseException | None = None
        group: list[Item] = []
        size = 0
        passed_on = monotonic()
        try:
            for item in self._items:
                group.append(item)
                size += self._measure(item)
                if size < self._together and monotonic() - passed_on < _TOGETHER_SECONDS:
                    continue
                self._queue.put(group)
                group, size, passed_on = [], 0, monotonic()
                if self._unwanted.is_set():
                    self._items.close()
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where the items are taken
            end = error
        self._queue.put(group)
        self._queue.put(end)
