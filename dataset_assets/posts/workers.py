"""Processes that read files of records side by side. They import neither torch nor pandas nor Dagster.

A file that takes its process with it costs itself and no other. Every process ends with the one that started it.
"""

import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from dataset_assets.errors import DatasetError, SourceError
from dataset_assets.images.worker import Failure, Started
from dataset_assets.posts.parse import Parsed, ParseTask, parse_file
from dataset_assets.processes import begin_table_work, ignored_by_children


@dataclass(slots=True, eq=False)
class _Worker:
    """A process, our end of its pipe, and the file it reads."""

    process: BaseProcess
    connection: Connection
    task: ParseTask | None = None
    started: bool = False

    def end(self) -> None:
        """Kill the process, which leaves no file that a reader would accept, and wait until it is gone."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def parse_here(tasks: Iterable[ParseTask]) -> Iterator[tuple[ParseTask, Parsed]]:
    """Read files one after the other in this process: for few that are small, no process is worth starting."""
    for task in tasks:
        yield task, parse_file(task)


def parse_side_by_side(tasks: Iterable[ParseTask], workers: int) -> Iterator[tuple[ParseTask, Parsed]]:
    """Yield every file with what was read of it, as they are done; at most `workers` are read at a time.

    Raises, when all others are done, SourceError naming the files whose processes were lost; the DatasetError of a
    worker at once.
    """
    waiting = list(reversed(list(tasks)))
    pool: list[_Worker] = []
    lost: list[str] = []
    try:
        while waiting or any(worker.task for worker in pool):
            while waiting and len(pool) < workers:
                pool.append(_start())
                _give(pool[-1], waiting)
            for connection in wait([worker.connection for worker in pool if worker.task]):
                worker = next(worker for worker in pool if worker.connection is connection)
                task, parsed = _receive(worker)
                if parsed:
                    _give(worker, waiting)
                    yield task, parsed
                elif worker.task is None:
                    pool.remove(worker)
                    lost.append(task.name)
    finally:
        for worker in pool:
            worker.end()
    if lost:
        raise SourceError(
            f"the process that read {', '.join(sorted(lost))} was killed or crashed; what was read of all other files "
            "is kept: free some memory or repair the file, and run it again"
        )


def _start() -> _Worker:
    """Start a process; Ctrl-C is the parent's."""
    # A new interpreter, whatever this process has imported or its server for forks holds: they would share torch.
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,), name="record-worker", daemon=True)
    try:
        with ignored_by_children():
            process.start()
    finally:
        theirs.close()  # so that the child's end is the only one, and closes when it dies
    return _Worker(process, ours)


def _give(worker: _Worker, waiting: list[ParseTask]) -> None:
    """Send a worker its next file, if there is one."""
    worker.task = waiting.pop() if waiting else None
    if worker.task:
        with suppress(OSError):  # it died: the next look at its pipe says so
            worker.connection.send(worker.task)


def _receive(worker: _Worker) -> tuple[ParseTask, Parsed | None]:
    """Take in one message of a worker, or its death; return its task with the result if it is done."""
    task = worker.task
    assert task is not None
    try:
        message = worker.connection.recv()
    except (EOFError, OSError):
        worker.end()
        if not worker.started:
            raise RuntimeError(
                'a record worker ended while it was starting; does the main module have `if __name__ == "__main__":`?'
            ) from None
        worker.task = None
        return task, None
    match message:
        case Started():
            worker.started = True
            return task, None
        case Failure(error=DatasetError() as error):
            raise error
        case Failure():
            raise RuntimeError(f"a record worker failed over {task.name}\n\n{message.traceback}")
    return task, message


def work(connection: Connection) -> None:
    """Live as a worker process: read files until the parent kills it or sends None."""
    begin_table_work()
    connection.send(Started())
    with suppress(EOFError):  # the parent has closed it, or is gone
        while task := connection.recv():
            try:
                answer: Parsed | Failure = parse_file(task)
            except BaseException as error:
                fault = error if isinstance(error, DatasetError) else None
                connection.send(Failure(error=fault, traceback=traceback.format_exc()))
                raise SystemExit(1) from error
            connection.send(answer)
