"""Writes that a reader sees whole or not at all: a temporary name beside the target, fsync, then rename.

A killed process leaves at most a temporary file, which `sweep` removes; no reader takes one for an artifact because
artifacts are opened by their exact names.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dataset_assets.errors import StorageError

TEMPORARY_SUFFIX = ".writing"
_TEMPORARY = re.compile(rf"\..+\.(\d+){re.escape(TEMPORARY_SUFFIX)}", re.DOTALL)  # name and process id, see `writing`


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `path` when the block ends without an exception; else nothing stays.

    Raises StorageError when the disk is full, read-only or not there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # where it was never made, why is being raised already
            temporary.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` as `path`, whole or not at all. Raises StorageError."""
    with writing(path) as file:
        file.write(data)


def remove(path: Path) -> bool:
    """Remove a file if it is there, and its folder if that is empty then. Return whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"cannot remove {path}: {error.strerror or error}") from error
    with suppress(OSError):  # it is not empty, or another process has just removed it
        path.parent.rmdir()
    return True


def sweep(folders: Iterable[Path]) -> int:
    """Remove what killed processes left half written in these folders and below; return how many files that were.

    What a living process of this machine writes is left alone.
    """
    found = (path for folder in folders for path in folder.rglob(f".*{TEMPORARY_SUFFIX}"))
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
