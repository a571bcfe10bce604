"""Images in WebDataset tars: which tars are looked into, and how one member is read without the others.

What a tar offers is settled in samples.py. A listing says where each member lies, and the version of an image holds
that: reading one opens its tar and goes there.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from typing import BinaryIO, NamedTuple, Self

from dataset_assets.errors import DropReason, SampleError, SourceError
from dataset_assets.sources.base import LARGEST_SIDECAR, Listed, join_sidecars
from dataset_assets.sources.folder import decode_uri, encode_uri, make_image_id
from dataset_assets.sources.slices import Handle, Slice, Wanted, find_state, read_at
from dataset_assets.sources.tars.listings import Stamp, forget_others, keep, recall
from dataset_assets.sources.tars.samples import BY_KEY, IdRule, Offer, Offers, list_samples
from dataset_assets.sources.trees import Tree, make_tree, tell_loss
from dataset_assets.sources.walk import FileState, show_path, split_name
from dataset_assets.storage.location import Location

_TAR = "tar"
_TAR_ENDS = re.compile(r"\.tar(?=/)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TarSource:
    """The tars in a folder and its subfolders. `prefix` is put before every image_id."""

    path: Location
    listings: Location  # the folder of what is kept between two scans
    prefix: str = ""
    rule: IdRule = BY_KEY
    skip: tuple[Location, ...] = ()  # folders that are left alone: what we make ourselves
    tree: Tree = field(init=False, repr=False, compare=False)  # what is at `path`

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", make_tree(self.path, self.skip))

    def list_images(self, ignored: Counter[str]) -> Iterator[Listed]:
        """Offer the images in every tar, in a fixed order; a tar that did not change since the last time is not opened.

        A tar that is damaged is offered itself, with a fault, after what was found in it. Listings are kept for the
        next time, those of tars that are gone are removed. Raises SourceError when the folder or one below it cannot be
        listed or a tar not be read, StorageError when a listing cannot be kept.
        """
        found = []
        for tar, state, offers in self.tree.map(self._look_into, self.find_tars(ignored)):
            if state.fault:
                yield self._listed(tar, state, Offer("", tar, (0, 0), {}, state.fault))
                continue
            found.append(tar)
            ignored.update(offers.ignored)
            yield from (self._listed(tar, state, one) for one in offers.images)
        forget_others(self.listings, found)

    def find_tars(self, ignored: Counter[str]) -> Iterator[tuple[str, FileState]]:
        """Yield the tars, by their paths in the source; all other files are counted. Raises SourceError."""
        for folder, files in self.tree.walk(frozenset((_TAR,))):
            for entry in files:
                if split_name(entry.name)[1].lower() == _TAR:
                    yield folder + entry.name, self.tree.look_at(entry)
                else:
                    ignored[_name_kind(entry.name)] += 1

    def find_file(self, uri: str) -> str:
        """Return the uri of the tar that an image is in."""
        relative = decode_uri(uri)
        return encode_uri(relative[: self._find_end(relative)])

    @property
    def at_once(self) -> int:
        """How many images are best opened at a time."""
        return self.tree.at_once

    def is_quick(self, version: str) -> bool:
        """Return whether it is waited for: else a worker reads it as quickly."""
        return self.at_once > 1

    def count_bytes(self, version: str) -> int:
        """Return the size of the member."""
        try:
            return _Place.parse(version).size
        except SampleError:
            return 0

    def open(self, uri: str, version: str) -> BinaryIO:
        """Open an image to read its header: what is not read of it is not read at all. Raises SampleError."""
        with self._opening(uri, version, "start") as (file, place):
            place.check(file)
            return BufferedReader(Slice(file, place.offset, place.size))

    def read(self, uri: str, version: str) -> bytes:
        """Return the whole image. Raises SampleError: UNREADABLE, or SOURCE_CHANGED when its tar is another one now."""
        with self._opening(uri, version) as (file, place):
            data = read_at(file, place.size, place.offset)
            place.check(file)
        return data

    def read_sidecar(self, uri: str, extension: str, version: str) -> bytes | None:
        """Return the member that was listed beside the image, None where its tar is gone.

        Raises OSError, also where the tar is another one now: the next scan says where the member lies in it.
        """
        try:
            path, place = self._locate(uri, version)
            with self.tree.open_parts(path, place.tar_version) as file:
                data = read_at(file, min(place.size, LARGEST_SIDECAR + 1), place.offset)
                place.check(file)
        except FileNotFoundError:
            return None
        except SampleError as error:
            raise OSError(error.detail) from None
        return data

    def _look_into(self, found: tuple[str, FileState]) -> tuple[str, FileState, Offers]:
        """Return a tar that was found, its state and what it offers then."""
        tar, state = found
        stamp = Stamp(tar, state.size, state.stamp, self.rule)
        if state.fault:
            return tar, state, Offers([], {})
        if kept := recall(self.listings, stamp):
            return tar, state, kept
        try:
            with self.tree.open_parts(tar, state.version, "walk") as file:
                opened = find_state(file)
                state = state if opened.version == state.version else opened
                offers = list_samples(file, state.size, tar, self.rule)
        except OSError as error:
            shown = show_path(str(self.path / tar))
            raise SourceError(f"source {shown}: cannot be read: {error.strerror or error}") from None
        keep(self.listings, stamp._replace(size=state.size, stamp=state.stamp), offers)
        return tar, state, offers

    def _listed(self, tar: str, state: FileState, one: Offer) -> Listed:
        stamp = _write_stamp(state)
        versions = {name: str(_Place(*place, state.size, stamp)) for name, place in one.sidecars.items()}
        return Listed(
            uri=encode_uri(f"{tar}/{one.name}" if one.name else tar),
            image_id=make_image_id(self.prefix + one.image_id),
            size=one.place[1],
            version=str(_Place(*one.place, state.size, stamp)),
            modified=state.modified,
            sidecars=join_sidecars(versions),
            fault=one.fault,
        )

    @contextmanager
    def _opening(self, uri: str, version: str, what: Wanted = "parts") -> Iterator[tuple[Handle, "_Place"]]:
        """Yield the image's tar, and where the member lies in it. Raises SampleError for what is not there."""
        try:
            path, place = self._locate(uri, version)
            with self.tree.open_parts(path, place.tar_version, what) as file:
                yield file, place
        except OSError as error:
            raise tell_loss(error, "its tar") from None

    def _locate(self, uri: str, version: str) -> tuple[str, "_Place"]:
        """Return where the image's tar is, and where the member lies in it.

        Raises SampleError(SOURCE_CHANGED), and OSError where a store does not say it.
        """
        relative = decode_uri(uri)
        end = self._find_end(relative)
        if end is None:
            raise SampleError(DropReason.SOURCE_CHANGED, "not in a tar; scan the source again")
        return relative[:end], _Place.parse(version)

    def _find_end(self, relative: str) -> int | None:
        """Return where the tar's part of an image's path ends, None where the path is in no tar."""
        ends = [match.end() for match in _TAR_ENDS.finditer(relative)]
        # A folder may be called like a tar, and so may one inside a tar.
        return next((end for end in ends[:-1] if not self.tree.is_folder(relative[:end])), ends[-1] if ends else None)


