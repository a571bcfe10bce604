"""Hands the portions of a merge's inputs to processes and gathers what they found. Parsing itself is portions.py's."""

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from dataset_assets.errors import SourceError
from dataset_assets.progress import Progress
from dataset_assets.storage.location import Location
from dataset_assets.trainer.inputs.portions import Parsed, Portion, parse_portion
from dataset_assets.trainer.inputs.rows import Input, Role
from dataset_assets.trainer.inputs.spill import Spill

_MOST_JOINED = 1 << 26  # bytes that are read as one where the cuts between them turn out to be none
_AHEAD = 8  # portions that have been handed out and not taken back


@dataclass(slots=True, kw_only=True)
class Reading:
    """What all inputs say, as spills, and what is wrong with them."""

    spills: dict[Input, list[Spill]] = field(default_factory=dict)
    rows: Counter[Location] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def find(self, role: Role) -> list[Spill]:
        """Return the spills that have a role's columns, those of the later inputs last."""
        return [spill for source, spills in self.spills.items() if role in source.roles for spill in spills]

    @property
    def bytes(self) -> int:
        """How much all spills hold."""
        return sum(spill.bytes for spills in self.spills.values() for spill in spills)


def read_inputs(portions: Iterable[Portion], pool: Executor, progress: Progress, listed: BinaryIO) -> Reading:
    """Return what all portions say, and write a line of JSON to `listed` for each entry that cannot be used.

    Raises SourceError where a file cannot be read or is not what its name says.
    """
    reading = Reading()
    lines: Counter[Input] = Counter()  # before the portion
    progress.start("reading", None, "entries")
    for portion, parsed in _parse_all(portions, pool):
        reading.spills.setdefault(portion.source, []).extend(parsed.spills)
        reading.rows[portion.source.path] += parsed.rows
        reading.faults += parsed.faults
        for fault in parsed.listed:
            place = {"line": fault["line"] + lines[portion.source]} if "line" in fault else {}
            listed.write(f"{json.dumps(fault | place)}\n".encode())
        lines[portion.source] += parsed.lines
        progress.advance(parsed.rows)
    progress.finish()
    return reading


def _parse_all(portions: Iterable[Portion], pool: Executor) -> Iterator[tuple[Portion, Parsed]]:
    """Yield every portion with what became of it, in order.

    A portion that is not whole entries is read together with the one after it: the cut between them was none.
    """
    left = deque(portions)
    given: deque[tuple[Portion, Future[Parsed]]] = deque()
    while left or given:
        while left and len(given) < _AHEAD:
            given.append((left[0], pool.submit(parse_portion, left[0])))
            left.popleft()
        portion, future = given.popleft()
        parsed = future.result()
        if not parsed.broken:
            yield portion, parsed
            continue
        after = given.popleft()[0] if given else None
        if after is None or after.source != portion.source or after.stop - portion.start > _MOST_JOINED:
            place = f"between bytes {portion.start:,} and {portion.stop:,}"
            raise SourceError(f"{portion.source.path} is damaged {place}: {parsed.broken}")
        joined = replace(portion, stop=after.stop)
        given.appendleft((joined, pool.submit(parse_portion, joined)))
