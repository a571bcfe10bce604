"""The stage that reads the files of records: each that is new or changed becomes a Parquet file of its texts.

A file is a piece, so a build that was killed goes on with the next file. What is chosen of the texts is choose.py's.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from dataset_assets.catalog.state import Piece, drop_piece, drop_state, load_pieces, load_states, void_state
from dataset_assets.dataset import Dataset
from dataset_assets.errors import IncompleteError
from dataset_assets.freshness import fingerprint, fingerprint_settings
from dataset_assets.posts.empty import refuse_empty
from dataset_assets.posts.faults import LISTED, RowFault, read_list
from dataset_assets.posts.files import RecordFile, list_files
from dataset_assets.posts.form import new_digest
from dataset_assets.posts.parse import Parsed, ParseTask
from dataset_assets.posts.workers import parse_here, parse_side_by_side
from dataset_assets.progress import Progress, Silence
from dataset_assets.stages import Stage
from dataset_assets.storage.atomic import remove
from dataset_assets.work import Outcome, Work, begin, holding_lock

_WORTH_PROCESSES = 16 << 20  # bytes of files: reading them takes as long as starting a process


@holding_lock()
def index_records(
    dataset: Dataset, *, force: bool = False, allow_empty: bool = False, progress: Progress | None = None
) -> Outcome:
    """Return what became of the files of records, after reading those that are not read yet as they are now.

    Raises SourceError when a path of the settings matches no file, when a file took its process with it, and unless
    `allow_empty` when there is no record although there were some, or rows without one: what was made of the records
    that there were stays as it is then.
    """
    files = list_files(dataset.settings)
    before = _void_if_changed(dataset, files)
    work = begin(dataset, Stage.CAPTION_RECORDS, force=force)
    if isinstance(work, Outcome):
        return work
    progress = progress or Silence()
    tasks = _list_tasks(work, files)
    progress.start(Stage.CAPTION_RECORDS, None, "rows")
    for done, (task, parsed) in enumerate(_parse(tasks, dataset.settings.workers), start=1):
        _put(work, task, parsed)
        progress.advance(parsed.rows)
        progress.note(f"{done:,} of {len(tasks):,} files")
    progress.finish()
    if not allow_empty:
        pieces = {piece.number: piece for piece in work.pieces}
        refuse_empty(dataset.layout.root, [pieces[file.number] for file in files], before)
    return _finish(work, files)


def find_changes(dataset: Dataset) -> str:
    """Return a digest of the files of records where they are not as they were read, "" where they are.

    Opens no file and changes nothing. Raises SourceError as `index_records` does.
    """
    listing = _digest_listing(list_files(dataset.settings))
    with dataset.catalog.reading() as connection:
        before = load_states(connection, [""]).get((Stage.CAPTION_RECORDS, ""))
    return "" if before and not before.interrupted and before.report["listing"] == listing else listing


def list_faults(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield what is wrong with the rows that were read: file, line, fault and detail, file by file.

    Then come, range by range, those that a later one of the same id stands for. Raises StorageError.
    """
    with dataset.catalog.reading() as connection:
        pieces = {piece.number: piece for piece in load_pieces(connection, Stage.CAPTION_RECORDS, "")}
        state = load_states(connection, [""]).get((Stage.CAPTION_RECORDS, ""))
    for number in state.report["order"] if state else ():
        if number in pieces:
            yield from read_list((dataset.layout.root / pieces[number].path).with_suffix(LISTED))
    for key in dataset.settings.records.ranges if dataset.settings.records else ():
        yield from read_list(dataset.layout.record_captions(key).with_suffix(LISTED))


def _digest_listing(files: Sequence[RecordFile]) -> str:
    return fingerprint([[file.name, file.size, file.stamp] for file in files])


def _void_if_changed(dataset: Dataset, files: Sequence[RecordFile]) -> int | None:
    """Say that the stage is to be made again where the files are others than those it was made of.

    Returns how many records there were, None where they were never read.
    """
    with dataset.catalog.writing() as connection:
        before = load_states(connection, [""]).get((Stage.CAPTION_RECORDS, ""))
        if before and before.report["listing"] != _digest_listing(files):
            void_state(connection, Stage.CAPTION_RECORDS)
    return before.report["records"] if before else None


def _list_tasks(work: Work, files: Sequence[RecordFile]) -> list[ParseTask]:
    """Return the files that are to be read, the largest first: the last ones to be done are small."""
    records = work.dataset.settings.records
    assert records is not None
    folder, tasks = work.dataset.layout.parsed, []
    listed = {path.name for path in folder.glob(f"*{LISTED}")}
    for file in files:
        parsed = folder / f"{file.stem}.parquet"
        task = ParseTask(
            number=file.number,
            name=file.name,
            path=file.path,
            size=file.size,
            stamp=file.stamp,
            parsed=parsed,
            faults=parsed.with_suffix(LISTED),
            settings=records,
        )
        if not _keep(work, task, listed=task.faults.name in listed):
            work.replace(task.number)
            tasks.append(task)
    return sorted(tasks, key=lambda task: -task.size)


