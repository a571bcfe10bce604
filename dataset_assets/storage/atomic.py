"""Writes that a reader sees whole or not at all: a temporary name beside the target, fsync, then rename.

In an object store nothing is renamed: an object is there when all of it is (upload.py). On a disk, a killed process
leaves at most a temporary file, which `sweep` removes; no reader takes one for an artifact because artifacts are opened
by their exact names.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO, cast

from dataset_assets.errors import StorageError
from dataset_assets.storage.location import Location
from dataset_assets.storage.objects import ObjectPath
from dataset_assets.storage.upload import Upload

TEMPORARY_SUFFIX = ".writing"
_COPIED = 1 << 20  # bytes at a time
_TRIES = 3
_TEMPORARY = re.compile(rf"\..+\.(\d+){re.escape(TEMPORARY_SUFFIX)}", re.DOTALL)  # name and process id, see `writing`


@contextmanager
def writing(place: Location) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `place` when the block ends without an exception; else nothing stays.

    It is written from its start to its end. Raises StorageError when the disk is full, read-only or not there, or the
    object store does not take it.
    """
    write = _sending(place) if isinstance(place, ObjectPath) else _renaming(cast("Path", place))
    with write as file:
        yield file


@contextmanager
def _sending(path: ObjectPath) -> Iterator[BinaryIO]:
    upload = Upload(path)
    try:
        yield cast("BinaryIO", upload)
        upload.finish()
    except BaseException as error:
        upload.abort()
        if isinstance(error, OSError):
            raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
        raise


@contextmanager
def _renaming(path: Path) -> Iterator[BinaryIO]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        with _open_below(path.parent, temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # where it was never made, why is being raised already
            temporary.unlink()


def _open_below(folder: Path, path: Path) -> BinaryIO:
    """Open a new file for writing, in a folder that is made where it is not there."""
    for _ in range(_TRIES):
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # `remove` took the folder, which was empty just then
            return path.open("wb")
    raise FileNotFoundError(errno.ENOENT, "its folder is removed again and again")


def write_bytes(path: Location, data: bytes) -> None:
    """Write `data` as `path`, whole or not at all. Raises StorageError."""
    with writing(path) as file:
        file.write(data)


def settle(made: Path, place: Location) -> None:
    """Let a finished local file become `place`, whole or not at all; `made` is gone then. Raises StorageError.

    On a disk it is given its name, and lies on that disk already; to an object store it is sent.
    """
    try:
        if isinstance(place, ObjectPath):
            with _sending(place) as out, made.open("rb") as file:
                copyfileobj(file, out, _COPIED)
            made.unlink()
        else:
            with made.open("rb") as file:
                os.fsync(file.fileno())
            made.replace(cast("Path", place))
    except OSError as error:
        raise StorageError(f"cannot write {place}: {error.strerror or error}") from None


def remove(place: Location) -> bool:
    """Remove a file if it is there, and its folder if that is empty then. Return whether it was there."""
    try:
        if isinstance(place, ObjectPath):
            place.remove()
        else:
            cast("Path", place).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"cannot remove {place}: {error.strerror or error}") from error
    if isinstance(place, Path):
        with suppress(OSError):  # it is not empty, or another process has just removed it
            place.parent.rmdir()
    return True


def sweep(folders: Iterable[Location]) -> int:
    """Remove what killed processes left half written in these folders and below; return how many files that were.

    What a living process of this machine writes is left alone. In an object store nothing half written is seen.
    """
    local = [folder for folder in folders if isinstance(folder, Path)]
    found = (path for folder in local for path in folder.rglob(f".*{TEMPORARY_SUFFIX}"))
    left = [path for path in found if (match := _TEMPORARY.fullmatch(path.name)) and not _is_alive(int(match[1]))]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return process != os.getpid()  # we write nothing while we sweep
