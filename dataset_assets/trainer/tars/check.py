"""Reads numbered tars and their indexes again and says what is wrong with them. Nothing is written or mended.

Indexes are compared with Python's own `json`, not with what wrote them.
"""

import json
import re
from collections.abc import Callable, Iterator
from hashlib import sha1, sha256
from typing import Any, BinaryIO

from dataset_assets.posts.batch import LARGEST_ID
from dataset_assets.shards.report import Fault
from dataset_assets.shards.tar import Member, TarError, TarReader
from dataset_assets.storage.location import Location

_MEMBER = re.compile(r"(0|[1-9][0-9]*)(\.[a-z]+)")  # an id, and how all members of the kind end
TAR = re.compile(r"[0-9]+\.tar")
_SHOWN = 20  # faults of an index that are listed


def check_numbered_tars(
    folder: Location, modulus: int, tell: Callable[[int, int], object] = lambda members, size: None
) -> Iterator[Fault]:
    """Yield what is wrong with the tars of one kind: those of the ids' remainders by `modulus`, and their indexes.

    The faults' files are relative to `folder`. `tell` is called after each tar with its members and its bytes.
    """
    tars: dict[int, Location] = {}
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    names = {path.name for path in paths}
    for path in paths:
        number = int(path.stem) if TAR.fullmatch(path.name) else -1
        if 0 <= number < modulus and number not in tars:
            tars[number] = path
        elif path.suffix != ".json" or not TAR.fullmatch(f"{path.stem}.tar") or f"{path.stem}.tar" not in names:
            yield Fault(path.name, "", f"is not one of the {modulus:,} tars and their indexes")
    if lacking := [number for number in range(modulus) if number not in tars]:
        yield Fault("", "", f"{len(lacking):,} of {modulus:,} tars are not there, the first of them tar {lacking[0]}")
    if len({len(path.stem) for path in tars.values()}) > 1:
        yield Fault("", "", "the tars' names are not all as long")
    suffixes: set[str] = set()
    for number, path in tars.items():
        yield from _check_tar(path, number, modulus, suffixes, tell)
    if len(suffixes) > 1:
        yield Fault("", "", f"the members' names end in {', '.join(sorted(suffixes))}: allowed is one of them")


class _Hashed:
    """A file whose bytes are hashed as they are read, as git hashes a blob."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.hash = sha1(b"blob %d\0" % size, usedforsecurity=False)

    def read(self, size: int) -> bytes:
        """Return some more bytes, none at the end."""
        data = self._file.read(size)
        self.hash.update(data)
        return data


def _check_tar(
    path: Location, number: int, modulus: int, suffixes: set[str], tell: Callable[[int, int], object]
) -> Iterator[Fault]:
    files: dict[str, dict[str, Any]] = {}
    size = 0
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            hashed = _Hashed(file, size)
            reader = TarReader(hashed)  # type: ignore[arg-type]  # which reads, and does nothing else
            last = -1
            for member in reader:
                for reason in _check_member(member, last, number, modulus):
                    yield Fault(path.name, member.name, reason)
                if named := _MEMBER.fullmatch(member.name):
                    last = int(named[1])
                    suffixes.add(named[2])
                place = {"offset": member.offset, "size": len(member.data)}
                files[member.name] = {**place, "sha256": sha256(member.data).hexdigest()}
    except (TarError, OSError) as error:
        yield Fault(path.name, "", str(error) if isinstance(error, TarError) else f"cannot be read: {error.strerror}")
        return
    finally:
        tell(len(files), size)
    hashes = {"hash": hashed.hash.hexdigest(), "hash_lfs": reader.sha256}
    for sample, reason in _check_index(path.with_suffix(".json"), {"filesize": size, **hashes, "files": files}):
        yield Fault(path.with_suffix(".json").name, sample, reason)


def _check_member(member: Member, last: int, number: int, modulus: int) -> Iterator[str]:
    named = _MEMBER.fullmatch(member.name)
    if not named or int(named[1]) > LARGEST_ID:
        yield "is not named by an id"
        return
    if int(named[1]) % modulus != number:
        yield f"belongs into tar {int(named[1]) % modulus}"
    if int(named[1]) <= last:
        yield f"follows {last}: ids ascend"
    if not member.data:
        yield "is empty: empty texts are left out"


def _check_index(path: Location, expected: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with an index, and the member that it is wrong of; "" where none is meant."""
    try:
        data = path.read_bytes()
        if data == json.dumps(expected).encode():
            return
        said = json.loads(data)
    except OSError as error:
        yield "", f"cannot be read: {error.strerror}"
        return
    except (ValueError, RecursionError) as error:
        yield "", f"is not JSON: {error}"
        return
    if not isinstance(said, dict) or not isinstance(files := said.pop("files", None), dict):
        yield "", "is not an index: an object with `files`, an object"
        return
    there = expected.pop("files")
    wrong = [name for name in expected if said.get(name) != expected[name]]
    faults = [("", f"{name} is {said.get(name)!r}, the tar's is {expected[name]!r}") for name in wrong]
    names = [name for name in dict.fromkeys([*there, *files]) if files.get(name) != there.get(name)]
    faults += [(name, f"is {files.get(name)}, the tar's is {there.get(name)}") for name in names]
    yield from faults[:_SHOWN] or [("", "says what the tar is, but is not written as hfutils writes it")]
    if len(faults) > _SHOWN:
        yield "", f"has {len(faults) - _SHOWN:,} more faults"
