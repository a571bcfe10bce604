"""The inputs of a merge cut into portions, and what one process does with one: read it and leave it as spills.

What the bytes say is objects.py's, lines.py's and columns.py's to find out; who hands the portions out is read.py.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_assets.errors import SourceError
from dataset_assets.storage.atomic import TEMPORARY_SUFFIX
from dataset_assets.storage.location import Location
from dataset_assets.trainer.inputs.columns import list_groups, read_columns
from dataset_assets.trainer.inputs.lines import read_lines, read_span
from dataset_assets.trainer.inputs.objects import cut_object, read_object
from dataset_assets.trainer.inputs.rows import Entries, Input, make_columns
from dataset_assets.trainer.inputs.spill import Spill, write_spill

_KINDS = {".json": "object", ".jsonl": "lines", ".ndjson": "lines", ".parquet": "table"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """A part of an input: bytes of a text file, row groups of a table."""

    source: Input
    number: int  # among those of all inputs
    start: int
    stop: int
    folder: Path  # of the spills
    owner: int  # the process whose they are, by its id

    def name_spill(self, part: int) -> Path:
        """Return the path of a spill; a sweep removes it once the process that owns it is gone."""
        return self.folder / f".spill-{self.number:06d}-{part:04d}.{self.owner}{TEMPORARY_SUFFIX}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What became of a portion."""

    spills: tuple[Spill, ...] = ()
    rows: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    listed: tuple[dict[str, Any], ...] = ()  # the faults, lines as counted in this portion
    lines: int = 0  # that end in it, of a file of lines
    broken: str = ""  # why it could not be read: a cut before or after it was none, or the file is damaged


def plan_portions(inputs: Sequence[Input], folder: Path, owner: int, step: int) -> list[Portion]:
    """Return the portions of the inputs, in their order, each of about `step` bytes.

    Raises SourceError where a file cannot be read, or is not what its name says.
    """
    spans = [(source, start, stop) for source in inputs for start, stop in _cut(source, step)]
    return [
        Portion(source=source, number=number, start=start, stop=stop, folder=folder, owner=owner)
        for number, (source, start, stop) in enumerate(spans)
    ]


def parse_portion(portion: Portion) -> Parsed:
    """Read a portion and write its spills. Raises SourceError and StorageError."""
    source, start, stop = portion.source, portion.start, portion.stop
    parts: Iterable[tuple[pa.Table, list[dict[str, Any]]]]
    lines = 0
    with _reading(source.path):
        match _find_kind(source):
            case "object":
                with source.place.open("rb") as file:
                    file.seek(start)
                    data = file.read(stop - start)
                try:
                    entries = read_object(data, source.roles)
                except ValueError as error:
                    return Parsed(broken=str(error))
                del data
                parts = [(make_columns(entries, source.roles), entries.faults)]
            case "lines":
                data, first = read_span(source.place, start, stop)
                lines = data.count(b"\n")
                entries = read_lines(data, first, source.roles) if data else Entries()
                del data
                parts = [(make_columns(entries, source.roles), entries.faults)]
            case _:
                parts = read_columns(source, range(start, stop))
        return replace(_spill(portion, parts), lines=lines)


def _spill(portion: Portion, parts: Iterable[tuple[pa.Table, list[dict[str, Any]]]]) -> Parsed:
    spills: list[Spill] = []
    faults: list[dict[str, Any]] = []
    for table, found in parts:
        faults += ({"file": portion.source.name or portion.source.path.name, **fault} for fault in found)
        if len(table):
            spills.append(write_spill(portion.name_spill(len(spills)), table))
    return Parsed(
        spills=tuple(spills),
        rows=sum(spill.rows for spill in spills),
        faults=Counter(str(fault["fault"]) for fault in faults),
        listed=tuple(faults),
    )


def _cut(source: Input, step: int) -> list[tuple[int, int]]:
    with _reading(source.path):
        match _find_kind(source):
            case "object":
                return cut_object(source.place, step, source.path)
            case "lines":
                size = source.place.stat().st_size
                return [(start, min(start + step, size)) for start in range(0, size, step)]
            case _:
                return list(_join_groups(list_groups(source), step))


def _join_groups(sizes: Sequence[int], step: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last row group, and one more, of stretches of about `step` bytes."""
    start, held = 0, 0
    for group, size in enumerate(sizes):
        held += size
        if held >= step or group == len(sizes) - 1:
            yield start, group + 1
            start, held = group + 1, 0


def _find_kind(source: Input) -> str:
    kind = _KINDS.get(source.ending or source.path.suffix.lower())
    if kind is None or (source.unpacked and kind == "table"):
        raise SourceError(
            f"{source.path}: its name does not say what it is; it has to end in one of {', '.join(_KINDS)}, "
            "and after them, but for .parquet, may be .gz or .zst; or in .tar.gz"
        )
    return kind


@contextmanager
def _reading(path: Location) -> Iterator[None]:
    """Let what is wrong with an input be a SourceError: it is nothing that we made."""
    try:
        yield
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from None
    except pa.ArrowException as error:
        raise SourceError(f"cannot read {path}: {error}") from None
