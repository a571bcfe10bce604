"""Brings the index of images up to date with the sources: lists everything, opens only what is new or changed."""

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection

from dataset_assets.catalog.database import BATCH
from dataset_assets.catalog.images import count_images, insert_images, known_images, update_images
from dataset_assets.catalog.state import StageState, States, load_states, put_state, void_state
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DropReason, SourceError
from dataset_assets.freshness import fingerprint, judge_inputs, list_inputs
from dataset_assets.progress import Progress, Silence
from dataset_assets.records import Header
from dataset_assets.sources.base import Listed
from dataset_assets.sources.checksums import read_checksums
from dataset_assets.sources.compare import Look, compare, find_removed, hold_back, make_frame
from dataset_assets.sources.headers import Found, read_headers
from dataset_assets.stages import Stage
from dataset_assets.work import Outcome, holding_lock

_AHEAD_SECONDS = 60  # that clocks differ: a file of the far future does not change any more
_NAMED = 50  # extensions of files that are no images
_OTHERS = "(others)"

_LISTED = ["id", "source", "uri", "image_id", "size", "version", "revision", "checksum", "sidecars"]


@holding_lock()
def scan_sources(
    dataset: Dataset,
    *,
    checksum: bool = False,
    force: bool = False,
    allow_empty: bool = False,
    settle_seconds: float = 0,
    progress: Progress | None = None,
) -> Outcome:
    """Return what the sources hold now, after bringing the index up to date with it.

    `checksum` reads every file and compares content, not only size and time; `force` opens every file's header again;
    what changed in the last `settle_seconds` is left for the next scan. Raises SourceError when a source cannot be
    listed, and unless `allow_empty` when one that had images has none: then nothing is changed.
    """
    progress = progress or Silence()
    ignored: Counter[str] = Counter()
    listing, digest = _list(dataset, ignored, progress)
    listed, known, held = _look(dataset, listing, settle_seconds)
    if checksum:
        _fill_checksums(dataset, listed, progress)
    if not allow_empty:
        _refuse_empty(dataset, listed, known)
    with dataset.catalog.reading() as connection:
        states = load_states(connection, [""])
    fresh = judge_inputs(dataset.settings, states, Stage.RAW_IMAGES).fresh
    look_again: Look = "all" if force else "changed" if fresh else "unusable"
    changes = compare(listed, known, max_pixels=dataset.settings.images.max_pixels, look_again=look_again)
    removed = find_removed(listed, known)
    written = _write(dataset, changes, removed, progress)
    written["removed"] = len(removed)
    return _record(dataset, states, written, ignored, "" if held else digest)


def find_changes(dataset: Dataset, *, settle_seconds: float = 0) -> str:
    """Return a digest of what a scan would find changed in the listings, "" for nothing.

    Opens no image and changes no record; a new archive is listed, and its listing kept. Raises SourceError as
    `scan_sources` does.
    """
    listing, digest = _list(dataset, Counter(), Silence())
    with dataset.catalog.reading() as connection:
        before = load_states(connection, [""]).get((Stage.RAW_IMAGES, ""))
    if before is not None and not before.interrupted and before.report.get("listing") == digest:
        return ""  # without comparing row by row: the sensor asks often
    listed, known, _ = _look(dataset, listing, settle_seconds)
    _refuse_empty(dataset, listed, known)
    changes = compare(listed, known, max_pixels=dataset.settings.images.max_pixels, look_again="changed")
    differing = changes.loc[changes["differs"], ["source", "uri", "version", "sidecars"]].to_numpy().tolist()
    removed = find_removed(listed, known)
    return fingerprint(differing, removed) if differing or removed else ""


def _list(dataset: Dataset, ignored: Counter[str], progress: Progress) -> tuple[list[tuple[str, Listed]], str]:
    """Return what the sources offer, each with the name of its source, and a digest of it all."""
    listing: list[tuple[str, Listed]] = []
    digest = sha256()
    progress.start("listing files", None, "files")
    for name, source in dataset.sources.items():
        for one in source.list_images(ignored):
            listing.append((name, one))
            digest.update(f"{name}\0{one.uri}\0{one.version}\0{one.sidecars}\0{one.fault}\n".encode())
            progress.advance(1)
    progress.finish()
    return listing, digest.hexdigest()


def _look(
    dataset: Dataset, listing: list[tuple[str, Listed]], settle_seconds: float
) -> tuple[pd.DataFrame, pd.DataFrame, bool]:
    """Return what is listed, less what is not settled, what the index knows, and whether anything was held back."""
    now = time.time()
    listed = make_frame(listing)
    with dataset.catalog.reading() as connection:
        known = known_images(connection).to_pandas()
    if not settle_seconds:
        return listed, known, False

    def find_file(source: str, uri: str) -> str:
        return dataset.sources[source].find_file(uri) if source in dataset.sources else uri

    settled = hold_back(listed, known, find_file, since=now - settle_seconds, until=now + _AHEAD_SECONDS)
    return settled, known, settled is not listed


