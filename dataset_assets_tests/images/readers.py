"""A source for tests of the workers: the URI says what happens in the worker process."""

import os
import signal
import time
from threading import Barrier
from typing import Never

import numpy as np
from numpy.typing import NDArray

from dataset_assets.errors import DropReason, SampleError, SourceError
from dataset_assets.images import pipeline
from dataset_assets.images.decode import decode
from dataset_assets.records import CropTask
from dataset_assets.settings import ImageSettings
from dataset_assets.sources.waiting import waiting
from dataset_assets_tests.photos import jpeg

AT_ONCE = 4
_MEETING = Barrier(AT_ONCE)


class Reader:
    """Reads `photo`, a JPEG of its own for every version; everything else goes wrong as its name says."""

    at_once = 1

    def is_quick(self, version: str) -> bool:
        return True

    def count_bytes(self, version: str) -> int:
        return 0

    def read(self, uri: str, version: str) -> bytes:
        match uri:
            case "photo":
                return jpeg(120, 90, seed=int(version))
            case "large":
                return jpeg(1200, 900, seed=int(version))
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exit":
                os._exit(3)
            case "hang":
                vars(pipeline)["decode"] = _hang  # of this process, which has to be killed for it
                return b"hang"
            case "stuck":
                with waiting():
                    time.sleep(3600)
            case "unpacks":
                time.sleep(3600)
            case "slow":
                with waiting():
                    time.sleep(4)
                return jpeg(120, 90, seed=int(version))
            case "missing":
                raise SampleError(DropReason.UNREADABLE, "no such file")
            case "memory":
                raise MemoryError
            case "source":
                raise SourceError("the disk is gone")
            case "empty":
                return b""
        raise ZeroDivisionError(f"a defect at {uri}")


def _hang(data: bytes, settings: ImageSettings) -> NDArray[np.uint8]:
    while data == b"hang":
        time.sleep(3600)
    return decode(data, settings)


class Remote(Reader):
    """Waited for: of "together" no image comes before as many are asked for as are best read at a time."""

    at_once = AT_ONCE

    def read(self, uri: str, version: str) -> bytes:
        if uri != "together":
            return super().read(uri, version)
        with waiting():
            _MEETING.wait(60)
        return super().read("photo", version)


class Packed(Remote):
    """Waited for, and decoders are needed to read it."""

    def is_quick(self, version: str) -> bool:
        return False


class Stillborn(Reader):
    """Ends the process that receives it before that has started its work."""

    def read(self, uri: str, version: str) -> Never:
        raise AssertionError

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (7,)


def task(slot: int, uri: str = "photo", source: str = "test") -> CropTask:
    """Return a task; its slot is the photo's seed."""
    return CropTask(slot=slot, image_id=f"{uri} {slot}", source=source, uri=uri, version=str(slot), target=(64, 64))
