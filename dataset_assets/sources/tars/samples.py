"""What one tar offers: its members put together as samples by WebDataset's rule, and what each is called.

The key of a member is its path up to the first dot of its last part; members of one key are one sample wherever they
lie in the tar. Nothing is read but headers, and the JSON where that names the images.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dataset_assets.counts import count_noun
from dataset_assets.errors import DropReason
from dataset_assets.sources.base import LARGEST_SIDECAR
from dataset_assets.sources.folder import IMAGE_EXTENSIONS, SIDECAR_EXTENSIONS
from dataset_assets.sources.slices import Handle, read_at
from dataset_assets.sources.tars.members import Damage, Member, read_members
from dataset_assets.sources.walk import is_left_alone, is_system_folder, show_path

TAR_SIDECARS = SIDECAR_EXTENSIONS | {"cls"}

Place = tuple[int, int]  # (offset of the data in the tar, its size), bytes
Fault = tuple[DropReason, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRule:
    """What an image is called: its key, the path of its tar and its key, or what a field of its JSON says."""

    by: Literal["key", "path", "json"] = "key"
    field: str = ""  # of the JSON
    or_key: bool = False  # the key, where there is no such field


BY_KEY = IdRule()


class Offer(NamedTuple):
    """One image that a tar offers."""

    name: str  # of the member, as Python reads paths; "" is the tar itself, which is damaged
    image_id: str  # before the source puts its prefix and makes it NFC
    place: Place
    sidecars: Mapping[str, Place]  # by their extensions, as they are in the tar
    fault: Fault | None


class Offers(NamedTuple):
    """All that a tar offers, and how many of its members are no images, by extension."""

    images: list[Offer]
    ignored: Mapping[str, int]


class _Name(NamedTuple):
    """The parts of a member's name: `key`.`between``extension`."""

    key: str
    between: str  # "" or what ends in a dot: the 1. of photo.1.jpg
    extension: str


def list_samples(file: Handle, size: int, tar: str, rule: IdRule) -> Offers:
    """Return what the tar offers that is open as `file` and has `size` bytes.

    `tar` is its path in the source. Of members of the same name the last one counts, as for `tar` itself; the images
    among the others are offered with a fault, and so is the tar where it is damaged. Raises OSError.
    """
    members, damages = read_members(file, size)
    ignored: Counter[str] = Counter()
    images, sidecars = _sort(members, ignored)
    names = _Names(file, tar, rule)
    latest = {member.name: member for member, _ in images}
    offers = []
    for member, name in images:
        if latest[member.name] is not member:
            offers.append(_supersede(tar, member, latest[member.name]))
            continue
        beside = _find_beside(name, sidecars)
        image_id, fault = names.choose(member, name, beside)
        offers.append(Offer(member.name, image_id, (member.offset, member.size), beside, fault))
    if damages:
        offers.append(Offer("", tar, (0, size), {}, (DropReason.UNREADABLE, _describe(damages))))
    return Offers(offers, ignored)


_Sidecars = dict[tuple[str, str], dict[str, Place]]  # by key and what stands between


def _sort(members: Iterable[Member], ignored: Counter[str]) -> tuple[list[tuple[Member, _Name]], _Sidecars]:
    """Return the images among the members, and what lies beside them; the others are counted."""
    images: list[tuple[Member, _Name]] = []
    sidecars: _Sidecars = {}
    for member in members:
        if _is_hidden(member.name):
            continue
        name = _split(member.name)
        kind = name.extension.lower()
        if kind in IMAGE_EXTENSIONS:
            images.append((member, name))
        elif kind not in TAR_SIDECARS:
            ignored[show_path(name.extension).lower()] += 1
        elif not member.problem:
            beside = sidecars.setdefault((name.key, name.between), {})
            if name.extension in beside:
                ignored[kind] += 1  # the earlier of two of the same name
            beside[name.extension] = member.offset, member.size
    return images, sidecars


