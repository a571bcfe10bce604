"""Folders of images that do more than a folder does: they notice what is opened, fail, kill, or take their time."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.sources.base import Listed
from dataset_assets.sources.folder import FolderSource


class Watched:
    """A folder that remembers which images were opened, and cannot read those in `failing`."""

    def __init__(self, path: Path) -> None:
        self._folder = FolderSource(path=path)
        self.opened: list[str] = []
        self.failing: set[str] = set()

    def list_images(self, ignored: Counter[str]) -> Iterator[Listed]:
        return self._folder.list_images(ignored)

    def open(self, uri: str) -> BinaryIO:
        self.opened.append(uri)
        if uri in self.failing:
            raise SampleError(DropReason.UNREADABLE, "Input/output error")
        return self._folder.open(uri)

    def read(self, uri: str, version: str) -> bytes:
        return self._folder.read(uri, version)

    def read_sidecar(self, uri: str, extension: str) -> bytes | None:
        return self._folder.read_sidecar(uri, extension)


class Deadly(Watched):
    """A folder whose `number`th opening kills the process."""

    def __init__(self, path: Path, number: int) -> None:
        super().__init__(path)
        self._number = number

    def open(self, uri: str) -> BinaryIO:
        if len(self.opened) + 1 == self._number:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().open(uri)


class Slow(Watched):
    """A folder that takes its time, and tells in `told` which processes open images."""

    def __init__(self, path: Path, told: Path) -> None:
        super().__init__(path)
        self._told = told

    def open(self, uri: str) -> BinaryIO:
        (self._told / str(os.getpid())).touch()
        time.sleep(0.05)
        return super().open(uri)
