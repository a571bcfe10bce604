"""Folders of images that do more than a folder does: they notice what is opened, fail, kill, or take their time."""

import os
import signal
import time
from ast import literal_eval
from collections import Counter
from collections.abc import Iterator
from multiprocessing import parent_process
from pathlib import Path
from typing import BinaryIO

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.sources.base import Listed
from dataset_assets.sources.folder import FolderSource


class Log:
    """A list of names that several processes add to: a file with a line each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.write_text("")

    def append(self, name: str) -> None:
        with self._path.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{name!r}\n")

    def clear(self) -> None:
        self._path.write_text("")

    def copy(self) -> list[str]:
        return [literal_eval(line) for line in self._path.read_text().splitlines()]

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.copy())

    def __eq__(self, other: object) -> bool:
        return self.copy() == other

    __hash__ = None  # type: ignore[assignment]  # it changes


class Watched:
    """A folder that remembers which images were opened, and cannot read those in `failing`."""

    def __init__(self, path: Path) -> None:
        self._folder = FolderSource(path=path)
        self.opened = Log(path.with_name(".opened"))
        self.failing: set[str] = set()

    def list_images(self, ignored: Counter[str]) -> Iterator[Listed]:
        return self._folder.list_images(ignored)

    def find_file(self, uri: str) -> str:
        return self._folder.find_file(uri)

    @property
    def at_once(self) -> int:
        return 1

    def is_quick(self, version: str) -> bool:
        return False

    def count_bytes(self, version: str) -> int:
        return self._folder.count_bytes(version)

    def open(self, uri: str, version: str) -> BinaryIO:
        self.opened.append(uri)
        if uri in self.failing:
            raise SampleError(DropReason.UNREADABLE, "Input/output error")
        return self._folder.open(uri, version)

    def read(self, uri: str, version: str) -> bytes:
        return self._folder.read(uri, version)

    def read_sidecar(self, uri: str, extension: str, version: str) -> bytes | None:
        return self._folder.read_sidecar(uri, extension, version)


class Deadly(Watched):
    """A folder whose `number`th opening kills the process that scans it."""

    def __init__(self, path: Path, number: int) -> None:
        super().__init__(path)
        self._number = number

    def open(self, uri: str, version: str) -> BinaryIO:
        if len(self.opened) + 1 == self._number:
            time.sleep(1)  # until what was answered before is written
            parent = parent_process()  # of a worker, whose own parent is the server that forked it
            os.kill(os.getpid() if parent is None else parent.pid or 0, signal.SIGKILL)
            time.sleep(60)  # until this worker has noticed
        return super().open(uri, version)


class Slow(Watched):
    """A folder that takes its time, and tells in `told` which processes open images."""

    def __init__(self, path: Path, told: Path) -> None:
        super().__init__(path)
        self._told = told

    def open(self, uri: str, version: str) -> BinaryIO:
        (self._told / str(os.getpid())).touch()
        time.sleep(0.05)
        return super().open(uri, version)
