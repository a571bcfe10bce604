"""The stage that chooses one caption for every id of a range of tars: the waterfall over what its records have.

Of several records of one id the last one counts. What a record has is parse.py's; tars are trainer/'s.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.dataset import Dataset
from dataset_assets.errors import SettingsError
from dataset_assets.freshness import fingerprint
from dataset_assets.posts.batch import TEXT
from dataset_assets.posts.faults import LISTED, Faults, RowFault
from dataset_assets.posts.form import (
    COMPRESSION,
    caption_schema,
    digest_rows,
    kept_texts,
    kind_columns,
    new_digest,
    status_column,
    text_column,
)
from dataset_assets.posts.gather import ParsedFile, cut_blocks, list_parsed, read_block
from dataset_assets.posts.texts import TextStatus
from dataset_assets.progress import Progress, Silence
from dataset_assets.settings import RecordSettings
from dataset_assets.stages import Stage
from dataset_assets.storage.parquet import writing_table
from dataset_assets.work import Outcome, Work, begin, holding_lock

EMPTY = "empty"  # where a caption comes from that has no text
_THREADS = 2  # that read and choose; what is theirs is in memory twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What was chosen for the ids of some tars."""

    table: pa.Table  # caption_schema
    tars: dict[str, dict[str, str]]  # kind of texts → number → digest of what goes into the tar of this number
    by_source: Counter[str]
    repeated: list[tuple[str, int, int]]  # file, line and id of each record that a later one stands for


@holding_lock("key")
def choose_captions(dataset: Dataset, key: str, *, force: bool = False, progress: Progress | None = None) -> Outcome:
    """Return what became of the captions of one range of tars, after choosing them if they are not fresh.

    Raises OrderError when the records are not read as they are now.
    """
    settings = _find_settings(dataset, key)
    work = begin(dataset, Stage.RECORD_CAPTIONS, key, force=force)
    if isinstance(work, Outcome):
        return work
    work.require_fresh()
    made_from = fingerprint(work.inputs, kept_texts(settings))
    if not work.keep(0, made_from):
        _make(work, settings, made_from, progress or Silence())
    (piece,) = work.pieces
    facts = piece.facts
    report = {name: facts[name] for name in ("records", "by_source", "faults")} | {"bytes": piece.bytes}
    return work.finish(output=piece.output, report=report)


def _find_settings(dataset: Dataset, key: str) -> RecordSettings:
    settings = dataset.settings.records
    if settings is None or key not in settings.ranges:
        raise SettingsError(f"[records]: there is no range of tars {key}")
    return settings


def _make(work: Work, settings: RecordSettings, made_from: str, progress: Progress) -> None:
    """Write the captions of a range, and the list of its repeated ids."""
    dataset, path = work.dataset, work.dataset.layout.record_captions(work.partition)
    work.replace()
    tars: dict[str, dict[str, str]] = {kind: {} for kind in kind_columns(settings)}
    sources: Counter[str] = Counter()
    records = 0
    progress.start(Stage.RECORD_CAPTIONS, None, "captions")
    with (
        Faults("", path.with_suffix(LISTED)) as faults,
        writing_table(
            path, caption_schema(settings), compression=COMPRESSION, ranged=["tar"], repeating=["variant", "file"]
        ) as writer,
    ):
        for chosen in _choose_all(dataset, settings, work):
            for start, stop in _cut_tars(chosen.table):
                writer.write_table(chosen.table.slice(start, stop - start), row_group_size=stop - start)
            for name, line, number in chosen.repeated:
                faults.add(RowFault.REPEATED_ID, line, str(number), name=name)
            for kind, digests in chosen.tars.items():
                tars[kind] |= digests
            sources += chosen.by_source
            records += len(chosen.table)
            progress.advance(len(chosen.table))
    progress.finish()
    facts = {"tars": tars, "records": records, "by_source": dict(sources), "faults": dict(faults.counts)}
    work.put(path, made_from=made_from, output=fingerprint(facts), facts=facts)


def _choose_all(dataset: Dataset, settings: RecordSettings, work: Work) -> Iterator[Chosen]:
    """Yield what is chosen for the range, some tars at a time and in order; a few are made ahead."""
    files = list_parsed(work)
    threads = min(_THREADS, dataset.settings.workers)
    with ThreadPoolExecutor(threads) as executor:
        ahead: deque[Future[Chosen | None]] = deque()

        def take() -> Iterator[Chosen]:
            if chosen := ahead.popleft().result():
                yield chosen

        try:
            for tars in cut_blocks(files, settings.ranges[work.partition], settings.modulus):
                if len(ahead) == threads:
                    yield from take()
                ahead.append(executor.submit(_choose, dataset, settings, files, tars))
            while ahead:
                yield from take()
        finally:
            for future in ahead:
                future.cancel()


