"""One build of a dataset at a time. The operating system frees the lock of a process that is killed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset_assets.errors import StorageError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`. Raises StorageError, naming the process, when another one holds it."""
    try:
        file = path.open("a+")
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "(just started)"
            raise StorageError(f"process {holder} is building this dataset: wait until it ends, or end it") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
