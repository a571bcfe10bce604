"""A pool of processes that work on images side by side, and outlives what hostile files do to codecs.

A codec that crashes or hangs takes its process with it: that image is counted, the process replaced, and nothing else
is lost. This is the parent's side; `worker` is the processes'.
"""

import os
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from selectors import EVENT_READ, DefaultSelector
from time import monotonic, sleep
from types import TracebackType
from typing import Generic, Self, TypeVar

from dataset_assets.errors import DatasetError, SourceError, StorageError
from dataset_assets.images.handover import Handover, widen
from dataset_assets.images.worker import CropJob, Failure, Job, Loss, Started, describe_end, work
from dataset_assets.memory import give_back
from dataset_assets.processes import ignored_by_children, prepare_forks
from dataset_assets.records import Crop, CropTask, Drop
from dataset_assets.settings import ImageSettings
from dataset_assets.sources.base import Reader
from dataset_assets.sources.waiting import WAITS, Shared

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_PRELOAD = ("dataset_assets.images.pipeline", work.__module__)  # and with the first torch, Pillow and the codecs
_QUEUED = 2  # tasks at a worker, at least: the one it works on and the next
_MOST_QUEUED = 24
_QUEUED_SECONDS = 0.1  # of work at a worker, as far as _MOST_QUEUED tasks are so much
_NAP_SECONDS = 0.02  # in which answers gather: each time that we wake costs a worker its core and what is in its cache
_AHEAD = 4  # times what workers have: tasks from the oldest without an answer to the newest, which bounds memory
_ROOM = 1 << 15  # bytes of tasks that wait at a worker: half of what the smallest pipe of today's systems holds
READ_SECONDS = 600.0  # that a source may take, or timeout_seconds where those are more: a store's tries take minutes
_START_SECONDS = 300.0  # for a process to import what it needs
_LATE = 4  # reads in a row that take too long, at least: then it is no matter of the images
_STARTS = 3  # of a worker, where the system ended those before: it does so when memory runs out


@dataclass(slots=True, eq=False)
class _Item(Generic[Task, Answer]):
    """A task and, once it is there, its answer, alone in a list."""

    task: Task
    packed: bytes  # the task as it is sent
    answer: list[Answer] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Worker(Generic[Task, Answer]):
    """A process, our ends of its pipes and of the memory we share, and what it has not answered yet."""

    process: BaseProcess
    tasks: Connection
    answers: Connection
    handover: Handover
    waits: Shared  # says whether it waits for a source
    jobs: deque[_Item[Task, Answer]] = field(default_factory=deque)
    started: bool = False
    since: float = field(default_factory=monotonic)  # it was started, or began its first job, seconds

    @property
    def waiting(self) -> int:
        """How many bytes of tasks it has, as far as we know: they may all lie in its pipe still."""
        return sum(len(job.packed) for job in self.jobs)


