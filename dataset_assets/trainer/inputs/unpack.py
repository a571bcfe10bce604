"""Inputs as they are published, packed: `meta_lat.tar.gz`, `.json.gz`, `.jsonl.zst`. They are unpacked to files.

How a packed file is read is archives.py's of posts.
"""

import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, BinaryIO

from dataset_assets.errors import SourceError, StorageError
from dataset_assets.posts.archives import CutShortError, PackedDamageError, read_bytes
from dataset_assets.storage.atomic import TEMPORARY_SUFFIX
from dataset_assets.storage.location import Location
from dataset_assets.trainer.inputs.rows import Input

_PACKED = (".gz", ".zst", ".tar")
_COPIED = 1 << 20  # bytes at a time


@contextmanager
def unpacking(inputs: Sequence[Input], folder: Path) -> Iterator[list[Input]]:
    """Yield the inputs, of those that are packed with the file that holds what is in them; it is removed after.

    A sweep removes it once this process is gone. Raises SourceError where a file cannot be unpacked or has not just one
    JSON file in it, and StorageError for a full disk.
    """
    with ExitStack() as stack:
        found = []
        for number, source in enumerate(inputs):
            if source.path.suffix.lower() not in _PACKED:
                found.append(source)
                continue
            unpacked = folder / f".unpacked-{number}.{os.getpid()}{TEMPORARY_SUFFIX}"
            stack.callback(unpacked.unlink, missing_ok=True)
            found.append(replace(source, unpacked=unpacked, ending=_unpack(source.path, unpacked)))
        yield found


def _unpack(path: Location, target: Path) -> str:
    """Write what is in a packed file, and return how the name of that ends."""
    try:
        file = target.open("wb")
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from None
    with file:
        try:
            packed = _Packed(path)
            inner = path.stem if path.suffix.lower() != ".tar" else path.name
            if inner.lower().endswith(".tar"):
                return _take_member(packed, path, file)
            _copy(packed, file)
            return Path(inner).suffix.lower()
        except (CutShortError, PackedDamageError, tarfile.TarError) as error:
            raise SourceError(f"{path} cannot be unpacked: {error}") from None
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror or error}") from None


class _Packed:
    """A packed file, read from its beginning to its end."""

    def __init__(self, path: Location) -> None:
        self._parts = read_bytes(path)
        self._left = b""

    def read(self, size: int = _COPIED) -> bytes:
        """Return as many bytes, fewer at the end."""
        parts, held = [self._left], len(self._left)
        while held < size and (part := next(self._parts, None)) is not None:
            parts.append(part)
            held += len(part)
        data = b"".join(parts)
        self._left = data[size:]
        return data[:size]


def _take_member(packed: _Packed, path: Location, file: BinaryIO) -> str:
    """Write the one JSON file that a tar has, and return how its name ends."""
    names = []
    ending = ""
    with tarfile.open(fileobj=packed, mode="r|") as tar:  # type: ignore[call-overload]  # which reads, and nothing else
        for member in tar:
            name = Path(member.name)
            if member.isfile() and name.suffix.lower() in (".json", ".jsonl") and not name.name.startswith("."):
                names.append(member.name)
                content = tar.extractfile(member)
                if len(names) == 1 and content is not None:
                    _copy(content, file)
                    ending = name.suffix.lower()
    if len(names) != 1:
        there = f"{len(names)}: {', '.join(names[:5])}" if names else "none"
        raise SourceError(f"{path} has to have one .json or .jsonl file in it, and has {there}")
    return ending


def _copy(source: _Packed | IO[bytes], file: BinaryIO) -> None:
    while data := source.read(_COPIED):
        try:
            file.write(data)
        except OSError as error:
            raise StorageError(f"cannot write {file.name}: {error.strerror or error}") from None
