"""The headers of many files at once, by worker processes: a file that crashes or hangs its decoder costs itself."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.worker import Loss
from dataset_assets.images.workers import Workers
from dataset_assets.records import Header
from dataset_assets.settings import ImageSettings
from dataset_assets.sources.base import Source

_CHUNK = 64  # files a task: sending one takes as long as reading a header

Found = Header | tuple[DropReason, str]
File = tuple[str, str, str]  # name of the source, uri, version


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeJob:
    """Reads the headers of some files."""

    settings: ImageSettings
    sources: Mapping[str, Source]

    @property
    def timeout_seconds(self) -> float:
        """How long one task may take."""
        return self.settings.timeout_seconds

    def prepare(self) -> Callable[[list[File]], list[Found] | str]:
        """Return what reads the headers of a task."""
        from dataset_assets.images.probe import configure, probe  # Pillow takes the parent memory for nothing

        configure()

        def look(source: str, uri: str, version: str) -> Found:
            try:
                with self.sources[source].open(uri, version) as file:
                    return probe(file, max_pixels=self.settings.max_pixels)
            except SampleError as error:
                return error.reason, error.detail
            except OSError as error:
                return DropReason.UNREADABLE, error.strerror or str(error)

        return lambda task: [look(*file) for file in task]

    def fail(self, task: list[File], loss: Loss) -> str:
        """Return what happened to the worker: which file it was is found out file by file."""
        return loss.detail


def read_headers(
    count: int, settings: ImageSettings, sources: Mapping[str, Source], files: Iterable[File]
) -> Iterator[Found]:
    """Yield what the header of each file says, or why it says nothing, in order; `count` is of worker processes."""
    job = ProbeJob(settings=settings, sources=dict(sources))
    with Workers(count, job) as workers, Workers(1, job) as alone:
        for task, answer in workers.run(_cut(files)):
            if not isinstance(answer, str):
                yield from answer
                continue
            for _, one in alone.run([file] for file in task):
                yield (DropReason.DECODE_ERROR, one) if isinstance(one, str) else one[0]


def _cut(files: Iterable[File]) -> Iterator[list[File]]:
    rest = iter(files)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