def _choose(dataset: Dataset, settings: RecordSettings, files: Sequence[ParsedFile], tars: range) -> Chosen | None:
    """Return what is chosen for the ids of some tars; None where there are none."""
    block = read_block(dataset, files, tars)
    if block is None:
        return None
    parsed, origins = block
    ids, lines = parsed["id"].to_numpy(), parsed["line"].to_numpy()
    order = np.lexsort((ids, parsed["tar"].to_numpy()))  # which keeps the order of the records of one id
    last = np.append(ids[order][1:] != ids[order][:-1], True)
    rows, lost = order[last], np.sort(order[~last])
    selectors = [variant.name for variant in settings.selectors]
    selected, status = _select(parsed, rows, selectors, settings.mode)
    columns = [
        *(parsed[name].take(pa.array(rows)) for name in ("id", "tar")),
        _pick(parsed, rows, selected, selectors),
        pa.array(np.array([*selectors, ""], object)[selected], pa.string()),
        pa.array(status),
        pa.array(np.array([file.name for file in files], object)[origins[rows]], pa.string()),
        pa.array(lines[rows]),
        *(parsed[text_column(name)].take(pa.array(rows)) for name in kept_texts(settings)),
    ]
    table = pa.Table.from_arrays(columns, schema=caption_schema(settings)).combine_chunks()
    return Chosen(
        table=table,
        tars=_digest_tars(table, kind_columns(settings)),
        by_source=_count_sources(selected, status, selectors),
        repeated=[(files[origins[row]].name, int(lines[row]), int(ids[row])) for row in lost],
    )


def _select(
    parsed: pa.Table, rows: npt.NDArray[np.int64], selectors: Sequence[str], mode: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    """Return the selector of each row, one more than there are where none has it, and the status of its variant.

    In `faithful` the first whose condition is met has it, with a text or without.
    """
    least = TextStatus.EMPTY if mode == "faithful" else TextStatus.PARTIAL
    selected = np.full(len(rows), len(selectors))
    status = np.full(len(rows), TextStatus.ABSENT, np.int8)
    for place, name in reversed(list(enumerate(selectors))):
        statuses = parsed[status_column(name)].to_numpy()[rows]
        usable = statuses >= least
        selected[usable], status[usable] = place, statuses[usable]
    return selected, status


def _pick(
    parsed: pa.Table, rows: npt.NDArray[np.int64], selected: npt.NDArray[np.int64], selectors: Sequence[str]
) -> pa.ChunkedArray:
    """Return the text of each row's selector; no text that is not chosen is copied."""
    texts = [
        parsed[text_column(name)].take(pa.array(rows, mask=selected != place)) for place, name in enumerate(selectors)
    ]
    return pc.coalesce(*texts, pa.scalar("", TEXT))


def _cut_tars(table: pa.Table) -> Iterator[tuple[int, int]]:
    """Yield the first row and the one after the last of each tar."""
    tars = table["tar"].to_numpy()
    edges = np.flatnonzero(np.diff(tars, prepend=-1, append=-1)).tolist()
    yield from pairwise(edges)


def _digest_tars(table: pa.Table, kinds: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return, by kind, the digest of the ids and texts of each tar by its number; JSON's keys are text."""
    tars = table["tar"].to_numpy()
    digests: dict[str, dict[str, str]] = {kind: {} for kind in kinds}
    for kind, name in kinds.items():
        columns = [table["id"].chunk(0), table[name].chunk(0)]
        for start, stop in _cut_tars(table):
            digest = new_digest()
            digest_rows(columns, start, stop, digest)
            digests[kind][str(tars[start])] = digest.hexdigest()
    return digests


def _count_sources(
    selected: npt.NDArray[np.int64], status: npt.NDArray[np.int8], selectors: Sequence[str]
) -> Counter[str]:
    """Return how many captions come from where: a variant, a part of it, or nothing has text."""
    counts: Counter[str] = Counter()
    for place, name in enumerate([*selectors, ""]):
        statuses = np.bincount(status[selected == place], minlength=len(TextStatus)).tolist()
        counts[name] += statuses[TextStatus.WHOLE]
        counts[f"{name}:partial"] += statuses[TextStatus.PARTIAL]
        counts[EMPTY] += statuses[TextStatus.EMPTY] + statuses[TextStatus.ABSENT]
    return +counts
