"""Many tars read side by side: by threads, or by processes where there is enough for them to do.

What is read of a tar is not known here.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from dataset_assets.errors import StorageError
from dataset_assets.processes import begin_table_work, prepare_forks

_MOST_THREADS = 4  # a tenth of the work holds the interpreter's lock, so more would wait for each other
_WORTH_A_PROCESS = 4 << 30  # bytes: hashing them takes some times as long as starting a process

T = TypeVar("T")
R = TypeVar("R")


def read_side_by_side(
    read: Callable[[T], R], tasks: Sequence[T], *, workers: int, size: int, module: str, decoding: bool = False
) -> Iterator[R]:
    """Yield what `read` returns for each task, in their order, with `workers` at a time.

    The tasks are `size` bytes of tars in all; `decoding` says that every JPEG is decoded. `module` is the one with
    `read`. Raises StorageError where a process is ended from outside.
    """
    workers = min(workers, len(tasks))
    if workers < 2:
        yield from map(read, tasks)
        return
    with ExitStack() as stack:
        pool = _make_pool(workers, size, module, decoding=decoding)
        stack.callback(pool.shutdown, cancel_futures=True)  # also when it is interrupted
        try:
            yield from pool.map(read, tasks)
        except BrokenExecutor as error:
            raise StorageError(
                "a process that reads tars was ended: for want of memory perhaps, or by a file that crashes the decoder"
            ) from error


def _make_pool(workers: int, size: int, module: str, *, decoding: bool) -> Executor:
    """Return a pool of threads, or of processes where there is enough for them to do.

    Reading and hashing let other threads run; a process takes as long to start as a gigabyte to hash. Where all is
    decoded there are processes in any case: what a decoder does not survive must not end this one.
    """
    processes = workers if decoding else min(workers, size // _WORTH_A_PROCESS)
    threads = min(workers, _MOST_THREADS)
    if processes < threads:
        return ThreadPoolExecutor(threads)
    return ProcessPoolExecutor(processes, mp_context=prepare_forks(module), initializer=begin_table_work)
