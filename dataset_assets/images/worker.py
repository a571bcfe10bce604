"""A worker process: tasks come in through a pipe, crops go out. `workers` starts, watches and ends it.

The first message says that it has started; then one message a task follows, in the order of the tasks. What one image
does wrong is an answer; anything else ends the process with a Failure as its last message.
"""

import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from os import _exit

from dataset_assets.errors import DatasetError, DropReason, SampleError
from dataset_assets.records import Crop, Drop
from dataset_assets.settings import ImageSettings
from dataset_assets.sources.base import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A worker's first message: everything it needs is imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A worker's last message: something else than the image is wrong."""

    error: DatasetError | None  # where a person can act on it
    traceback: str


def work(connection: Connection, settings: ImageSettings, sources: Mapping[str, Reader]) -> None:
    """Live as a worker process: answer tasks until the parent closes the pipe."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        _serve(connection, settings, sources)
    except BaseException as error:
        fault = error if isinstance(error, DatasetError) else None
        connection.send(Failure(error=fault, traceback=traceback.format_exc()))
        raise SystemExit(1) from error


def end_with_parent() -> None:
    """End this process when the parent dies, even in the middle of an image that hangs."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        _exit(1)


def _serve(connection: Connection, settings: ImageSettings, sources: Mapping[str, Reader]) -> None:
    from dataset_assets.images.pipeline import make_crop  # torch takes the parent seconds and memory for nothing
    from dataset_assets.images.probe import configure
    from dataset_assets.images.resize import use_one_thread

    configure()
    use_one_thread()
    connection.send(Started())
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        data = None
        try:
            data = sources[task.source].read(task.uri, task.version)
            answer: Crop | Drop = make_crop(data, task, settings)
        except SampleError as error:
            answer = _drop(error.reason, error.detail, data)
        except MemoryError:
            answer = _drop(DropReason.DECODE_ERROR, "there is not enough memory for it", data)
        connection.send(answer)


def _drop(reason: DropReason, detail: str, data: bytes | None) -> Drop:
    return Drop(reason=reason, detail=detail, source_sha256="" if data is None else sha256(data).hexdigest())
