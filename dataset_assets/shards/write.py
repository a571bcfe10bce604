"""The shard stage: finished crops and chosen captions to tars. JPEG bytes are copied, never decoded.

Each tar has an index, outside the export, made while the tar is written. Where it alone is gone it is made of the tar.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from dataset_assets.catalog.state import Piece, load_pieces
from dataset_assets.damage import describe_index, is_indexed
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import fingerprint, fingerprint_settings
from dataset_assets.progress import Progress, Silence
from dataset_assets.shards.index import scan_tar, write_rows, writing_samples
from dataset_assets.shards.job import TarTask, Write, writing_tars
from dataset_assets.shards.pack import Shard
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import list_targets, split_shards
from dataset_assets.shards.tar import TarError
from dataset_assets.stages import Stage
from dataset_assets.storage.atomic import remove
from dataset_assets.storage.layout import shard_path
from dataset_assets.storage.parquet import read_table
from dataset_assets.work import Outcome, Work, begin, condemning, holding_lock

_MOST_THREADS = 4  # a fifth of the work holds the interpreter's lock, so more would wait for each other
_MOST_PROCESSES = 12  # each has a thread here that asks the catalog, which has connections for no many more
_WORTH_A_PROCESS = 1 << 29  # bytes of crops: they take a few times as long as starting a process


@holding_lock("partitions")
def write_shards(
    dataset: Dataset, partitions: Iterable[str], *, force: bool = False, progress: Progress | None = None
) -> dict[str, Outcome]:
    """Return what became of each partition's tars, after writing those whose samples changed, some side by side.

    A shard without a sample has no file. Raises OrderError when crops or the selection are missing or stale; nothing
    is written then.
    """
    begun = {key: begin(dataset, Stage.SHARDS, key, force=force) for key in partitions}
    stale = [work for work in begun.values() if isinstance(work, Work)]
    crops = {work.partition: _find_crops(work) for work in stale}
    progress = progress or Silence()
    progress.start(Stage.SHARDS, sum(map(len, crops.values())), "shards")
    outcomes = {}
    # All that a tar has in memory is a row group. Reading, hashing and writing let other threads run; where there is
    # much to do, a thread has it done by a process.
    workers, pieces = dataset.settings.workers, [piece for found in crops.values() for piece in found]
    worth = sum(piece.bytes for piece in pieces) // _WORTH_A_PROCESS
    processes = min(workers, len(pieces), worth, _MOST_PROCESSES)
    with writing_tars(processes) as write:
        pool = ThreadPoolExecutor(processes if processes > 1 else min(workers, _MOST_THREADS))
        try:
            tars = (_begin_tars(pool, write, work, crops[work.partition]) for work in stale)
            coming = next(tars, ())
            for key, work in begun.items():
                if isinstance(work, Outcome):
                    outcomes[key] = work
                    continue
                due, coming = coming, next(tars, ())  # one partition ahead, so that none waits; no more, for memory
                outcomes[key] = _finish(work, due, progress)
        finally:
            pool.shutdown(cancel_futures=True)  # after a fault, those that are under way come to their end
    progress.finish()
    return outcomes


def _find_crops(work: Work) -> list[Piece]:
    """Return the crops' files of a partition, one a tar. Raises OrderError, see `write_shards`."""
    work.require_fresh()  # crops and selection of two plans would not fit together
    with work.dataset.catalog.reading() as connection:
        return load_pieces(connection, Stage.RESIZED_CROPS, work.partition)


def _begin_tars(pool: ThreadPoolExecutor, write: Write, work: Work, crops: Iterable[Piece]) -> Sequence[Future[bool]]:
    """Let a pool write the tars of a partition; each says whether it was written."""
    selection = read_table(work.dataset.layout.selection(work.partition))
    chosen = dict(split_shards(selection, work.dataset.settings.shards.shard_size))
    return [pool.submit(_write_shard, write, work, piece, chosen[piece.number]) for piece in crops]


def _finish(work: Work, shards: Iterable[Future[bool]], progress: Progress) -> Outcome:
    """Wait for the tars of a partition and record it."""
    written = 0
    for shard in shards:
        written += shard.result()
        progress.advance(1)
    layout, partition = work.dataset.layout, Partition.parse(work.partition)
    for number in set(partition.shards) - {piece.number for piece in work.pieces}:
        for path in (layout.tar, layout.index):
            remove(path(partition.bucket_id, number))  # of an earlier cut of the bucket
    facts = [piece.facts for piece in work.pieces]
    return work.finish(
        output=fingerprint([(piece.number, piece.output, piece.facts["drops"]) for piece in work.pieces]),
        report={
            "samples": sum(fact["count"] for fact in facts),
            "shards": sum(1 for piece in work.pieces if piece.path),
            "written": written,
            "bytes": sum(piece.bytes for piece in work.pieces),
            **{name: dict(sum((Counter(fact[name]) for fact in facts), Counter())) for name in ("drops", "selected")},
            "sources": sorted({source for fact in facts for source in fact["sources"]}),
        },
    )


def _write_shard(write: Write, work: Work, crops: Piece, captions: pa.Table) -> bool:
    """Write one tar and its index unless they are there, made from the same; return whether the tar was written.

    `captions` are those of the selection that are of its slots.
    """
    partition = Partition.parse(work.partition)
    settings, layout = work.dataset.settings, work.dataset.layout
    made_from = fingerprint(fingerprint_settings(settings, Stage.SHARDS), crops.output, captions.to_pydict())
    kept = work.keep(crops.number, made_from)
    if kept and (is_indexed(layout, kept, work.look) or _index_again(work, partition, kept)):
        return False
    remove(layout.manifest)  # which is written last: an export without it is not finished
    work.replace(crops.number)
    path, index = (place(partition.bucket_id, crops.number) for place in (layout.tar, layout.index))
    shard = Shard(
        path=shard_path(partition.bucket_id, crops.number),
        bucket_id=partition.bucket_id,
        target=list_targets(settings)[partition.bucket_id],
        image_mode=settings.images.mode,
        missing_caption_policy=settings.captions.missing_caption_policy,
    )
    source = layout.crops(partition.bucket_id, crops.number)
    with condemning(work.dataset, (crops.stage, crops.partition, crops.number), source):
        made = write(TarTask(shard=shard, crops=source, captions=captions, path=path, index=index))
    there, tally = bool(made.sha256), made.tally
    work.put(
        path if there else None,
        made_from=made_from,
        output=made.sha256,
        number=crops.number,
        facts={
            "path": shard.path,
            "count": tally.count,
            "drops": dict(tally.drops),
            "selected": dict(tally.selected),
            "sources": sorted(tally.sources),
            **(describe_index(work.dataset.layout, index) if there else {}),
        },
    )
    return there


def _index_again(work: Work, partition: Partition, kept: Piece) -> bool:
    """Make the index of a tar that is there from the tar; return whether that could be done.

    What is recorded of the tar holds all the time, and its index is the same whenever it is made from it.
    """
    layout = work.dataset.layout
    tar, index = (place(partition.bucket_id, kept.number) for place in (layout.tar, layout.index))
    try:
        with writing_samples(index) as table:
            write_rows(table, scan_tar(tar, kept.facts["path"]))
    except (TarError, ValueError, OverflowError):  # the last two of numbers that no column holds
        return False
    facts = {**kept.facts, **describe_index(work.dataset.layout, index)}
    work.put(tar, made_from=kept.fingerprint, output=kept.output, number=kept.number, facts=facts)
    return True
