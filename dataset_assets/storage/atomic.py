"""Writes that a reader sees whole or not at all: a temporary name beside the target, fsync, then rename.

A killed process leaves at most a temporary file, which `sweep` removes; no reader takes one for an artifact because
artifacts are opened by their exact names.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dataset_assets.errors import StorageError

TEMPORARY_SUFFIX = ".writing"


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
        temporary.unlink(missing_ok=True)


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
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
    return True


def sweep(folder: Path) -> int:
    """Remove what killed processes left half written under `folder`; return how many files that were.

    Call it while no other process writes there.
    """
    left = list(folder.rglob(f".*{TEMPORARY_SUFFIX}"))
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)
