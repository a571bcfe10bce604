"""The headers of many files at once. What is ordinary is read here; the rest by worker processes, with Pillow.

A file that crashes or hangs its decoder costs itself, as no decoder runs in this process.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from time import monotonic

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.glance import glance
from dataset_assets.images.worker import Loss
from dataset_assets.images.workers import Workers
from dataset_assets.records import Header
from dataset_assets.settings import ImageSettings
from dataset_assets.sources.base import Source, count_at_once
from dataset_assets.sources.trees import tell_loss

_CHUNK = 64  # files a task: sending one takes as long as reading a header
_BATCH = 4096  # files glanced at before the workers get what is left of them
_THREADS = 16  # that glance at files of a disk that has to be waited for
_SLOW_SECONDS = 0.0003  # a file: several times what one in memory takes

Found = Header | tuple[DropReason, str]
File = tuple[str, str, str]  # name of the source, uri, version


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeJob:
    """Reads the headers of some files."""

    settings: ImageSettings
    sources: Mapping[str, Source]

    @property
    def timeout_seconds(self) -> float:
        """How long one task may take, without the time for which it waits for a store."""
        return self.settings.timeout_seconds

    @property
    def at_once(self) -> int:
        """How many headers are best read at a time."""
        return count_at_once(self.sources.values())

    def glance(self, task: list[File]) -> list[Header | None]:
        """Return what can be said of the files of a task without a decoder; None of those that need a worker."""
        return [self._glance(*file) for file in task]

    def _glance(self, source: str, uri: str, version: str) -> Header | None:
        opened = self.sources[source]
        if not opened.is_quick(version):
            return None
        try:
            with opened.open(uri, version) as file:
                return glance(file, max_pixels=self.settings.max_pixels)
        except SampleError:
            return None

    @property
    def ahead(self) -> int:
        """One: the files of a task are read side by side."""
        return 1

    def prepare(self) -> Callable[[list[File]], Callable[[], list[Found] | Loss]]:
        """Return what reads the headers of a task."""
        from dataset_assets.images.probe import configure, probe  # Pillow takes the parent memory for nothing

        configure()

        def look(source: str, uri: str, version: str) -> Found:
            try:
                with self.sources[source].open(uri, version) as file:
                    limit = self.settings.max_pixels
                    return glance(file, max_pixels=limit) or probe(file, max_pixels=limit)
            except SampleError as error:
                return error.reason, error.detail
            except OSError as error:
                lost = tell_loss(error)
                return lost.reason, lost.detail

        if self.at_once == 1:
            return lambda task: lambda: [look(*file) for file in task]
        threads = ThreadPoolExecutor(self.at_once)  # each of which waits for its file most of the time

        def look_at_all(task: list[File]) -> list[Found]:
            quick = [file for file in task if self.sources[file[0]].is_quick(file[2])]
            found = dict(zip(quick, threads.map(lambda file: look(*file), quick), strict=True))
            return [found.get(file) or look(*file) for file in task]

        return lambda task: partial(look_at_all, task)

    def fail(self, task: list[File], loss: Loss) -> Loss:
        """Return what happened to the worker: which file it was is found out file by file."""
        return loss


def read_headers(
    count: int, settings: ImageSettings, sources: Mapping[str, Source], files: Iterable[File]
) -> Iterator[Found]:
    """Yield what the header of each file says, or why it says nothing, in order; `count` is of worker processes."""
    job = ProbeJob(settings=settings, sources=dict(sources))
    rest = iter(files)
    with ThreadPoolExecutor(_THREADS) as threads, Workers(count, job) as workers, Workers(1, job) as alone:
        while batch := list(islice(rest, _BATCH)):
            seen = list(_glance_all(job, threads, batch))
            unsure = (file for file, found in zip(batch, seen, strict=True) if found is None)
            judged = _judge(workers, alone, unsure)
            yield from (next(judged) if found is None else found for found in seen)


def _glance_all(job: ProbeJob, threads: ThreadPoolExecutor, files: Sequence[File]) -> Iterator[Header | None]:
    """Yield what can be said of files without a decoder, by several threads where they wait for the disk."""
    if job.at_once > 1:
        with ThreadPoolExecutor(job.at_once) as many:
            yield from chain.from_iterable(many.map(job.glance, [[file] for file in files]))
        return
    tasks = _cut(files)
    first = next(tasks, [])
    began = monotonic()
    yield from job.glance(first)
    slow = monotonic() - began > _SLOW_SECONDS * len(first)
    # Of files in memory threads take the interpreter from each other: alone each is faster than all together.
    yield from chain.from_iterable(threads.map(job.glance, tasks) if slow else map(job.glance, tasks))


_Workers = Workers[list[File], list[Found] | Loss]


def _judge(workers: _Workers, alone: _Workers, files: Iterator[File]) -> Iterator[Found]:
    """Yield what Pillow says of files; what a worker did not survive is found out one by one, by `alone`."""
    for task, answer in workers.run(_cut(files)):
        if not isinstance(answer, Loss):
            yield from answer
            continue
        for _, one in alone.run([file] for file in task):
            yield _blame(one) if isinstance(one, Loss) else one[0]


def _blame(loss: Loss) -> Found:
    """Return why a file has no header that its worker did not survive."""
    late = loss.timed_out and loss.waiting
    return DropReason.UNREADABLE if late else DropReason.DECODE_ERROR, loss.detail


def _cut(files: Iterable[File]) -> Iterator[list[File]]:
    rest = iter(files)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
