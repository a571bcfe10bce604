"""What a worker answers, on its way to the parent: what is large goes through memory that both have.

Through a pipe the kernel would copy it twice, and both sides pack and unpack it. What the answers are is not known
here: they say themselves what is large in them, in the words of pickle's protocol 5.
"""

import os
import pickle
from mmap import mmap
from multiprocessing.reduction import DupFd
from typing import Any, Protocol

ROOM = 1 << 20  # bytes that a message has; memory is taken only where something is written

_PROTOCOL = 5


class _Passed(Protocol):
    """An open file on its way into another process."""

    def detach(self) -> int:
        """Return its descriptor, there."""


class Handover:
    """Packs messages in a worker and unpacks them in its parent, every message and in the same order.

    The parent makes it, for `count` messages that may be under way at most, and gives it to the worker as an argument
    of its process. Each message has its place in the memory, after the last one the first again. What does not fit
    into its place stays in the message, and so does everything where the system has no such memory.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = 0  # messages
        self._file = _make_file(count * ROOM)
        self._memory = self._map()

    def __getstate__(self) -> tuple[int, _Passed | None]:
        """Return what the worker's process gets of it; only while that is being started."""
        return self._count, None if self._file is None else DupFd(self._file)

    def __setstate__(self, state: tuple[int, _Passed | None]) -> None:
        self._count, passed = state
        self._done = 0
        self._file = None if passed is None else passed.detach()
        self._memory = self._map()

    def close(self) -> None:
        """Let the memory go, which ends when the other process has done so, too."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def pack(self, message: object) -> bytes:
        """Return what `unpack` makes the message of."""
        place = self._take_place()
        large: list[pickle.PickleBuffer] = []
        packed = pickle.dumps(message, _PROTOCOL, buffer_callback=large.append)
        parts = [part.raw() for part in large]
        if self._memory is None or sum(map(len, parts)) > ROOM:
            return pickle.dumps((pickle.dumps(message, _PROTOCOL), []))
        for part in parts:
            self._memory[place : place + len(part)] = part
            place += len(part)
        return pickle.dumps((packed, [len(part) for part in parts]))

    def unpack(self, data: bytes) -> Any:
        """Return the message; its large parts are copied out of the memory, as bytes."""
        place = self._take_place()
        packed, sizes = pickle.loads(data)
        parts = []
        for size in sizes:
            assert self._memory is not None  # for else `pack` has left them in the message
            parts.append(self._memory[place : place + size])
            place += size
        return pickle.loads(packed, buffers=parts)

    def _take_place(self) -> int:
        """Return where the next message begins in the memory, bytes."""
        place = self._done % self._count * ROOM
        self._done += 1
        return place

    def _map(self) -> mmap | None:
        return None if self._file is None else mmap(self._file, self._count * ROOM)


def _make_file(size: int) -> int | None:
    """Return the descriptor of a file that is in memory alone, None where there is no such thing."""
    try:
        file = os.memfd_create("answers")
    except (AttributeError, OSError):  # another system than Linux, or one that does not allow it
        return None
    os.ftruncate(file, size)
    return file
