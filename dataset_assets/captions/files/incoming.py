"""A file of captions on its way into the catalog: its rows checked, matched to images, and kept until all are read.

Nothing is written into the catalog here; importing.py does that.
"""

import json
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dataset_assets.captions.files.formats import Read, read_rows
from dataset_assets.captions.files.rows import REQUIRED, Fault, Refusal, Row, parse_row, show
from dataset_assets.catalog.captions import SourceIdentity
from dataset_assets.catalog.database import BATCH
from dataset_assets.catalog.exchange import FoundImage, find_images
from dataset_assets.dataset import Dataset
from dataset_assets.errors import SourceError
from dataset_assets.progress import Progress

_EXAMPLES = 20
_MOST_SOURCES = 1_000  # in one file: more are rows that hold something of their own in `parameters`

Staged = tuple[int, int, dict[str, Any]]  # row id of the image, number of the caption source, what is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A row that was not imported."""

    row: int  # from 1; of JSON Lines the line
    fault: Fault
    detail: str


class Staging:
    """Rows that can be imported, on disk: the last of each image and caption source. SQLite removes the file itself."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("")  # a file without a name, gone with the process
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("CREATE TABLE rows (image INTEGER, source INTEGER, said TEXT, UNIQUE (image, source))")

    def put(self, rows: Iterable[Staged]) -> None:
        """Keep rows, each in place of the one before of the same image and source."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)",
            ((image, source, json.dumps(said, ensure_ascii=False)) for image, source, said in rows),
        )

    def __len__(self) -> int:
        (count,) = self._connection.execute("SELECT count(*) FROM rows").fetchone()
        return int(count)

    def batches(self) -> Iterator[list[Staged]]:
        """Yield the rows, BATCH at a time."""
        found = self._connection.execute("SELECT image, source, said FROM rows ORDER BY rowid")
        while rows := found.fetchmany(BATCH):
            yield [(image, source, json.loads(said)) for image, source, said in rows]

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()


@dataclass(slots=True, kw_only=True)
class Reading:
    """The first half: the file's rows into the staging, counted where they cannot be imported."""

    dataset: Dataset
    staging: Staging
    path: Path
    variant: str | None
    model: str | None
    rows: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    examples: list[Problem] = field(default_factory=list)
    sources: dict[SourceIdentity, int] = field(default_factory=dict)  # in their order → created_at, 0 where not known
    _numbers: dict[SourceIdentity, int] = field(default_factory=dict)

    def run(self, progress: Progress) -> None:
        """Read the whole file."""
        progress.start("captions read", None, "rows")
        rows = read_rows(self.path, REQUIRED)
        while batch := list(islice(rows, BATCH)):
            self.staging.put(self._match(self._parse(batch)))
            self.rows += len(batch)
            progress.advance(len(batch))
        progress.finish()

    def _parse(self, batch: Sequence[Read]) -> list[tuple[int, Row]]:
        configured = [one.name for one in self.dataset.settings.captions.variants]
        parsed = []
        for number, values in batch:
            if isinstance(values, str):
                self._refuse(number, (Fault.INVALID_JSON, values))
                continue
            row = parse_row(values, variant=self.variant, model=self.model, configured=configured)
            if isinstance(row, Row):
                parsed.append((number, row))
            else:
                self._refuse(number, row)
        return parsed

    def _match(self, parsed: Sequence[tuple[int, Row]]) -> Iterator[Staged]:
        """Yield the rows whose image is known, with it."""
        named = {row.image_id for _, row in parsed}
        with self.dataset.catalog.reading() as connection:
            found = find_images(connection, named | {_compose(image_id) for image_id in named})
        for number, row in parsed:
            image = _choose(found.get(row.image_id) or found.get(_compose(row.image_id)) or (), row.source)
            if image is None:
                where = f" in source {show(row.source)}" if row.source else ""
                self._refuse(number, (Fault.UNKNOWN_IMAGE, f"there is no image {show(row.image_id)}{where}"))
                continue
            yield image.id, self._number(row), {"input_version": image.checksum, **row.said}

    def _number(self, row: Row) -> int:
        """Return the number of a row's caption source in the file."""
        number = self._numbers.setdefault(row.identity, len(self._numbers))
        if number >= _MOST_SOURCES:
            raise SourceError(
                f"{self.path} has captions of more than {_MOST_SOURCES:,} sources: rows that were made in one way have "
                "the same backend, model, prompts and parameters"
            )
        times = {row.source_created_at, self.sources.get(row.identity, 0)} - {0}
        self.sources[row.identity] = min(times, default=0)
        return number

    def _refuse(self, number: int, refusal: Refusal) -> None:
        fault, detail = refusal
        self.faults[fault] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(Problem(row=number, fault=fault, detail=detail))


def _compose(image_id: str) -> str:
    """Return an id as a folder's files have it, in NFC: a file made elsewhere may have it in another form."""
    return image_id if image_id.isascii() else unicodedata.normalize("NFC", image_id)


def _choose(found: Sequence[FoundImage], source: str) -> FoundImage | None:
    return next((image for image in found if source in ("", image.source)), None)