class Workers(Generic[Task, Answer]):
    """A pool of `count` processes that do a job. Use it as a context manager; it may run many times.

    A process is started when there is a task for it, and kept until the block ends. `stop` may be called from any
    thread, everything else from one at a time.
    """

    def __init__(self, count: int, job: Job[Task, Answer]) -> None:
        if count < 1:
            raise ValueError(f"{count} workers; at least 1 is needed")
        self._count = count
        self._job = job
        self._least = max(_QUEUED, job.ahead)  # tasks at a worker
        self._workers: list[_Worker[Task, Answer]] = []
        # Taken back from a worker that died before it came to them:
        self._returned: deque[_Item[Task, Answer]] = deque()
        self._pace = inf  # seconds a task, about
        self._lost_starts = 0
        self._late = 0  # reads that took too long, since the last answer
        self._stopped = False
        self._selector = DefaultSelector()
        self._wake: list[int] = []  # what ends waiting: where a byte is written, and where it is read

    def __enter__(self) -> Self:
        give_back()  # what stages before this one needed: the workers need some now
        read, write = os.pipe()
        self._wake = [write, read]
        self._selector.register(read, EVENT_READ)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every worker at once, whatever it is doing."""
        while self._workers:
            self._end(self._workers[-1])
        self._selector.close()
        while self._wake:
            os.close(self._wake.pop())

    def stop(self) -> None:
        """Let the run that is under way end at once, without the answers that are not there yet; the last one it is."""
        self._stopped = True
        for number in self._wake[:1]:
            os.write(number, b"\0")

    def run(self, tasks: Iterable[Task]) -> Generator[tuple[Task, Answer], None, None]:
        """Yield every task with its answer, in the order of `tasks`.

        Takes tasks only as far ahead as the workers need, so `tasks` may be endless. A crash or `timeout_seconds` costs
        one task, and so does a source that is waited for longer than READ_SECONDS: the job says what its answer is
        then. Where this happens to one read after the other it is raised, a SourceError; so is any other fault of a
        worker: its DatasetError, else a RuntimeError with its traceback. One run at a time.
        """
        if self._busy():
            raise RuntimeError("the run before this one has not ended")
        try:
            yield from self._run(iter(tasks))
        finally:
            self._returned.clear()
            for worker in self._busy():  # only when the run was left early: their answers have no taker any more
                self._end(worker)

    def _run(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Answer]]:
        jobs: deque[_Item[Task, Answer]] = deque()  # in the order of the tasks: handed out and not yet yielded
        while not self._stopped:
            self._hand_out(jobs, tasks)
            if not jobs:
                return
            self._collect(block=not jobs[0].answer)
            if jobs[0].answer:
                item = jobs.popleft()
                yield item.task, item.answer[0]

    def _hand_out(self, jobs: deque[_Item[Task, Answer]], tasks: Iterator[Task]) -> None:
        """Give the workers what they have room for, first what was taken back."""
        while (self._returned or len(jobs) < _AHEAD * self._depth * self._count) and self._has_room():
            if self._returned:
                item = self._returned.popleft()
            else:
                task = next(tasks, None)
                if task is None:
                    return
                jobs.append(item := _Item(task, bytes(ForkingPickler.dumps(task))))
            if not self._give(item):
                self._returned.appendleft(item)
                return

    def _has_room(self) -> bool:
        return len(self._workers) < self._count or any(len(worker.jobs) < self._depth for worker in self._workers)

    @property
    def _depth(self) -> int:
        """How many tasks a worker has at a time. Where they take long, few: the last should not wait at one worker."""
        return max(self._least, min(_MOST_QUEUED, int(_QUEUED_SECONDS / max(self._pace, 1e-6))))

    def _give(self, item: _Item[Task, Answer]) -> bool:
        """Send a job to a worker without one, else to a new one, else to one that has some; return whether it was sent.

        It is not where a pipe may have no room for it: a worker that hangs would let us wait for ever.
        """
        while True:
            worker = min(self._workers, key=lambda worker: len(worker.jobs), default=None)
            if worker is None or (worker.jobs and len(self._workers) < self._count):
                worker = self._start()
            if worker.jobs and worker.waiting + len(item.packed) > _ROOM:
                return False
            try:
                worker.tasks.send_bytes(item.packed)
            except OSError:
                self._receive(worker)  # it died: first what it said before, then its death
                continue
            if not worker.jobs and worker.started:
                worker.since = monotonic()
            worker.jobs.append(item)
            return True

    def _start(self) -> _Worker[Task, Answer]:
        """Start a process."""
        context = prepare_forks(*_PRELOAD)
        given, tasks = context.Pipe(duplex=False)
        answers, gives = context.Pipe(duplex=False)
        widen(gives)
        handover = Handover(max(_MOST_QUEUED, self._least))  # answers, at most: as many as it has tasks
        waits = context.RawValue("d", monotonic())
        process = context.Process(
            target=work, args=(given, gives, handover, self._job, waits), name="image-worker", daemon=True
        )
        try:
            with ignored_by_children():
                process.start()
                worker: _Worker[Task, Answer] = _Worker(process, tasks, answers, handover, waits)
                self._workers.append(worker)
                self._selector.register(answers, EVENT_READ, worker)
        except BaseException:
            handover.close()
            raise
        finally:
            given.close()
            gives.close()  # so that the child's end is the only one, and closes when it dies
        return worker

    def _collect(self, *, block: bool) -> None:
        """Take in what workers have sent, waiting for something to happen if `block`, and end those over their time."""
        busy = self._busy()
        # No longer than a task may take: a worker that waits for its source now may hang in a codec by then.
        patience = max(0, min((self._patience(worker)[0] for worker in busy), default=0))
        patience = min(patience, self._job.timeout_seconds)
        ready = self._selector.select(patience if block else 0)
        if ready and block and len(busy) * _QUEUED < sum(len(worker.jobs) for worker in busy):
            sleep(_NAP_SECONDS)
            ready = self._selector.select(0)
        while ready and not self._stopped:
            for key, _ in ready:
                if key.data in self._workers:
                    self._receive(key.data)
            ready = self._selector.select(0)
        for worker in self._busy():
            left, waiting = self._patience(worker)
            if left < 0 and not worker.answers.poll():
                self._bury(worker, self._explain_late(waiting=waiting))

    def _patience(self, worker: _Worker[Task, Answer]) -> tuple[float, bool]:
        """Return for how many seconds more we wait for a message of a worker, and whether it waits for its source."""
        read = worker.waits.value
        waiting = worker.started and read == WAITS
        limit = self._job.timeout_seconds if worker.started else max(_START_SECONDS, self._job.timeout_seconds)
        return max(worker.since, read) + (self._read_seconds if waiting else limit) - monotonic(), waiting

    @property
    def _read_seconds(self) -> float:
        return max(READ_SECONDS, self._job.timeout_seconds)

    def _explain_late(self, *, waiting: bool) -> Loss:
        """Return how a worker is lost whose time is over."""
        said = f"{self._read_seconds:g} seconds to read" if waiting else f"{self._job.timeout_seconds:g} seconds"
        return Loss(detail=f"took longer than {said}", timed_out=True, waiting=waiting)

    def _receive(self, worker: _Worker[Task, Answer]) -> None:
        """Take in one message of a worker, or its death."""
        try:
            message = worker.handover.unpack(worker.answers.recv_bytes())
        except (EOFError, OSError):
            self._bury(worker)
            return
        now = monotonic()
        if worker.started:
            self._pace = self._measure(now - worker.since)
        worker.since = now
        match message:
            case Started():
                worker.started = True
                self._lost_starts = 0
            case Failure(error=DatasetError() as error):
                raise error
            case Failure():
                raise RuntimeError(f"an image worker failed\n\n{message.traceback}")
            case _:
                self._late = 0
                worker.jobs.popleft().answer.append(message)

    def _measure(self, seconds: float) -> float:
        """Return the pace after a task that took so long, as far as we saw."""
        return seconds if self._pace == inf else 0.9 * self._pace + 0.1 * seconds

    def _bury(self, worker: _Worker[Task, Answer], late: Loss | None = None) -> None:
        """Remove a worker that died, or is too `late` and must: its first task has failed, the next is taken back."""
        if late is None:
            worker.process.join(1)
        code = worker.process.exitcode
        self._end(worker)
        if not worker.started:
            self._returned.extend(worker.jobs)
            self._judge_start(code, timed_out=late is not None)
        elif worker.jobs:
            loss = late or Loss(detail=f"the worker process {describe_end(code)}", killed=code == -signal.SIGKILL)
            item = worker.jobs.popleft()
            item.answer.append(self._job.fail(item.task, loss))
            self._returned.extend(worker.jobs)
            self._judge_late(loss)

    def _judge_late(self, loss: Loss) -> None:
        """Count a read that took too long; raise SourceError where so many in a row are no matter of the images."""
        self._late += loss.timed_out and loss.waiting
        if self._late >= max(_LATE, 2 * self._count):
            said = f"{self._late} reads in a row took longer than {self._read_seconds:g} seconds"
            self._late = 0  # who tries again begins anew
            raise SourceError(f"{said}: do the sources' stores and disks answer?")

    def _judge_start(self, code: int | None, *, timed_out: bool) -> None:
        """Count a worker that did not start, and was ended with this code; raise what is wrong unless it may pass."""
        if timed_out:
            ended = "did not start"
        elif code is not None and code < 0:
            self._lost_starts += 1
            if self._lost_starts < _STARTS:
                return
            ended = f"{describe_end(code)} while it was starting"
        else:
            raise RuntimeError(
                f"an image worker {describe_end(code)} while it was starting; does the program's main module "
                'have `if __name__ == "__main__":`?'
            )
        raise StorageError(f"an image worker {ended}: is there enough memory? Fewer workers need less")

    def _end(self, worker: _Worker[Task, Answer]) -> None:
        """Kill the process, which has nothing to tidy up, and wait until it is gone."""
        worker.process.kill()
        worker.process.join()
        self._selector.unregister(worker.answers)
        worker.tasks.close()
        worker.answers.close()
        worker.handover.close()
        self._workers.remove(worker)

    def _busy(self) -> list[_Worker[Task, Answer]]:
        return [worker for worker in self._workers if worker.jobs]


def prepare_processes() -> None:
    """Start what workers are forked from, if it is not there yet; returns before it has imported what they need."""
    prepare_forks(*_PRELOAD)


class CropWorkers(Workers[CropTask, Crop | Drop]):
    """A pool of processes that turn tasks into crops; what its worker does not survive is a drop (DECODE_ERROR)."""

    def __init__(self, count: int, settings: ImageSettings, sources: Mapping[str, Reader]) -> None:
        super().__init__(count, CropJob(settings=settings, sources=dict(sources)))
