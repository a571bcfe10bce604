"""The stage of the numbered tars: the chosen captions of a range of tars become tars, each with its index beside it.

A tar is written again only where the digest of its own texts has changed. What a tar has in it is tars.py's to say.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import chain

from dataset_assets.catalog.state import Piece, drop_piece, drop_state, load_pieces
from dataset_assets.damage import describe_index, is_indexed
from dataset_assets.dataset import Dataset
from dataset_assets.errors import OrderError, StorageError
from dataset_assets.freshness import VERSIONS, fingerprint
from dataset_assets.posts.form import CAPTIONS, kind_columns
from dataset_assets.posts.read import find_groups
from dataset_assets.processes import end_with_parent, prepare_forks
from dataset_assets.progress import Progress, Silence
from dataset_assets.settings import RecordSettings, Settings
from dataset_assets.stages import Stage
from dataset_assets.storage.atomic import remove
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.location import Location
from dataset_assets.trainer.tars.jobs import MadeTar, TarTask, write_tars
from dataset_assets.work import Outcome, Work, begin, condemning, holding_lock

_MOST_TARS = 10_000  # of one kind: what a piece's number counts the kinds by
_WORTH_A_PROCESS = 20_000  # texts: starting one takes as long as some of these
_LONGEST_STRETCH = 8  # tars that a process writes before it says so


@holding_lock("key")
def write_numbered_tars(
    dataset: Dataset, key: str, *, force: bool = False, progress: Progress | None = None
) -> Outcome:
    """Return what became of one range's tars, after writing those whose rows changed.

    A tar without a text is written, too. Raises OrderError when the captions of the range are missing or stale.
    """
    records = _require_records(dataset.settings)
    _forget_misplaced(dataset, records)
    work = begin(dataset, Stage.CAPTIONS_1KTAR, key, force=force)
    if isinstance(work, Outcome):
        return work
    work.require_fresh()  # the captions are cut into tars as the settings say now
    with dataset.catalog.reading() as connection:
        (source,) = load_pieces(connection, Stage.RECORD_CAPTIONS, key)
    path = dataset.layout.record_captions(key)
    with condemning(dataset, (source.stage, key, source.number), path):
        written, mended = _write_missing(work, records, source, path, progress or Silence())
    members: Counter[str] = Counter()
    for piece in work.pieces:
        members[piece.facts["kind"]] += piece.facts["members"]
    return work.finish(
        output=fingerprint([(piece.number, piece.output) for piece in work.pieces]),
        report={
            "tars": len(work.pieces),
            "written": written,
            "mended": mended,
            "members": dict(members),
            "bytes": sum(piece.bytes for piece in work.pieces),
        },
    )


def list_kinds(records: RecordSettings) -> dict[str, tuple[str, str]]:
    """Return the kinds of tars: the column their texts are in, and how their members' names end."""
    columns = kind_columns(records)
    return {
        kind: (columns[kind], ".caption" if kind == CAPTIONS else ".txt") for kind in (CAPTIONS, *records.text_tars)
    }


def _require_records(settings: Settings) -> RecordSettings:
    if settings.records is None:
        raise OrderError("the settings have no [records]: there are no captions to write as numbered tars")
    return settings.records


def _list_paths(
    records: RecordSettings, layout: Layout, tars: Iterable[int]
) -> Iterator[tuple[int, str, int, Location]]:
    """Yield the tars of a range, of all kinds: the number of the piece, the kind, the tar and its path."""
    for tar in tars:
        for rank, kind in enumerate(list_kinds(records)):
            yield rank * _MOST_TARS + tar, kind, tar, layout.numbered_tar(kind, f"{tar:0{records.padding}d}")


