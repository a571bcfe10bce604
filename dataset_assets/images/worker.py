"""A worker process: tasks come in through one pipe, answers go out through another. `workers` starts and ends it.

The first message says that it has started; then one message a task follows, in the order of the tasks. What one image
does wrong is an answer; anything else ends the process with a Failure as its last message.
"""

import signal
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, TypeVar

from dataset_assets.errors import DatasetError, DropReason, SampleError
from dataset_assets.images.handover import Handover
from dataset_assets.images.reads import Reads
from dataset_assets.processes import end_with_parent
from dataset_assets.records import Crop, CropTask, Drop
from dataset_assets.settings import ImageSettings
from dataset_assets.sources.base import Reader, count_at_once
from dataset_assets.sources.waiting import Shared, tell_waits

Task_contra = TypeVar("Task_contra", contravariant=True)
Answer_co = TypeVar("Answer_co", covariant=True)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A worker's first message: everything it needs is imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A worker's last message: something else than the image is wrong."""

    error: DatasetError | None  # where a person can act on it
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How a worker was lost over a task."""

    detail: str
    timed_out: bool = False  # we ended it
    waiting: bool = False  # while it waited for the source
    killed: bool = False  # somebody else did: the system, when memory runs out


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """Of what a thread took, and what was raised there."""

    error: BaseException | None


class Job(Protocol[Task_contra, Answer_co]):
    """What workers do. It crosses process borders, so it holds nothing but what it needs to start there."""

    @property
    def timeout_seconds(self) -> float:
        """How long one task may take, without the time for which it waits for a source."""

    @property
    def ahead(self) -> int:
        """How many tasks are best begun before the first of them is answered: one where nothing is waited for."""

    def prepare(self) -> Callable[[Task_contra], Callable[[], Answer_co]]:
        """Import what is needed, in the worker, and return what begins a task: it returns what gives its answer."""

    def fail(self, task: Task_contra, loss: Loss) -> Answer_co:
        """Return the answer to a task that its worker did not survive, in the parent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropJob:
    """Makes crops. Each worker reads its images itself, from the one of `sources` that the task names."""

    settings: ImageSettings
    sources: Mapping[str, Reader]

    @property
    def timeout_seconds(self) -> float:
        """How long one image may take, without the time for which it waits for its source."""
        return self.settings.timeout_seconds

    @property
    def ahead(self) -> int:
        """How many images are best read while the first of them is worked on."""
        return count_at_once(self.sources.values())

    def prepare(self) -> Callable[[CropTask], Callable[[], Crop | Drop]]:
        """Return what makes a crop of a task, or says why there is none: its image is read first."""
        from dataset_assets.images.pipeline import make_crop  # torch takes the parent seconds and memory for nothing
        from dataset_assets.images.probe import configure
        from dataset_assets.images.resize import use_one_thread

        configure()
        use_one_thread()
        reads = Reads(self.sources)

        def begin(task: CropTask) -> Callable[[], Crop | Drop]:
            return partial(answer, task, reads.begin(task.source, task.uri, task.version))

        def answer(task: CropTask, read: Callable[[], bytes]) -> Crop | Drop:
            data = None
            try:
                data = read()
                return make_crop(data, task, self.settings)
            except SampleError as error:
                return _drop(error.reason, error.detail, data)
            except MemoryError:
                return _drop(DropReason.DECODE_ERROR, "there is not enough memory for it", data, passing=True)

        return begin

    def fail(self, task: CropTask, loss: Loss) -> Drop:
        """Return the drop of an image that took its worker with it; one that is not read in time is tried again."""
        if loss.timed_out and loss.waiting:
            return Drop(reason=DropReason.UNREADABLE, detail=loss.detail)
        timeout = self.timeout_seconds if loss.timed_out else 0
        return Drop(reason=DropReason.DECODE_ERROR, detail=loss.detail, passing=loss.killed, timeout=timeout)


def describe_end(code: int | None) -> str:
    """Return how a process ended that has this exit code, if any."""
    if code is None:
        return "closed its pipe"
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name if -code in set(signal.Signals) else f'signal {-code}'}"


def work(tasks: Connection, answers: Connection, handover: Handover, job: Job[Any, Any], waits: Shared) -> None:
    """Live as a worker process: answer tasks until the parent closes their pipe. `waits` says when it only waits."""
    end_with_parent()
    tell_waits(waits)

    def send(message: object) -> None:
        answers.send_bytes(handover.pack(message))

    try:
        begin = job.prepare()
        send(Started())
        begun = map(begin, _receive(tasks))
        for answer in begun if job.ahead == 1 else _drain(begun):
            send(answer())
    except BaseException as error:
        fault = error if isinstance(error, DatasetError) else None
        send(Failure(error=fault, traceback=traceback.format_exc()))
        raise SystemExit(1) from error


def _receive(tasks: Connection) -> Iterator[Any]:
    """Yield the tasks as they come."""
    while True:
        try:
            yield tasks.recv()
        except EOFError:
            return


def _drain(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items, taken as soon as they are there by a thread of their own: how many come is not for it to limit."""
    taken: SimpleQueue[Item | _End] = SimpleQueue()

    def take() -> None:
        error = None
        try:
            for item in items:
                taken.put(item)
        except BaseException as raised:  # noqa: BLE001 - raised again where the items are yielded
            error = raised
        taken.put(_End(error=error))

    Thread(target=take, name="drain", daemon=True).start()
    while not isinstance(item := taken.get(), _End):
        yield item
    if item.error:
        raise item.error


def _drop(reason: DropReason, detail: str, data: bytes | None, *, passing: bool = False) -> Drop:
    checksum = "" if data is None else sha256(data).hexdigest()
    return Drop(reason=reason, detail=detail, source_sha256=checksum, passing=passing)
