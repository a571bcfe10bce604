"""What a worker answers, on its way to the parent: what is large goes through memory that both have.

Through a pipe the kernel would copy it twice, and both sides pack and unpack it. What the answers are is not known
here: they say themselves what is large in them, in the words of pickle's protocol 5.
"""

import fcntl
import os
import pickle
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from typing import Any, Protocol

ROOM = 1 << 20  # bytes that a message has; memory is taken only where something is written

_PIPE = 1 << 20  # bytes: room for messages with large parts in them
_PROTOCOL = 5


class _Passed(Protocol):
    """An open file on its way into another process."""

    def detach(self) -> int:
        """Return its descriptor, there."""


class Handover:
    """Packs messages in a worker and unpacks them in its parent, every message and in the same order.

    The parent makes it, for `count` messages that may be under way at most, and gives it to the worker as an argument
    of its process. Each message has its place in the memory, after the last one the first again. What does not fit
    into its place stays in the message, and so does everything where the system has no such memory, or none left.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = 0  # messages
        self._file = _make_file()

    def __getstate__(self) -> tuple[int, _Passed | None]:
        """Return what the worker's process gets of it; only while that is being started."""
        return self._count, None if self._file is None else DupFd(self._file)

    def __setstate__(self, state: tuple[int, _Passed | None]) -> None:
        self._count, passed = state
        self._done = 0
        self._file = None if passed is None else passed.detach()

    def close(self) -> None:
        """Let the memory go, which ends when the other process has done so, too."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def pack(self, message: object) -> bytes:
        """Return what `unpack` makes the message of."""
        large: list[pickle.PickleBuffer] = []
        packed = pickle.dumps(message, _PROTOCOL, buffer_callback=large.append)
        parts = [part.raw() for part in large]
        if self._put(parts, self._take_place()):  # not before: a message that cannot be packed is none
            return pickle.dumps((packed, [len(part) for part in parts]), _PROTOCOL)
        return pickle.dumps((message, None), _PROTOCOL)

    def unpack(self, data: bytes) -> Any:
        """Return the message; its large parts are copied out of the memory, as bytes."""
        place = self._take_place()
        message, sizes = pickle.loads(data)
        if sizes is None:
            return message
        parts = []
        for size in sizes:
            assert self._file is not None  # for else `pack` has left them in the message
            parts.append(os.pread(self._file, size, place))
            place += size
        return pickle.loads(message, buffers=parts)

    def _take_place(self) -> int:
        """Return where the next message begins in the memory, bytes."""
        place = self._done % self._count * ROOM
        self._done += 1
        return place

    def _put(self, parts: list[memoryview], place: int) -> bool:
        """Write parts into the memory, one behind the other, and return whether they are all there.

        They are written and not mapped: where the system has no page left, that raises and does not end the process.
        """
        if self._file is None or sum(map(len, parts)) > ROOM:
            return not parts
        try:
            for part in parts:
                if os.pwrite(self._file, part, place) < len(part):
                    return False
                place += len(part)
        except OSError:
            return False
        return True


def _make_file() -> int | None:
    """Return the descriptor of a file that is in memory alone, None where there is no such thing."""
    try:
        return os.memfd_create("answers")
    except (AttributeError, OSError):  # another system than Linux, or one that does not allow it
        return None


def widen(pipe: Connection) -> None:
    """Give a pipe that messages go through more room, where the system has a way to ask for it and lets us."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
