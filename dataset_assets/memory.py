"""What a process does with memory that it has freed: some is kept for what comes next, the rest is given back.

By themselves pyarrow's allocator and the C library keep what the largest stage once needed, for each thread of its own,
while workers beside this process need theirs. Where the C library is not glibc, what it does is its own matter.
"""

import ctypes
from collections.abc import Callable

import pyarrow as pa

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # mallopt's names for what is set, as in malloc.h
_ARENAS = 2  # for all threads: one of its own for each keeps what it has freed from the others
_KEPT = 8 << 20  # bytes that stay at the end of an arena: a row group of crops is freed and asked for all the time
_LARGE = 4 << 20  # bytes: what is larger is never kept


def keep_little() -> None:
    """Let this process keep little of what it frees, from now on."""
    pa.set_memory_pool(pa.system_memory_pool())
    if mallopt := _find("mallopt"):
        for name, value in ((_ARENA_MAX, _ARENAS), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _KEPT)):
            mallopt(name, value)


def give_back() -> None:
    """Give all that was freed back to the system, which takes some milliseconds."""
    if malloc_trim := _find("malloc_trim"):
        malloc_trim(0)


def _find(name: str) -> Callable[..., int] | None:
    """Return a function of the C library that this process runs with, None where it has none of this name."""
    return getattr(ctypes.CDLL(None), name, None)