def _forget_misplaced(dataset: Dataset, records: RecordSettings) -> None:
    """Remove tars that the settings no longer have: of other kinds, or of another modulus, padding or range.

    What lies where another tar belongs stays until that is written.
    """
    root = dataset.layout.root
    places = {
        str(path.relative_to(root)): (key, number)
        for key, tars in records.ranges.items()
        for number, _, _, path in _list_paths(records, dataset.layout, tars)
    }
    with dataset.catalog.reading() as connection:
        pieces = load_pieces(connection, Stage.CAPTIONS_1KTAR)
    misplaced = [piece for piece in pieces if places.get(piece.path) != (piece.partition, piece.number)]
    for piece in misplaced:
        if piece.path not in places:
            remove((root / piece.path).with_suffix(".json"))
            remove(root / piece.path)
    if misplaced:
        with dataset.catalog.writing() as connection:  # only now: killed before, the next run removes the rest
            for piece in misplaced:
                drop_piece(connection, piece.stage, piece.partition, piece.number)
            for key in {piece.partition for piece in misplaced}.difference(records.ranges):
                drop_state(connection, Stage.CAPTIONS_1KTAR, key)


def _write_missing(
    work: Work, records: RecordSettings, source: Piece, path: Location, progress: Progress
) -> tuple[int, int]:
    """Write the tars that are not there, made from the same; return how many, and how many others got an index."""
    tasks = list(_list_tasks(work, records, source, find_groups(path)))
    _forget(work, [task.number for task in tasks if not task.index_only])
    progress.start(work.stage, sum(task.rows for task in tasks), "records")
    for task, made in zip(tasks, _write_all(work, path, tasks), strict=True):
        work.put(
            task.path,
            made_from=task.made_from,
            output=made.sha256,
            number=task.number,
            facts={"kind": task.kind, "members": made.members, **describe_index(work.dataset.layout, task.index)},
        )
        progress.advance(task.rows)
    progress.finish()
    mended = sum(1 for task in tasks if task.index_only)
    return len(tasks) - mended, mended


def _list_tasks(
    work: Work, records: RecordSettings, source: Piece, groups: dict[int, list[tuple[int, int]]]
) -> Iterator[TarTask]:
    """Yield the tars of the range that are not there with their index, made from the same."""
    layout, kinds = work.dataset.layout, list_kinds(records)
    for number, kind, tar, path in _list_paths(records, layout, records.ranges[work.partition]):
        made_from = fingerprint(VERSIONS[work.stage], kind, source.facts["tars"][kind].get(str(tar), ""))
        kept = work.keep(number, made_from)
        if kept and is_indexed(layout, kept, work.look):
            continue
        column, suffix = kinds[kind]
        own = groups.get(tar, [])
        yield TarTask(
            number=number,
            kind=kind,
            tar=tar,
            made_from=made_from,
            groups=tuple(group for group, _ in own),
            rows=sum(rows for _, rows in own),
            column=column,
            suffix=suffix,
            path=path,
            index=path.with_suffix(".json"),
            index_only=kept is not None,
        )


def _forget(work: Work, numbers: Sequence[int]) -> None:
    """Say that these tars are about to be written, all at once: a transaction for each would take longer than it."""
    with work.dataset.catalog.writing() as connection:
        for number in numbers:
            drop_piece(connection, work.stage, work.partition, number)


def _write_all(work: Work, path: Location, tasks: Sequence[TarTask]) -> Iterator[MadeTar]:
    """Yield what was written of each tar, in order. Raises StorageError, also where a process was ended."""
    workers = min(work.dataset.settings.workers, sum(task.rows for task in tasks) // _WORTH_A_PROCESS)
    length = max(1, min(_LONGEST_STRETCH, len(tasks) // (4 * max(workers, 1))))
    stretches = [tasks[start : start + length] for start in range(0, len(tasks), length)]
    job: Callable[[Sequence[TarTask]], list[MadeTar]] = partial(write_tars, path)
    if workers < 2:
        yield from chain.from_iterable(map(job, stretches))
        return
    with ExitStack() as stack:
        context = prepare_forks(write_tars.__module__)
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent)
        stack.callback(pool.shutdown, cancel_futures=True)  # also when it is interrupted
        try:
            yield from chain.from_iterable(pool.map(job, stretches))
        except BrokenExecutor as error:
            raise StorageError(
                f"a process that writes tars of {work.partition} was ended from outside, perhaps for want of memory: "
                "build again, and it goes on from there"
            ) from error