class _Place(NamedTuple):
    """Where a member lies: what the version of an image or of a sidecar says. Its text are hexadecimal numbers."""

    offset: int  # bytes
    size: int  # bytes
    tar_size: int  # bytes
    tar_stamp: str

    def __str__(self) -> str:
        return f"{self.offset:x}.{self.size:x}.{self.tar_size:x}.{self.tar_stamp}"

    @property
    def tar_version(self) -> str:
        """What FileState.version is of an object; of a file on disk nobody asks."""
        return f"{self.tar_size}-{self.tar_stamp}"

    @classmethod
    def parse(cls, version: str) -> Self:
        """Return what was made a text. Raises SampleError(SOURCE_CHANGED) for any other."""
        try:
            *numbers, stamp = version.split(".", 3)
            offset, size, tar_size = (int(number, 16) for number in numbers)
        except ValueError:
            raise SampleError(DropReason.SOURCE_CHANGED, "not in a tar; scan the source again") from None
        return cls(offset, size, tar_size, stamp)

    def check(self, file: Handle) -> None:
        """Raise SampleError(SOURCE_CHANGED) where the tar is not the one that was listed."""
        state = find_state(file)
        if (state.size, _write_stamp(state)) != (self.tar_size, self.tar_stamp):
            raise SampleError(DropReason.SOURCE_CHANGED, "its tar changed after the scan")


def _write_stamp(state: FileState) -> str:
    return state.stamp if isinstance(state.stamp, str) else f"{state.stamp:x}"


def _name_kind(name: str) -> str:
    """Return the extension under which a file is counted, tar.gz and the like as a whole."""
    stem, extension = split_name(name)
    whole = f"{_TAR}.{extension}" if split_name(stem)[1].lower() == _TAR else extension
    return show_path(whole).lower()
