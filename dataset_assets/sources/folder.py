"""Images in a folder and its subfolders: which files are offered, how they are named, and how they are read."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.sources.base import LARGEST_SIDECAR, Listed, join_sidecars
from dataset_assets.sources.walk import Files, FileState, look_at, show_path, split_name, state_of, walk

# fmt: off
IMAGE_EXTENSIONS = frozenset((
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "tif", "tiff", "bmp", "dib", "gif", "avif",
    "jp2", "j2k", "jpx", "heic", "heif", "hif", "jxl",
))
# fmt: on
_USUAL_SIDECAR = 1 << 14  # bytes
SIDECAR_EXTENSIONS = frozenset(("txt", "caption", "json"))

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
        for folder, files in walk(self.path, IMAGE_EXTENSIONS, self.skip):
            yield from self._offer(folder, files, ignored)

    def _offer(self, folder: str, files: Files, ignored: Counter[str]) -> Iterator[Listed]:
        sidecars: dict[str, dict[str, FileState]] = {}
        images = []
        for entry in files:
            stem, extension = split_name(entry.name)
            if extension.lower() in IMAGE_EXTENSIONS:
                images.append((stem, entry))
            elif extension.lower() not in SIDECAR_EXTENSIONS:
                ignored[show_path(extension).lower()] += 1
            elif not (state := look_at(entry)).fault:  # else there is nothing to read
                sidecars.setdefault(stem, {})[extension] = state
        for stem, entry in images:
            state, beside, path = look_at(entry), sidecars.get(stem), folder + entry.name
            yield Listed(
                uri=encode_uri(path),
                image_id=make_image_id(self.prefix + path),
                size=state.size,
                version=state.version,
                modified=max(state.modified, *(one.modified for one in beside.values())) if beside else state.modified,
                sidecars=join_sidecars({name: one.version for name, one in beside.items()}) if beside else "",
                fault=state.fault,
            )

    def find_file(self, uri: str) -> str:
        """Return the image's own uri: every image is a file."""
        return uri

    def open(self, uri: str, version: str) -> BinaryIO:
        """Open an image to read its header, whatever it is now. Raises SampleError(UNREADABLE)."""
        try:
            # A pipe that took a file's place after the listing would be waited for, for ever.
            return BufferedReader(FileIO(self._absolute(decode_uri(uri)), opener=_open_at_once))
        except OSError as error:
            raise SampleError(DropReason.UNREADABLE, error.strerror or str(error)) from None

    def read(self, uri: str, version: str) -> bytes:
        """Return the whole file. Raises SampleError: UNREADABLE, or SOURCE_CHANGED when it is not `version`."""
        try:
            with Path(self._absolute(decode_uri(uri))).open("rb") as file:
                data = file.read()
                now = state_of(os.fstat(file.fileno())).version
        except FileNotFoundError:
            raise SampleError(DropReason.SOURCE_CHANGED, "removed after the scan") from None
        except OSError as error:
            raise SampleError(DropReason.UNREADABLE, error.strerror or str(error)) from None
        if now != version:
            raise SampleError(DropReason.SOURCE_CHANGED, "changed after the scan")
        return data

    def read_sidecar(self, uri: str, extension: str, version: str) -> bytes | None:
        """Return the file beside the image whose extension this is on disk, as it is now; None where it is gone."""
        stem, _ = split_name(decode_uri(uri))
        try:
            with FileIO(self._absolute(f"{stem}.{extension}")) as file:
                data = file.read(_USUAL_SIDECAR)  # room for the largest one takes longer to get than to read most
                while len(data) <= LARGEST_SIDECAR and (more := file.read(LARGEST_SIDECAR + 1 - len(data))):
                    data += more
                return data
        except FileNotFoundError:
            return None

    def _absolute(self, relative: str) -> str:
        return relative if relative.startswith("/") else f"{self.path}/{relative}"  # a Path takes as long as a read


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def make_image_id(relative: str) -> str:
    """Return the image_id of a path in the source: NFC, with hex digits for bytes that are no UTF-8 (SPEC 1.4)."""
    return relative if relative.isascii() else unicodedata.normalize("NFC", show_path(relative))


def encode_uri(relative: str) -> str:
    """Return a relative path as text that any database takes: % and bytes that are no UTF-8 as %NN."""
    return _ESCAPED.sub(lambda match: f"%{ord(match[0]) & 0xFF:02X}", relative)


def decode_uri(uri: str) -> str:
    """Return the path that `encode_uri` was given."""
    return os.fsdecode(unquote_to_bytes(uri))
