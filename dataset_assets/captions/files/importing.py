"""Captions out of a file into the catalog: restored to the caption source they came from, or new ones with provenance.

The file is read to its end before anything is written (incoming.py). What a row must hold is said by rows.py.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection

from dataset_assets.captions.files.edits import find_partitions, mark_edited
from dataset_assets.captions.files.incoming import Problem, Reading, Staged, Staging
from dataset_assets.captions.files.rows import Fault
from dataset_assets.captions.sources import identify_chat
from dataset_assets.catalog.captions import (
    CaptionStatus,
    SourceIdentity,
    list_sources,
    put_captions,
    register_source,
)
from dataset_assets.catalog.exchange import antedate_source, find_captions
from dataset_assets.dataset import Dataset
from dataset_assets.errors import SettingsError, StorageError
from dataset_assets.progress import Progress, Silence
from dataset_assets.settings import CaptionSettings

# What a model, or a person, said; attempts and usage are not part of it: they go on counting while it stays.
_SAID = ("status", "text", "detail", "input_version", "created_at", "finish_reason", "provider")
_DEFAULTS: Mapping[str, Any] = {
    "detail": "",
    "attempts": 1,
    "finish_reason": "",
    "provider": "",
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "cost": 0.0,
    "latency": 0.0,
}

Verdict = Literal["imported", "unchanged", "kept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of the rows of a file: `rows` is the sum of the four counts and of all faults."""

    rows: int
    imported: int
    unchanged: int  # what the catalog had is the same
    kept: int  # what the catalog has is newer, or ok where the row is not
    replaced_by_later: int  # a later row of the file is of the same image and caption source
    faults: Mapping[Fault, int]
    examples: tuple[Problem, ...]  # the first twenty
    by_variant: Mapping[str, int]  # imported captions, also of variants that are no longer configured
    partitions: int  # (variant, partition) pairs that are stale now


