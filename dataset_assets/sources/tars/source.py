"""Images in WebDataset tars: which tars are looked into, and how one member is read without the others.

What a tar offers is settled in samples.py. A listing says where each member lies, and the version of an image holds
that: reading one opens its tar and goes there.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from dataset_assets.errors import DropReason, SampleError, SourceError
from dataset_assets.sources.base import LARGEST_SIDECAR, Listed, join_sidecars
from dataset_assets.sources.folder import decode_uri, encode_uri, make_image_id
from dataset_assets.sources.slices import Slice
from dataset_assets.sources.tars.listings import Stamp, forget_others, keep, recall
from dataset_assets.sources.tars.samples import BY_KEY, IdRule, Offer, Offers, list_samples
from dataset_assets.sources.walk import FileState, look_at, show_path, split_name, state_of, walk
from dataset_assets.storage.location import Location

_TAR = "tar"
_TAR_ENDS = re.compile(r"\.tar(?=/)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TarSource:
    """The tars in a folder and its subfolders. `prefix` is put before every image_id."""

    path: Path
    listings: Location  # the folder of what is kept between two scans
    prefix: str = ""
    rule: IdRule = BY_KEY
    skip: tuple[Path, ...] = ()  # folders that are left alone: what we make ourselves

    def list_images(self, ignored: Counter[str]) -> Iterator[Listed]:
        """Offer the images in every tar, in a fixed order; a tar that did not change since the last time is not opened.

        A tar that is damaged is offered itself, with a fault, after what was found in it. Listings are kept for the
        next time, those of tars that are gone are removed. Raises SourceError when the folder or one below it cannot be
        listed or a tar not be read, StorageError when a listing cannot be kept.
        """
        found = []
        for tar, state in self.find_tars(ignored):
            if state.fault:
                yield self._listed(tar, state, Offer("", tar, (0, 0), {}, state.fault))
                continue
            found.append(tar)
            opened, offers = self._look_into(tar, state)
            ignored.update(offers.ignored)
            yield from (self._listed(tar, opened, one) for one in offers.images)
        forget_others(self.listings, found)

    def find_tars(self, ignored: Counter[str]) -> Iterator[tuple[str, FileState]]:
        """Yield the tars, by their paths in the source; all other files are counted. Raises SourceError."""
        for folder, files in walk(self.path, frozenset((_TAR,)), self.skip):
            for entry in files:
                if split_name(entry.name)[1].lower() == _TAR:
                    yield folder + entry.name, look_at(entry)
                else:
                    ignored[_name_kind(entry.name)] += 1

    def find_file(self, uri: str) -> str:
        """Return the uri of the tar that an image is in."""
        relative = decode_uri(uri)
        return encode_uri(relative[: self._find_end(relative)])

    def open(self, uri: str, version: str) -> BinaryIO:
        """Open an image to read its header: what is not read of it is not read from the disk. Raises SampleError."""
        path, place = self._locate(uri, version)
        with _open(path) as file:
            place.check(file)
            return BufferedReader(Slice(file.fileno(), place.offset, place.size))

    def read(self, uri: str, version: str) -> bytes:
        """Return the whole image. Raises SampleError: UNREADABLE, or SOURCE_CHANGED when its tar is another one now."""
        path, place = self._locate(uri, version)
        with _open(path) as file:
            try:
                file.seek(place.offset)
                data = file.read(place.size)
            except OSError as error:
                raise SampleError(DropReason.UNREADABLE, error.strerror or str(error)) from None
            place.check(file)
        return data

    def read_sidecar(self, uri: str, extension: str, version: str) -> bytes | None:
        """Return the member that was listed beside the image, None where its tar is gone.

        Raises OSError, also where the tar is another one now: the next scan says where the member lies in it.
        """
        try:
            path, place = self._locate(uri, version)
            with path.open("rb") as file:
                file.seek(place.offset)
                data = file.read(min(place.size, LARGEST_SIDECAR + 1))
                place.check(file)
        except FileNotFoundError:
            return None
        except SampleError as error:
            raise OSError(error.detail) from None
        return data

    def _look_into(self, tar: str, state: FileState) -> tuple[FileState, Offers]:
        """Return the state of a tar and what it offers then."""
        stamp = Stamp(tar, state.size, state.mtime_ns, self.rule)
        if kept := recall(self.listings, stamp):
            return state, kept
        try:
            with (self.path / tar).open("rb") as file:
                state = state_of(os.fstat(file.fileno()))
                offers = list_samples(file.fileno(), state.size, tar, self.rule)
        except OSError as error:
            raise SourceError(f"source {show_path(self.path / tar)}: cannot be read: {error.strerror}") from None
        keep(self.listings, stamp._replace(size=state.size, mtime_ns=state.mtime_ns), offers)
        return state, offers

    def _listed(self, tar: str, state: FileState, one: Offer) -> Listed:
        versions = {name: str(_Place(*place, state.size, state.mtime_ns)) for name, place in one.sidecars.items()}
        return Listed(
            uri=encode_uri(f"{tar}/{one.name}" if one.name else tar),
            image_id=make_image_id(self.prefix + one.image_id),
            size=one.place[1],
            version=str(_Place(*one.place, state.size, state.mtime_ns)),
            modified=state.modified,
            sidecars=join_sidecars(versions),
            fault=one.fault,
        )

    def _locate(self, uri: str, version: str) -> tuple[Path, "_Place"]:
        """Return where the image's tar is, and where the member lies in it. Raises SampleError(SOURCE_CHANGED)."""
        relative = decode_uri(uri)
        end = self._find_end(relative)
        if end is None:
            raise SampleError(DropReason.SOURCE_CHANGED, "not in a tar; scan the source again")
        return self.path / relative[:end], _Place.parse(version)

    def _find_end(self, relative: str) -> int | None:
        """Return where the tar's part of an image's path ends, None where the path is in no tar."""
        ends = [match.end() for match in _TAR_ENDS.finditer(relative)]
        # A folder may be called like a tar, and so may one inside a tar.
        return next((end for end in ends[:-1] if not (self.path / relative[:end]).is_dir()), ends[-1] if ends else None)