class _Names:
    """Names the images of one tar."""

    def __init__(self, file: Handle, tar: str, rule: IdRule) -> None:
        self._file = file
        self._tar = tar
        self._rule = rule
        self._taken: set[tuple[str, str]] = set()

    def choose(self, member: Member, name: _Name, beside: Mapping[str, Place]) -> tuple[str, Fault | None]:
        """Return an image's id, and why it cannot be used where that shows already."""
        try:
            own = self._own(name, beside)
        except ValueError as error:  # it is called what no other image can be called
            return f"{self._tar}/{member.name}", (DropReason.UNREADABLE, str(error))
        first = (name.key, own) not in self._taken
        self._taken.add((name.key, own))
        fault = (DropReason.UNREADABLE, f"{member.problem} in the tar") if member.problem else None
        return own if first else f"{own}.{name.between}{name.extension}", fault

    def _own(self, name: _Name, beside: Mapping[str, Place]) -> str:
        match self._rule.by:
            case "key":
                return name.key
            case "path":
                return f"{self._tar[: -len('.tar')]}/{name.key}"
            case "json":
                return self._read_id(beside) or name.key

    def _read_id(self, beside: Mapping[str, Place]) -> str:
        """Return what the JSON says, "" where the key is to be taken. Raises ValueError: why it says nothing."""
        field = self._rule.field
        place = next((place for extension, place in beside.items() if extension.lower() == "json"), None)
        if place is None:
            return self._missing("no JSON")
        value = self._read_json(place).get(field)
        if value is None:
            return self._missing(f"no field {field} in the JSON")
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"the field {field} in the JSON is a {type(value).__name__}, not text or an integer")
        text = str(value)
        if not text or "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError(f"the field {field} in the JSON is empty or holds characters that no text has")
        return text

    def _missing(self, why: str) -> str:
        if not self._rule.or_key:
            raise ValueError(why)
        return ""

    def _read_json(self, place: Place) -> dict[str, object]:
        offset, size = place
        if size > LARGEST_SIDECAR:
            raise ValueError(f"the JSON has more than {LARGEST_SIDECAR} bytes")
        try:
            read = json.loads(read_at(self._file, size, offset).decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise ValueError(f"the JSON is not UTF-8: {error.reason} at byte {error.start}") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the JSON is none: {error}") from None
        if not isinstance(read, dict):
            raise ValueError("the JSON is not an object")
        return read


def _find_beside(name: _Name, sidecars: _Sidecars) -> dict[str, Place]:
    """Return the sidecars of an image: photo.1.txt of photo.1.jpg, else photo.txt, which the key's images share."""
    shared = sidecars.get((name.key, ""), {})
    if not name.between:
        return shared
    own = sidecars.get((name.key, name.between), {})
    kinds = {extension.lower() for extension in own}
    return {extension: place for extension, place in shared.items() if extension.lower() not in kinds} | own


def _supersede(tar: str, member: Member, latest: Member) -> Offer:
    """Return an image that is there no more; its name and id are such that no other has them."""
    there = f"{member.name} at byte {member.offset}"
    detail = f"another member of this name follows, at byte {latest.offset}"
    return Offer(there, f"{tar}/{there}", (member.offset, member.size), {}, (DropReason.DUPLICATE_ID, detail))


def _describe(damages: list[Damage]) -> str:
    first = damages[0]
    if first.offset == 0:
        return f"not a tar: {first.what}"
    more = f"; damaged in {len(damages)} places" if len(damages) > 1 else ""
    return f"the tar is damaged after {count_noun(first.before, 'member')}, at byte {first.offset}: {first.what}{more}"


def _is_hidden(path: str) -> bool:
    """Return whether this is what a folder would be left alone for."""
    *folders, name = path.split("/")
    return is_left_alone(name) or any(
        folder not in (".", "..") and (is_left_alone(folder) or is_system_folder(folder)) for folder in folders
    )


def _split(path: str) -> _Name:
    folder, slash, name = path.rpartition("/")
    stem, _, rest = name.partition(".")
    extension = rest.rpartition(".")[2]
    return _Name(f"{folder}{slash}{stem}", rest.removesuffix(extension), extension)