def _record(dataset: Dataset, states: States, written: Counter[str], ignored: Counter[str], listing: str) -> Outcome:
    """Record the scan; `written` counts what was added, updated and removed, `listing` is "" for one held back."""
    before = states.get((Stage.RAW_IMAGES, ""))
    unchanged = before is not None and not before.interrupted and not written.total()
    inputs = list_inputs(dataset.settings, states, Stage.RAW_IMAGES)
    with dataset.catalog.writing() as connection:
        counts = count_images(connection)
        state = StageState(
            stage=Stage.RAW_IMAGES,
            fingerprint=fingerprint(inputs),
            # A token, not a digest: it says that the index is another one, at no cost for the rows that are the same.
            output=before.output if before and unchanged else uuid.uuid4().hex,
            report={
                "inputs": inputs,
                "seen": sum(counts.values()),
                "usable": counts.get("", 0),
                "drops": {reason: count for reason, count in counts.items() if reason},
                **{name: written[name] for name in ("added", "updated", "removed")},
                "ignored": _summarize(ignored),
                "listing": listing,
            },
        )
        put_state(connection, state)
    return Outcome(state, reused=not written.total())


def _refuse_empty(dataset: Dataset, listed: pd.DataFrame, known: pd.DataFrame) -> None:
    """Raise SourceError where all images of a source are gone at once: its disk is not mounted, more likely."""
    had = known.loc[~known["removed"], "source"].value_counts()
    for name in dataset.sources:
        if had.get(name, 0) and not (listed["source"] == name).any():
            raise SourceError(
                f"source {name} had {had[name]:,} images and has none now: is its disk mounted? If they are meant to "
                "be gone: dataset-assets build --allow-empty"
            )


def _fill_checksums(dataset: Dataset, listed: pd.DataFrame, progress: Progress) -> None:
    usable = listed[listed["reason"] == ""]
    files = zip(usable["source"], usable["uri"], usable["version"], strict=True)
    listed.loc[usable.index, "checksum"] = list(read_checksums(dataset, files, len(usable), progress))


def _write(dataset: Dataset, changes: pd.DataFrame, removed: list[int], progress: Progress) -> Counter[str]:
    """Write what differs and return how much that was; batch by batch: a scan that is killed goes on where it was."""
    written: Counter[str] = Counter()
    if removed:
        with dataset.catalog.writing() as connection:
            void_state(connection, Stage.RAW_IMAGES)  # until the index is whole again
            update_images(connection, [{"id": row, "removed": True} for row in removed])
    looks = changes[changes["look"]]
    progress.start("reading headers", len(looks), "images")
    files = zip(*(pa.array(looks[name]).to_pylist() for name in ("source", "uri", "version")), strict=True)
    headers = read_headers(dataset.settings.workers, dataset.settings.images, dataset.sources, files)
    for start in range(0, len(changes), BATCH):
        batch = pa.Table.from_pandas(changes.iloc[start : start + BATCH], preserve_index=False).to_pylist()
        facts = [_facts_of(row["look"], row["reason"], row["detail"], headers) for row in batch]
        rows = list(_make_rows(batch, facts))
        if rows:
            with dataset.catalog.writing() as connection:
                void_state(connection, Stage.RAW_IMAGES)
                _put(connection, rows)
        written.update("updated" if row["id"] else "added" for row in rows)
        progress.advance(sum(row["look"] for row in batch))
    progress.finish()
    return written


def _facts_of(look: bool, reason: str, detail: str, headers: Iterator[Found]) -> dict[str, Any]:
    """Return what is known of the file itself now, {} where nothing of that has changed."""
    if look:
        return _facts(next(headers))
    return _facts((DropReason(reason), detail)) if reason else {}


def _make_rows(batch: Iterable[dict[str, Any]], facts: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows to write; one that was only looked at again and found the same is not among them."""
    for row, known in zip(batch, facts, strict=True):
        if row["differs"] or any(row[f"old_{name}"] != known[name] for name in ("width", "height", "reason")):
            yield {**{name: row[name] for name in _LISTED}, **known, "removed": False}


def _put(connection: Connection, rows: list[dict[str, Any]]) -> None:
    there = [row for row in rows if row["id"]]
    insert_images(connection, [{name: row[name] for name in row if name != "id"} for row in rows if not row["id"]])
    update_images(connection, [row for row in there if "width" in row])
    update_images(connection, [row for row in there if "width" not in row])


def _facts(found: Found) -> dict[str, Any]:
    """Return the index's columns for a header, or for why there is none."""
    if isinstance(found, Header):
        return {
            "width": found.width,
            "height": found.height,
            "orientation": found.orientation,
            "format": found.format,
            "reason": "",
            "detail": "",
        }
    reason, detail = found
    return {"width": 0, "height": 0, "orientation": 0, "format": "", "reason": reason.value, "detail": detail}


def _summarize(ignored: Counter[str]) -> dict[str, int]:
    """Return the most frequent extensions and their counts, and all others as one: some trees have a million."""
    said = dict(ignored.most_common(_NAMED))
    rest = ignored.total() - sum(said.values())
    return said | {_OTHERS: rest} if rest else said