class _Place(NamedTuple):
    """Where a member lies: what the version of an image or of a sidecar says. Its text is four hexadecimal numbers."""

    offset: int  # bytes
    size: int  # bytes
    tar_size: int  # bytes
    tar_mtime_ns: int

    def __str__(self) -> str:
        return f"{self.offset:x}.{self.size:x}.{self.tar_size:x}.{self.tar_mtime_ns:x}"

    @classmethod
    def parse(cls, version: str) -> Self:
        """Return what was made a text. Raises SampleError(SOURCE_CHANGED) for any other."""
        try:
            return cls(*(int(number, 16) for number in version.split(".")))
        except (TypeError, ValueError):
            raise SampleError(DropReason.SOURCE_CHANGED, "not in a tar; scan the source again") from None

    def check(self, file: BinaryIO) -> None:
        """Raise SampleError(SOURCE_CHANGED) where the tar is not the one that was listed."""
        state = state_of(os.fstat(file.fileno()))
        if (state.size, state.mtime_ns) != (self.tar_size, self.tar_mtime_ns):
            raise SampleError(DropReason.SOURCE_CHANGED, "its tar changed after the scan")


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise SampleError(DropReason.SOURCE_CHANGED, "its tar was removed after the scan") from None
    except OSError as error:
        raise SampleError(DropReason.UNREADABLE, error.strerror or str(error)) from None


def _name_kind(name: str) -> str:
    """Return the extension under which a file is counted, tar.gz and the like as a whole."""
    stem, extension = split_name(name)
    whole = f"{_TAR}.{extension}" if split_name(stem)[1].lower() == _TAR else extension
    return show_path(whole).lower()
