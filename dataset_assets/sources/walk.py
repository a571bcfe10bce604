"""The files in a folder and its subfolders, in a fixed order. What they are taken for is the sources' matter.

Hidden and temporary files are left alone, links are followed but no folder is entered twice.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dataset_assets.errors import DropReason, SourceError

# What cameras, desktops, browsers and copying tools leave behind.
_TEMPORARY_ENDINGS = ("~", ".part", ".partial", ".crdownload", ".download", ".tmp", ".temp", ".swp", ".filepart")
_SYSTEM_FOLDERS = frozenset(("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"))

Files = list[os.DirEntry[str]]


class FileState(NamedTuple):
    """What the folder says of a file, without opening it."""

    size: int = 0  # bytes
    stamp: int | str = 0  # another one when it was written again: of a disk mtime in nanoseconds, of an object its etag
    modified: float = 0  # unix seconds
    fault: tuple[DropReason, str] | None = None  # why it cannot be read

    @property
    def version(self) -> str:
        """A text that differs when the file differs, "" where it cannot be read."""
        return "" if self.fault else f"{self.size}-{self.stamp}"


def read_size(version: str) -> int:
    """Return the size, in bytes, that FileState.version tells, 0 where it tells none."""
    size = version.partition("-")[0]
    return int(size) if size.isdecimal() else 0


def walk(root: Path, offered: frozenset[str], skip: tuple[Path, ...] = ()) -> Iterator[tuple[str, Files]]:
    """Yield each folder with its files: the path below `root`, "" or with a / at its end, and the files by name.

    The folders in `skip` are left alone. `offered` are the extensions of what the source offers: one that cannot be
    looked at is no reason to stop. Raises SourceError when a folder cannot be listed: guessing that its images are gone
    would throw their places away.
    """
    # Folders behind links come last: where a folder can be reached both ways, its real path names it.
    real, linked = [""], deque[str]()
    seen = {_identity(path.stat()) for path in skip if path.is_dir()}
    while real or linked:
        folder = real.pop() if real else linked.popleft()
        path = root / folder
        try:
            identity = _identity(path.stat())
            if identity in seen:
                continue
            seen.add(identity)
            files, below, links = _read_folder(path, offered)
        except OSError as error:
            raise SourceError(_explain(error.filename or path, error)) from None
        real += [f"{folder}{name}/" for name in reversed(below)]
        linked += [f"{folder}{name}/" for name in links]
        yield folder, files


def look_at(entry: os.DirEntry[str]) -> FileState:
    """Return what the folder says of a file."""
    try:
        status = entry.stat()
    except OSError as error:
        # A link that leads nowhere, or in a circle.
        return FileState(fault=(DropReason.UNREADABLE, error.strerror or str(error)))
    return state_of(status)


def state_of(status: os.stat_result) -> FileState:
    """Return what the system says of a file."""
    if not stat.S_ISREG(status.st_mode):
        return FileState(fault=(DropReason.UNREADABLE, "not a regular file"))  # opening a pipe would wait for ever
    return FileState(status.st_size, status.st_mtime_ns, status.st_mtime)


def is_left_alone(name: str) -> bool:
    """Return whether a file or folder of this name is hidden or temporary."""
    return name.startswith(".") or name.lower().endswith(_TEMPORARY_ENDINGS)


def is_system_folder(name: str) -> bool:
    """Return whether a folder of this name is a desktop's or a disk's own."""
    return name in _SYSTEM_FOLDERS


def split_name(name: str) -> tuple[str, str]:
    """Return what stands before the last dot, and the extension after it, "" where there is none."""
    stem, dot, extension = name.rpartition(".")
    return (stem, extension) if dot else (name, "")


def show_path(path: str | Path) -> str:
    """Return a path as text that can be printed and stored: hex digits for bytes that are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _read_folder(path: Path, offered: frozenset[str]) -> tuple[Files, list[str], list[str]]:
    """Return the files in a folder, its subfolders, and its links to folders, each by name."""
    files: Files = []
    below: list[str] = []
    links: list[str] = []
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
            if is_left_alone(entry.name):
                continue
            if not _is_folder(entry, offered):
                files.append(entry)
            elif not is_system_folder(entry.name):
                (links if entry.is_symlink() else below).append(entry.name)
    return files, below, links


def _is_folder(entry: os.DirEntry[str], offered: frozenset[str]) -> bool:
    """Return whether this is a folder or a link to one. Raises OSError where it may be and cannot be looked at."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP or split_name(entry.name)[1].lower() in offered:
            return False  # a link in a circle, or an image behind a link that we may not follow
        raise


def _explain(path: str | Path, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"source {show_path(path)}: there is no such folder; path under [[sources]] in the settings names it"
    return f"source {show_path(path)}: cannot be listed: {error.strerror}"
