"""The rows of all tars that two exports do not have in common, read side by side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_assets.compare.export import Export, Tar
from dataset_assets.compare.rows import ROW, TarRows, list_fields, read_rows
from dataset_assets.errors import StorageError
from dataset_assets.processes import end_with_parent, prepare_forks
from dataset_assets.progress import Progress
from dataset_assets.settings import count_cores

_MOST_THREADS = 4  # a part of the work holds the interpreter's lock, so more would wait for each other
_WORTH_A_PROCESS = 4 << 30  # bytes: hashing them takes some times as long as starting a process

Rows = NDArray[Any]  # of ROW
_Task = tuple[Export, Tar]


class Gathered(NamedTuple):
    """What was read of two exports."""

    rows: tuple[Rows, Rows]  # in the order of the tars
    variants: list[str]  # by the numbers in the rows of both
    fields: tuple[frozenset[str], frozenset[str]]  # that the JSON of each has
    bytes: int  # that the tars hold which were read


def gather_rows(a: Export, b: Export, equal: Mapping[str, int], *, workers: int, progress: Progress) -> Gathered:
    """Return the rows of all tars but those that are `equal`, with `workers` at a time, 0 for one a core.

    Of the JSON only the fields that both exports have are looked at. Raises StorageError.
    """
    numbers = [[number for number, tar in enumerate(one.tars) if tar.path not in equal] for one in (a, b)]
    fields = [
        list_fields(one.folder, one.tars[wanted[0]]) if wanted else frozenset[str]()
        for one, wanted in zip((a, b), numbers, strict=True)
    ]
    tasks = [(one, one.tars[number]) for one, wanted in zip((a, b), numbers, strict=True) for number in wanted]
    places = [(side, number) for side, wanted in enumerate(numbers) for number in wanted]
    filled, names = (bytearray(), bytearray()), dict[str, int]()
    work = partial(_read, fields=fields[0] & fields[1])
    for (side, number), read in zip(places, _read_all(work, tasks, workers or count_cores(), progress), strict=True):
        rows = np.frombuffer(bytearray(read.rows), ROW)
        numbered = np.array([names.setdefault(name, len(names)) for name in read.variants], np.int32)
        rows["variant"] = numbered[rows["variant"]] if len(rows) else 0
        rows["tar"] = number
        filled[side].extend(rows.data)
    first, second = (np.frombuffer(one, ROW) for one in filled)
    size = sum((one.folder / tar.path).stat().st_size for one, tar in tasks)
    return Gathered((first, second), list(names), (fields[0], fields[1]), size)


def _read(task: _Task, *, fields: frozenset[str]) -> TarRows:
    export, tar = task
    return read_rows(export.folder, tar, fields)


def _read_all(
    work: Callable[[_Task], TarRows], tasks: Sequence[_Task], workers: int, progress: Progress
) -> Iterator[TarRows]:
    """Yield the rows of each tar, in the order of the tasks."""
    workers = min(workers, len(tasks))
    progress.start("compare", len(tasks), "shards")
    with ExitStack() as stack:
        if workers > 1:
            pool = _make_pool(workers, sum(tar.bytes or 0 for _, tar in tasks))
            stack.callback(pool.shutdown, cancel_futures=True)  # also when it is interrupted
            results = pool.map(work, tasks)
        else:
            results = map(work, tasks)
        try:
            for rows in results:
                yield rows
                progress.advance(1)
        except BrokenExecutor as error:
            raise StorageError("a process that reads tars was ended: for want of memory perhaps") from error
    progress.finish()


def _make_pool(workers: int, size: int) -> Executor:
    """Return a pool to read `size` bytes of tars with: threads, or processes where there is enough for them to do."""
    processes = min(workers, size // _WORTH_A_PROCESS)
    threads = min(workers, _MOST_THREADS)
    if processes < threads:
        return ThreadPoolExecutor(threads)
    return ProcessPoolExecutor(processes, mp_context=prepare_forks(__name__), initializer=end_with_parent)