def import_captions(
    dataset: Dataset,
    path: Path,
    *,
    variant: str | None = None,
    model: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Return what became of a file's rows, after writing their captions into the catalog; `dry_run` writes nothing.

    `variant` and `model` are those of rows that name none. A row with the whole identity of a caption source goes back
    into that source, which is made, as old as it was, where it is not there: what was paid for is not asked for again.
    The image's version it was made from is the row's, or else the image as it is now. Against what the catalog has
    already, the newer one wins, and an ok of the same image over anything else. Partitions whose captions change are
    stale afterwards.

    Costs stay with their captions and never enter the account of a variant: its budget is for what this catalog's own
    runs spend, and a file cannot show who paid for it, or that an import before this one has not been counted.

    Raises SettingsError for a `variant` that is not configured and for another format, SourceError for a file that
    cannot be read or has no columns image_id and text; then nothing is changed.
    """
    configured = _name_variants(dataset.settings.captions)
    if variant is not None and variant not in configured:
        allowed = ", ".join(configured) or "(no variant is configured)"
        raise SettingsError(f'variant "{variant}" given; allowed: {allowed}')
    progress = progress or Silence()
    try:
        with closing(Staging()) as staging:
            reading = Reading(dataset=dataset, staging=staging, path=path, variant=variant, model=model)
            reading.run(progress)
            writing = _Writing(dataset=dataset, wanted=reading.sources, dry_run=dry_run)
            writing.run(staging, progress)
            later = reading.rows - reading.faults.total() - len(staging)
    except sqlite3.Error as error:
        raise StorageError(f"cannot keep the rows of {path} in a temporary file: {error}") from error
    return ImportReport(
        rows=reading.rows,
        imported=writing.verdicts["imported"],
        unchanged=writing.verdicts["unchanged"],
        kept=writing.verdicts["kept"],
        replaced_by_later=later,
        faults=dict(reading.faults),
        examples=tuple(reading.examples),
        by_variant=dict(writing.by_variant),
        partitions=len(writing.partitions),
    )


def _name_variants(captions: CaptionSettings) -> list[str]:
    return [one.name for one in captions.variants]


@dataclass(slots=True, kw_only=True)
class _Writing:
    """The second half: what was staged into the catalog, a transaction a batch."""

    dataset: Dataset
    wanted: Mapping[SourceIdentity, int]  # the caption sources by number → created_at
    dry_run: bool
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    by_variant: Counter[str] = field(default_factory=Counter)
    partitions: set[tuple[str, str]] = field(default_factory=set)

    def run(self, staging: Staging, progress: Progress) -> None:
        """Write everything that is staged."""
        with self._transaction() as connection:
            sources = self._find_sources(connection)
        variants = [identity.variant for identity in self.wanted]
        progress.start("captions import", len(staging), "captions")
        for batch in staging.batches():
            with self._transaction() as connection:
                taken = self._judge(connection, batch, sources)
                if not self.dry_run:
                    put_captions(connection, (_make_row(image, sources[number], said) for image, number, said in taken))
                self._mark(connection, taken, variants)
            progress.advance(len(batch))
        progress.finish()

    def _transaction(self) -> AbstractContextManager[Connection]:
        return self.dataset.catalog.reading() if self.dry_run else self.dataset.catalog.writing()

    def _find_sources(self, connection: Connection) -> list[int]:
        """Return the row ids of the caption sources by number, after making those that are not there; 0 in a dry run.

        They are made in the order in which they came to be, those of one second in that of the settings, so that a
        catalog that is made anew numbers them as the one that was lost.
        """
        there = {one.identity: one.id for one in list_sources(connection)}
        if not self.dry_run:
            captions = self.dataset.settings.captions
            texts = {identify_chat(one): (one.system_prompt, one.user_prompt) for one in captions.chats}
            turns = {name: turn for turn, name in enumerate(_name_variants(captions))}

            def turn(pair: tuple[SourceIdentity, int]) -> tuple[float, int]:
                identity, created_at = pair
                return created_at or inf, turns.get(identity.variant, len(turns))

            for identity, created_at in sorted(self.wanted.items(), key=turn):
                prompts = texts.get(identity, ("", ""))
                source = register_source(connection, identity, prompts=prompts, created_at=created_at)
                if created_at:
                    antedate_source(connection, source, created_at)
                there[identity] = source.id
        return [there.get(identity, 0) for identity in self.wanted]

    def _judge(self, connection: Connection, batch: Sequence[Staged], sources: Sequence[int]) -> list[Staged]:
        """Return the rows that are to be written, and count all."""
        known = find_captions(connection, {image for image, _, _ in batch})
        taken = []
        for image, number, said in batch:
            verdict = _compare(said, known.get((image, sources[number])))
            self.verdicts[verdict] += 1
            if verdict == "imported":
                taken.append((image, number, said))
        return taken

    def _mark(self, connection: Connection, taken: Sequence[Staged], variants: Sequence[str]) -> None:
        """Make the partitions stale whose captions change."""
        images: dict[str, set[int]] = {}
        for image, number, _ in taken:
            images.setdefault(variants[number], set()).add(image)
            self.by_variant[variants[number]] += 1
        settings = self.dataset.settings
        for variant, rows in images.items():
            keys = (
                find_partitions(connection, settings, rows)
                if self.dry_run
                else mark_edited(connection, settings, variant, rows)
            )
            self.partitions.update((variant, key) for key in keys)


def _compare(said: Mapping[str, Any], known: Mapping[str, Any] | None) -> Verdict:
    """Return what becomes of a row, given what the catalog has of its image and caption source."""
    if known is None:
        return "imported"
    if all(known[name] == said[name] for name in _SAID if name in said):
        return "unchanged"
    ok = CaptionStatus.OK.value
    if known["status"] == ok and said["status"] != ok:
        return "kept"
    same_image = (
        "" in (said["input_version"], known["input_version"]) or said["input_version"] == known["input_version"]
    )
    if said["status"] == ok and known["status"] != ok and same_image:
        return "imported"  # it would have to be paid for again
    return "kept" if said.get("created_at", inf) < known["created_at"] else "imported"


def _make_row(image: int, source: int, said: Mapping[str, Any]) -> dict[str, Any]:
    return {**_DEFAULTS, "created_at": time.time(), **said, "image": image, "caption_source": source}
