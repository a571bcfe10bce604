"""The files that the settings' `records.paths` mean, in the order in which they count. None is opened."""

import glob
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from dataset_assets.errors import SourceError
from dataset_assets.settings import Settings
from dataset_assets.sources.walk import show_path

_LINES = (".jsonl", ".ndjson")
ENDINGS = (*_LINES, *(ending + packed for packed in (".gz", ".zst") for ending in _LINES), ".parquet")
_BITS = 31  # of a piece's number


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFile:
    """A file of records as its folder shows it."""

    number: int  # of its piece: it stays the same when files are added
    name: str  # below the settings' folder, `/`-separated; absolute when it is not below
    path: Path
    size: int  # bytes; -1 when it could not be looked at
    mtime_ns: int

    @property
    def stem(self) -> str:
        """The name of what is made of it: 16 hex digits."""
        return _digest(self.name).hex()[:16]


def list_files(settings: Settings) -> list[RecordFile]:
    """Return the files of records: pattern by pattern, by path within each; of two rows of one id the later counts.

    A file that several patterns match stands where the first has it. Raises SourceError when a pattern matches nothing,
    or a file of another kind.
    """
    if settings.records is None:
        raise SourceError("there are no records: add [records] with paths to the settings file")
    paths = dict.fromkeys(path for pattern in settings.records.paths for path in _match(settings, pattern))
    names = {_name(settings.folder, path): path for path in paths}
    numbers = _number(names)
    return [_look_at(numbers[name], name, path) for name, path in names.items()]


def are_settled(files: Sequence[RecordFile], seconds: float) -> bool:
    """Return whether no file has changed in the last `seconds`: one that has may still be written."""
    latest = max((file.mtime_ns for file in files), default=0) / 1e9
    return time.time() - latest >= seconds


def _match(settings: Settings, pattern: str) -> Iterator[Path]:
    """Yield the files that a pattern means, by path."""
    path = settings.resolve(pattern)
    if path.is_file():  # a name with the characters of a pattern is a name
        found = [path]
    else:
        wanted = str(Path(pattern).expanduser())
        # Not Path.glob: hidden files are nobody's, and the folder of the settings is no pattern.
        matches = glob.glob(wanted, root_dir=settings.folder, recursive=True)  # noqa: PTH207
        found = sorted(one for one in map(settings.resolve, matches) if one.is_file() or not one.exists())
    if not found:
        raise SourceError(f"records: {pattern} matches no file; paths under [records] in the settings names it")
    for one in found:
        if not one.name.lower().endswith(ENDINGS):
            raise SourceError(f"records: {show_path(one)} is matched by {pattern}; allowed: *{', *'.join(ENDINGS)}")
    yield from found


def _name(folder: Path, path: Path) -> str:
    return show_path(path.relative_to(folder.absolute()) if path.is_relative_to(folder.absolute()) else path)


def _number(names: dict[str, Path]) -> dict[str, int]:
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


def _look_at(number: int, name: str, path: Path) -> RecordFile:
    try:
        status = path.stat()
    except OSError:  # reading it says why
        return RecordFile(number=number, name=name, path=path, size=-1, mtime_ns=0)
    return RecordFile(number=number, name=name, path=path, size=status.st_size, mtime_ns=status.st_mtime_ns)


def _digest(name: str) -> bytes:
    return sha256(name.encode()).digest()
