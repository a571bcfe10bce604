"""What a source of images offers: a listing that opens nothing, and the bytes of one image. No source lives here."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from dataset_assets.errors import DropReason

LARGEST_SIDECAR = 1 << 20  # bytes: a longer file is no caption


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One image that a source offers, as its listing says; nothing was opened for it."""

    uri: str  # where the source finds it
    image_id: str  # docs/format.md, Samples
    size: int  # bytes
    version: str  # differs when the file differs, as far as a listing can tell
    modified: float = 0  # when it or a file beside it changed last, unix seconds; 0 where that is not known
    sidecars: str = ""  # the files beside it and their versions, see `split_sidecars`
    fault: tuple[DropReason, str] | None = None  # why it cannot be used, where the listing shows that already


class Reader(Protocol):
    """Gives an image's bytes. Crosses process borders, so it holds nothing but where the source is."""

    def read(self, uri: str, version: str) -> bytes:
        """Return the whole file. Raises SampleError: UNREADABLE, or SOURCE_CHANGED when it is not `version`."""

    @property
    def at_once(self) -> int:
        """How many images are best read at a time: one where none is waited for."""

    def is_quick(self, version: str) -> bool:
        """Return whether an image of this version, or its header, is read with a few system calls, or by a request.

        Then any thread may read it: nothing has to be decompressed for it.
        """

    def count_bytes(self, version: str) -> int:
        """Return how long an image of this version is, 0 where that does not say it."""


class Source(Reader, Protocol):
    """One place that images come from."""

    def list_images(self, ignored: Counter[str]) -> Iterator[Listed]:
        """Offer every image in a fixed order; files that are none are counted in `ignored` by extension.

        Raises SourceError when the source cannot be listed.
        """

    def find_file(self, uri: str) -> str:
        """Return the uri of the file that an image is in: its own, or that of the archive it is a part of."""

    def open(self, uri: str, version: str) -> AbstractContextManager[BinaryIO]:
        """Open an image to read its header, at the version that was listed. Raises SampleError as `read` does."""

    def read_sidecar(self, uri: str, extension: str, version: str) -> bytes | None:
        """Return what lies beside the image under this extension, as listed, None where it is gone.

        `version` is the sidecar's in the listing, which may say where it is. Of one larger than LARGEST_SIDECAR only so
        much that this shows. Raises OSError.
        """


def join_sidecars(versions: dict[str, str]) -> str:
    """Return extensions (as on disk, without the dot) and versions as the one text that the catalog keeps."""
    return ";".join(f"{extension}:{versions[extension]}" for extension in sorted(versions))


def split_sidecars(text: str) -> dict[str, str]:
    """Return what `join_sidecars` was given."""
    return dict(pair.split(":", 1) for pair in text.split(";")) if text else {}


def count_at_once(sources: Iterable[Reader]) -> int:
    """Return how many images of several sources are best read at a time: one where none is waited for."""
    return max((source.at_once for source in sources), default=1)
