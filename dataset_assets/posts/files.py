"""The files that the settings' `records.paths` mean, in the order in which they count. None is opened."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from dataset_assets.errors import SourceError
from dataset_assets.settings import Settings
from dataset_assets.sources.named import find_named, find_time
from dataset_assets.sources.walk import show_path
from dataset_assets.storage.location import Location

_LINES = (".jsonl", ".ndjson")
ENDINGS = (*_LINES, *(ending + packed for packed in (".gz", ".zst") for ending in _LINES), ".parquet")
_BITS = 31  # of a piece's number


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFile:
    """A file of records as its folder or its store shows it."""

    number: int  # of its piece: it stays the same when files are added
    name: str  # below the settings' folder, `/`-separated; absolute when it is not below; of an object its URL
    path: Location
    size: int  # bytes; -1 when it could not be looked at
    stamp: int  # another one when it was written again
    modified: float  # unix seconds

    @property
    def stem(self) -> str:
        """The name of what is made of it: 16 hex digits."""
        return _digest(self.name).hex()[:16]


def list_files(settings: Settings) -> list[RecordFile]:
    """Return the files of records: pattern by pattern, by path within each; of two rows of one id the later counts.

    A file that several patterns match stands where the first has it. Raises SourceError when a pattern matches nothing,
    or a file of another kind, and where a store cannot be listed.
    """
    if settings.records is None:
        raise SourceError("there are no records: add [records] with paths to the settings file")
    names: dict[str, Location] = {}
    for pattern in settings.records.paths:
        for path in _match(settings, pattern):
            names.setdefault(_name(settings, path), path)
    numbers = _number(names)
    return [_look_at(numbers[name], name, path) for name, path in names.items()]


def are_settled(files: Sequence[RecordFile], seconds: float) -> bool:
    """Return whether no file has changed in the last `seconds`: one that has may still be written."""
    latest = max((file.modified for file in files), default=0)
    return time.time() - latest >= seconds


def _match(settings: Settings, pattern: str) -> Iterator[Location]:
    """Yield the files that a pattern means, by path."""
    found = find_named(pattern, settings.folder)
    if not found:
        raise SourceError(f"records: {pattern} matches no file; paths under [records] in the settings names it")
    for one in found:
        if not one.name.lower().endswith(ENDINGS):
            raise SourceError(
                f"records: {show_path(str(one))} is matched by {pattern}; allowed: *{', *'.join(ENDINGS)}"
            )
    yield from found


def _name(settings: Settings, path: Location) -> str:
    folder = settings.folder.absolute()
    return show_path(str(path.relative_to(folder) if path.is_relative_to(folder) else path))


def _number(names: dict[str, Location]) -> dict[str, int]:
    """Return a number for each name; on a collision the one that comes later in the order of names moves on."""
    numbers: dict[str, int] = {}
    taken: set[int] = set()
    for name in sorted(names):
        number = int.from_bytes(_digest(name)[:4], "big") >> (32 - _BITS)
        while number in taken:
            number = (number + 1) % (1 << _BITS)
        taken.add(number)
        numbers[name] = number
    return numbers


def _look_at(number: int, name: str, path: Location) -> RecordFile:
    try:
        status = path.stat()
    except OSError:  # reading it says why
        return RecordFile(number=number, name=name, path=path, size=-1, stamp=0, modified=0)
    return RecordFile(
        number=number,
        name=name,
        path=path,
        size=status.st_size,
        stamp=status.st_mtime_ns,
        modified=find_time(path, status),
    )


def _digest(name: str) -> bytes:
    return sha256(name.encode()).digest()
