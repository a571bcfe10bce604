"""The files of a merge while they are made: what each begins and ends with, and the names they go by until then."""

import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from shutil import copyfileobj

from dataset_assets.errors import StorageError
from dataset_assets.storage.atomic import TEMPORARY_SUFFIX
from dataset_assets.trainer.output.merged import ARCHIVE, CAPTIONS, MISSING, Form, compress

_BLOCK = 512  # bytes of a tar
_RECORD = 20 * _BLOCK
_HEAD = len(compress(bytes(_BLOCK + 1), 0))  # of an archive: a tar's header and the first brace, not compressed


class Outputs:
    """The files of a form in a folder, each under a name that a sweep removes once this process is gone."""

    def __init__(self, folder: Path, form: Form) -> None:
        self.paths = [folder / f".{name}.{os.getpid()}{TEMPORARY_SUFFIX}" for name in form.names]
        self._missing = folder / f".missing.json.{os.getpid()}{TEMPORARY_SUFFIX}"
        self._form = form

    def begin(self) -> list[int]:
        """Make the files and return at which byte each goes on. Raises StorageError."""
        starts = []
        for name, path in zip(self._form.names, self.paths, strict=True):
            head = bytes(_HEAD) if name == ARCHIVE else b"{" if name.endswith(".json") else b""
            try:
                path.write_bytes(head)
            except OSError as error:
                raise StorageError(f"cannot write {path}: {error.strerror or error}") from None
            starts.append(len(head))
        return starts

    def finish(self, ends: Sequence[int]) -> dict[str, Path]:
        """Write the ends of the files and return where each is, by its name. Raises StorageError."""
        sizes = dict(zip(self._form.names, ends, strict=True))
        found = dict(zip(self._form.names, self.paths, strict=True))
        try:
            for name, path in found.items():
                if name.endswith(".json"):
                    with path.open("ab") as file:
                        file.write(b"}")
            if ARCHIVE in found:
                _finish_archive(found[ARCHIVE], sizes[CAPTIONS] + 1)
            _write_missing(self._missing, {name: found.pop(f"missing_{name}") for name in MISSING})
        except OSError as error:
            raise StorageError(f"cannot write the metadata: {error.strerror or error}") from None
        return found | {"missing.json": self._missing}

    def remove(self) -> None:
        """Remove what is still there."""
        for path in (*self.paths, self._missing):
            with suppress(OSError):
                path.unlink()


def _finish_archive(path: Path, size: int) -> None:
    """Write the ends of an archive of a file of `size` bytes, of which all but the braces are there."""
    info = tarfile.TarInfo(CAPTIONS)
    info.size = size
    filled = -(-size // _BLOCK) * _BLOCK
    whole = -(-(_BLOCK + filled + 2 * _BLOCK) // _RECORD) * _RECORD
    with path.open("r+b") as file:
        file.write(compress(info.tobuf(tarfile.GNU_FORMAT) + b"{", 0))
        file.seek(0, os.SEEK_END)
        file.write(compress(b"}" + bytes(whole - _BLOCK - size)))


def _write_missing(path: Path, lists: Mapping[str, Path]) -> None:
    with ExitStack() as stack:
        file = stack.enter_context(path.open("wb"))
        for index, (name, keys) in enumerate(lists.items()):
            file.write(b"], " if index else b"{")
            file.write(json.dumps(name).encode() + b": [")
            copyfileobj(stack.enter_context(keys.open("rb")), file)
        file.write(b"]}")
