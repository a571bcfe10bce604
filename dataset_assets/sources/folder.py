"""Images in a folder and its subfolders: which files are offered, how they are named, and how they are read."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.sources.base import LARGEST_SIDECAR, Listed, join_sidecars
from dataset_assets.sources.trees import Entry, Tree, make_tree, tell_loss
from dataset_assets.sources.walk import FileState, read_size, show_path, split_name
from dataset_assets.storage.location import Location

# fmt: off
IMAGE_EXTENSIONS = frozenset((
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "tif", "tiff", "bmp", "dib", "gif", "avif",
    "jp2", "j2k", "jpx", "heic", "heif", "hif", "jxl",
))
# fmt: on
SIDECAR_EXTENSIONS = frozenset(("txt", "caption", "json"))

_ESCAPED = re.compile("[%\udc80-\udcff]")  # U+DC00 and a byte is how Python reads one that is no UTF-8


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSource:
    """A folder of images. `prefix` is put before every image_id, the folders in `skip` are left alone."""

    path: Location
    prefix: str = ""
    skip: tuple[Location, ...] = ()  # what we make ourselves, where that lies inside the source
    tree: Tree = field(init=False, repr=False, compare=False)  # what is at `path`

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", make_tree(self.path, self.skip))

    def list_images(self, ignored: Counter[str]) -> Iterator[Listed]:
        """Offer the files whose extension is an image's, whatever is really inside, in a fixed order.

        Raises SourceError when the folder or one below it cannot be listed: guessing that its images are gone
        would throw their places away.
        """
        for folder, files in self.tree.walk(IMAGE_EXTENSIONS):
            yield from self._offer(folder, files, ignored)

    def _offer(self, folder: str, files: Sequence[Entry], ignored: Counter[str]) -> Iterator[Listed]:
        sidecars: dict[str, dict[str, FileState]] = {}
        images = []
        look_at = self.tree.look_at
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

    @property
    def at_once(self) -> int:
        """How many images are best opened at a time."""
        return self.tree.at_once

    def find_uri(self, place: str) -> str | None:
        """Return the uri of what a person names by a path on disk or a URL, None where that is elsewhere."""
        path = self.tree.find_path(place)
        return None if path is None else encode_uri(path)

    def is_quick(self, version: str) -> bool:
        """Return True: every image is a file."""
        return True

    def count_bytes(self, version: str) -> int:
        """Return the size of the file."""
        return read_size(version)

    def open(self, uri: str, version: str) -> BinaryIO:
        """Open an image to read its header; one on a disk whatever it is now. Raises SampleError(UNREADABLE)."""
        try:
            return self.tree.open(decode_uri(uri), version)
        except OSError as error:
            raise SampleError(DropReason.UNREADABLE, error.strerror or str(error)) from None

    def read(self, uri: str, version: str) -> bytes:
        """Return the whole file. Raises SampleError: UNREADABLE, or SOURCE_CHANGED when it is not `version`."""
        try:
            return self.tree.read(decode_uri(uri), version)
        except OSError as error:
            raise tell_loss(error) from None

    def read_sidecar(self, uri: str, extension: str, version: str) -> bytes | None:
        """Return the file beside the image with this extension, None where it is gone; on a disk as it is now."""
        stem, _ = split_name(decode_uri(uri))
        try:
            return self.tree.read_start(f"{stem}.{extension}", LARGEST_SIDECAR + 1, version)
        except FileNotFoundError:
            return None


def make_image_id(relative: str) -> str:
    """Return the image_id of a path in the source: NFC, with hex digits for bytes that are no UTF-8."""
    return relative if relative.isascii() else unicodedata.normalize("NFC", show_path(relative))


def encode_uri(relative: str) -> str:
    """Return a relative path as text that any database takes: % and bytes that are no UTF-8 as %NN."""
    return _ESCAPED.sub(lambda match: f"%{ord(match[0]) & 0xFF:02X}", relative)


def decode_uri(uri: str) -> str:
    """Return the path that `encode_uri` was given."""
    return os.fsdecode(unquote_to_bytes(uri))