def _keep(work: Work, task: ParseTask, *, listed: bool) -> bool:
    """Return whether a file is read already, and its faults `listed` if it has any; it counts as made then."""
    kept = work.keep(task.number, _made_from(work, task))
    return bool(kept and not kept.facts["retry"] and bool(kept.facts["faults"]) == listed)


def _made_from(work: Work, task: ParseTask) -> str:
    return fingerprint(fingerprint_settings(work.dataset.settings, work.stage), task.name, task.size, task.stamp)


def _parse(tasks: Sequence[ParseTask], workers: int) -> Iterator[tuple[ParseTask, Parsed]]:
    if sum(task.size for task in tasks) < _WORTH_PROCESSES:
        return parse_here(tasks)
    return parse_side_by_side(tasks, min(workers, len(tasks)))


def _put(work: Work, task: ParseTask, parsed: Parsed) -> None:
    """Record a file that is read. Raises IncompleteError when its rows are not all accounted for."""
    dropped = sum(count for fault, count in parsed.faults.items() if RowFault(fault).dropped)
    if parsed.rows != parsed.records + dropped:
        raise IncompleteError(
            f"{task.name}: {parsed.rows} rows, of which {parsed.records} are records and {dropped} not"
        )
    work.put(
        task.parsed,
        made_from=_made_from(work, task),
        output=fingerprint(parsed.ranges),
        number=task.number,
        facts={
            "file": task.name,
            "size": max(task.size, 0),
            "rows": parsed.rows,
            "records": parsed.records,
            "faults": parsed.faults,
            "ranges": parsed.ranges,
            "groups": parsed.groups,
            "retry": parsed.retry,
        },
    )


def _finish(work: Work, files: Sequence[RecordFile]) -> Outcome:
    """Record the stage as made, and remove what is of files and ranges that are no longer records'."""
    _forget_ranges(work)
    pieces = {piece.number: piece for piece in work.pieces}
    ordered = [pieces[file.number] for file in files]
    digests = _digest_ranges(ordered)
    facts = [piece.facts for piece in ordered]
    faults = sum((Counter(fact["faults"]) for fact in facts), Counter[str]())
    outcome = work.finish(
        output=fingerprint(digests),
        report={
            "files": len(files),
            "rows": sum(fact["rows"] for fact in facts),
            "records": sum(fact["records"] for fact in facts),
            "dropped": sum(count for fault, count in faults.items() if RowFault(fault).dropped),
            "faults": {fault.value: faults[fault.value] for fault in RowFault if faults[fault.value]},
            "bytes": sum(fact["size"] for fact in facts),
            "retry": sum(1 for fact in facts if fact["retry"]),
            "digests": digests,
            "order": [file.number for file in files],
            "listing": _digest_listing(files),
        },
    )
    made = {path.name for file in files for path in [work.dataset.layout.parsed / f"{file.stem}{LISTED}"]}
    for path in work.dataset.layout.parsed.glob(f"*{LISTED}"):
        if path.name not in made:
            remove(path)
    return outcome


def _forget_ranges(work: Work) -> None:
    """Remove the chosen captions of ranges that the settings no longer have; their tars are trainer/tars/stage.py's."""
    records, root = work.dataset.settings.records, work.dataset.layout.root
    ranges = records.ranges if records else {}
    with work.dataset.catalog.reading() as connection:
        states = [key for stage, key in load_states(connection) if stage == Stage.RECORD_CAPTIONS]
        pieces = load_pieces(connection, Stage.RECORD_CAPTIONS)
    gone = [piece for piece in pieces if piece.partition not in ranges]
    for piece in gone:
        remove((root / piece.path).with_suffix(LISTED))
        remove(root / piece.path)
    with work.dataset.catalog.writing() as connection:  # only now: killed before, the next run removes the rest
        for piece in gone:
            drop_piece(connection, piece.stage, piece.partition, piece.number)
        for key in states:
            if key not in ranges:
                drop_state(connection, Stage.RECORD_CAPTIONS, key)


def _digest_ranges(pieces: Sequence[Piece]) -> dict[str, str]:
    """Return the digest of what all files, in order, have for each range of tars that they have anything for."""
    digests: dict[str, Any] = {}
    for piece in pieces:
        for key, digest in piece.facts["ranges"].items():
            digests.setdefault(key, new_digest()).update(f"{piece.facts['file']}\0{digest}\0".encode())
    return {key: digests[key].hexdigest() for key in sorted(digests)}
