"""Images in a folder and its subfolders: which files are offered, how they are named, and how they are read.

Hidden and temporary files are left alone, links are followed but no folder is entered twice.
"""

import errno
import os
import re
import stat
import unicodedata
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import unquote_to_bytes

from dataset_assets.errors import DropReason, SampleError, SourceError
from dataset_assets.sources.base import LARGEST_SIDECAR, Listed, join_sidecars

# fmt: off
IMAGE_EXTENSIONS = frozenset((
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "tif", "tiff", "bmp", "dib", "gif", "avif",
    "jp2", "j2k", "jpx", "heic", "heif", "hif", "jxl",
))
# fmt: on
SIDECAR_EXTENSIONS = frozenset(("txt", "caption", "json"))

# What cameras, desktops, browsers and copying tools leave behind.
_TEMPORARY_ENDINGS = ("~", ".part", ".partial", ".crdownload", ".download", ".tmp", ".temp", ".swp", ".filepart")
_SYSTEM_FOLDERS = frozenset(("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"))
_ESCAPED = re.compile("[%\udc80-\udcff]")  # U+DC00 and a byte is how Python reads one that is no UTF-8


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSource:
    """A folder of images. `prefix` is put before every image_id, the folders in `skip` are left alone."""

    path: Path
    prefix: str = ""
    skip: tuple[Path, ...] = ()  # what we make ourselves, where that lies inside the source

    def list_images(self, ignored: Counter[str]) -> Iterator[Listed]:
        """Offer the files whose extension is an image's, whatever is really inside, in a fixed order.

        Raises SourceError when the folder or one below it cannot be listed: guessing that its images are gone
        would throw their places away.
        """
        # Folders behind links come last: where a folder can be reached both ways, its real path names it.
        real, linked = [""], deque[str]()
        seen = {_identity(path.stat()) for path in self.skip if path.is_dir()}
        while real or linked:
            folder = real.pop() if real else linked.popleft()
            try:
                identity = _identity(self._absolute(folder).stat())
                if identity in seen:
                    continue
                seen.add(identity)
                files, below, links = _read_folder(self._absolute(folder))
            except OSError as error:
                raise SourceError(_explain(error.filename or self._absolute(folder), error)) from None
            real += [f"{folder}{name}/" for name in reversed(below)]
            linked += [f"{folder}{name}/" for name in links]
            yield from self._offer(folder, files, ignored)

    def _offer(self, folder: str, files: list[os.DirEntry[str]], ignored: Counter[str]) -> Iterator[Listed]:
        sidecars: dict[str, dict[str, _State]] = {}
        images = []
        for entry in files:
            stem, extension = _split_name(entry.name)
            if extension.lower() in IMAGE_EXTENSIONS:
                images.append((stem, entry))
            elif extension.lower() not in SIDECAR_EXTENSIONS:
                ignored[_shown(extension).lower()] += 1
            elif not (state := _look(entry)).fault:  # else there is nothing to read
                sidecars.setdefault(stem, {})[extension] = state
        for stem, entry in images:
            state, beside, path = _look(entry), sidecars.get(stem), folder + entry.name
            yield Listed(
                uri=encode_uri(path),
                image_id=make_image_id(self.prefix + path),
                size=state.size,
                version=state.version,
                modified=max(state.modified, *(one.modified for one in beside.values())) if beside else state.modified,
                sidecars=join_sidecars({name: one.version for name, one in beside.items()}) if beside else "",
                fault=state.fault,
            )

    def open(self, uri: str) -> BinaryIO:
        """Open an image to read its header. Raises SampleError(UNREADABLE)."""
        try:
            return self._absolute(decode_uri(uri)).open("rb")
        except OSError as error:
            raise SampleError(DropReason.UNREADABLE, error.strerror or str(error)) from None

    def read(self, uri: str, version: str) -> bytes:
        """Return the whole file. Raises SampleError: UNREADABLE, or SOURCE_CHANGED when it is not `version`."""
        try:
            with self._absolute(decode_uri(uri)).open("rb") as file:
                data = file.read()
                now = _version(os.fstat(file.fileno()))
        except FileNotFoundError:
            raise SampleError(DropReason.SOURCE_CHANGED, "removed after the scan") from None
        except OSError as error:
            raise SampleError(DropReason.UNREADABLE, error.strerror or str(error)) from None
        if now != version:
            raise SampleError(DropReason.SOURCE_CHANGED, "changed after the scan")
        return data

    def read_sidecar(self, uri: str, extension: str) -> bytes | None:
        """Return the file beside the image whose extension this is on disk, None where it is gone."""
        stem, _ = _split_name(decode_uri(uri))
        try:
            with self._absolute(f"{stem}.{extension}").open("rb") as file:
                return file.read(LARGEST_SIDECAR + 1)
        except FileNotFoundError:
            return None

    def _absolute(self, relative: str) -> Path:
        return self.path / relative


def make_image_id(relative: str) -> str:
    """Return the image_id of a path in the source: NFC, with hex digits for bytes that are no UTF-8 (SPEC 1.4)."""
    return relative if relative.isascii() else unicodedata.normalize("NFC", _shown(relative))


def encode_uri(relative: str) -> str:
    """Return a relative path as text that any database takes: % and bytes that are no UTF-8 as %NN."""
    return _ESCAPED.sub(lambda match: f"%{ord(match[0]) & 0xFF:02X}", relative)


def decode_uri(uri: str) -> str:
    """Return the path that `encode_uri` was given."""
    return os.fsdecode(unquote_to_bytes(uri))


def _shown(path: str | Path) -> str:
    """Return a path as text that can be printed and stored: hex digits for bytes that are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _split_name(name: str) -> tuple[str, str]:
    stem, dot, extension = name.rpartition(".")
    return (stem, extension) if dot else (name, "")


def _identity(status: os.stat_result) -> tuple[int, int]:
    """Return what is the same for a folder by whatever path it is reached."""
    return status.st_dev, status.st_ino


class _State(NamedTuple):
    """What the folder says of a file, without opening it."""

    size: int = 0
    version: str = ""
    modified: float = 0
    fault: tuple[DropReason, str] | None = None


def _look(entry: os.DirEntry[str]) -> _State:
    try:
        status = entry.stat()
    except OSError as error:
        # A link that leads nowhere, or in a circle.
        return _State(fault=(DropReason.UNREADABLE, error.strerror or str(error)))
    if not stat.S_ISREG(status.st_mode):
        return _State(fault=(DropReason.UNREADABLE, "not a regular file"))  # opening a pipe would wait for ever
    return _State(status.st_size, _version(status), status.st_mtime)


def _version(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _read_folder(path: Path) -> tuple[list[os.DirEntry[str]], list[str], list[str]]:
    """Return the files in a folder, its subfolders, and its links to folders, each by name."""
    files: list[os.DirEntry[str]] = []
    below: list[str] = []
    links: list[str] = []
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
            if entry.name.startswith(".") or entry.name.lower().endswith(_TEMPORARY_ENDINGS):
                continue
            if not _is_folder(entry):
                files.append(entry)
            elif entry.name not in _SYSTEM_FOLDERS:
                (links if entry.is_symlink() else below).append(entry.name)
    return files, below, links


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether this is a folder or a link to one. Raises OSError where it may be and cannot be looked at."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP or _split_name(entry.name)[1].lower() in IMAGE_EXTENSIONS:
            return False  # a link in a circle, or an image behind a link that we may not follow
        raise


def _explain(path: str | Path, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"source {_shown(path)}: there is no such folder; path under [[sources]] in the settings names it"
    return f"source {_shown(path)}: cannot be listed: {error.strerror}"
