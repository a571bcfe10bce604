"""The crop stage: the images of whole partitions to one file of finished JPEGs a shard.

An image that was cropped before and is unchanged is copied from the file that is there, not encoded again.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cached_property
from typing import Any

import pyarrow as pa

from dataset_assets.catalog.images import record_checksums
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import fingerprint, fingerprint_settings
from dataset_assets.images.ahead import Ahead
from dataset_assets.images.store import (
    GROUP_BYTES,
    Row,
    find_reusable,
    group_rows,
    make_row,
    make_table,
    open_rows,
    writing_crops,
)
from dataset_assets.images.workers import CropWorkers
from dataset_assets.progress import Progress, Silence
from dataset_assets.records import Crop, CropTask, Drop, sample_key
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import read_plan, split_shards
from dataset_assets.stages import Stage
from dataset_assets.storage.atomic import remove
from dataset_assets.work import Outcome, Work, begin, condemning, holding_lock

_AHEAD = GROUP_BYTES  # of crops that wait to be written: enough for the time that a disk takes to finish a file

_SMALL = 1 << 10  # bytes: what a result has beside its JPEG


@holding_lock("partitions")
def make_crops(
    dataset: Dataset, partitions: Iterable[str], *, force: bool = False, progress: Progress | None = None
) -> dict[str, Outcome]:
    """Return what became of each partition, after making the crops that are not fresh.

    Raises OrderError for a partition without a plan, StorageError when a file cannot be written.
    """
    begun = {key: begin(dataset, Stage.RESIZED_CROPS, key, force=force) for key in partitions}
    stale = {key: _find_shards(work, force=force) for key, work in begun.items() if isinstance(work, Work)}
    progress = progress or Silence()
    progress.start(Stage.RESIZED_CROPS, sum(len(shard.rows) for shards in stale.values() for shard in shards), "images")
    # One stream of tasks over all partitions, and a thread that hands them out: no worker waits while we write.
    tasks = (task for shards in stale.values() for shard in shards for task in shard.tasks())
    outcomes = {}
    pace = _Pace()
    with (
        CropWorkers(dataset.settings.workers, dataset.settings.images, dataset.sources) as workers,
        Ahead(workers.run(tasks), _AHEAD, workers.stop, measure=_measure) as done,
    ):
        results = (result for _, result in done)
        for key, work in begun.items():
            outcomes[key] = (
                work if isinstance(work, Outcome) else _write_partition(work, stale[key], results, progress, pace)
            )
    progress.finish()
    return outcomes


def _measure(done: tuple[CropTask, Crop | Drop]) -> int:
    """Return about how many bytes a result has."""
    _, result = done
    return _SMALL + (len(result.jpeg) if isinstance(result, Crop) else 0)


def _find_shards(work: Work, *, force: bool) -> list["_Shard"]:
    """Return the shards of a partition that have to be written; the others are kept."""
    shards = []
    for number, rows in split_shards(read_plan(work.dataset, work.partition), work.dataset.settings.shards.shard_size):
        shard = _Shard(work, number, rows, reuse=not force)
        kept = work.keep(number, shard.made_from)
        limits = (0, work.dataset.settings.images.timeout_seconds)
        if kept is None or kept.facts["retry"] or kept.facts["timeout"] not in limits:
            shards.append(shard)
    return shards


def _write_partition(
    work: Work, shards: Iterable["_Shard"], results: Iterator[Crop | Drop], progress: Progress, pace: "_Pace"
) -> Outcome:
    encoded = sum(shard.write(results, progress) for shard in shards)
    pace.done += encoded
    partition = Partition.parse(work.partition)
    for number in set(partition.shards) - {piece.number for piece in work.pieces}:
        remove(work.dataset.layout.crops(partition.bucket_id, number))  # of an earlier cut of the bucket
    facts = [piece.facts for piece in work.pieces]
    return work.finish(
        output=fingerprint([(piece.number, piece.output) for piece in work.pieces]),
        report={
            "sight": fingerprint([(piece.number, piece.facts["sight"]) for piece in work.pieces]),
            **{name: sum(fact[name] for fact in facts) for name in ("images", "crops", "retry")},
            "timeout": max((fact["timeout"] for fact in facts), default=0),
            "drops": dict(sum((Counter(fact["drops"]) for fact in facts), Counter())),
            "bytes": sum(piece.bytes for piece in work.pieces),
            "encoded": encoded,
            "images_per_second": pace.rate,
        },
    )


class _Pace:
    """How fast a run is: no partition has a pace of its own, as workers are ahead of the one that is written."""

    def __init__(self) -> None:
        self.done = 0  # images
        self._started = time.monotonic()

    @property
    def rate(self) -> float:
        """Images a second so far."""
        return round(self.done / (time.monotonic() - self._started), 1)


class _Shard:
    """A shard of a partition, and what its file will be made from."""

    def __init__(self, work: Work, number: int, rows: pa.Table, *, reuse: bool) -> None:
        self.rows = rows  # of the plan
        self._work = work
        self._number = number
        self._path = work.dataset.layout.crops(Partition.parse(work.partition).bucket_id, number)
        self._reuse = reuse
        settings = fingerprint_settings(work.dataset.settings, Stage.RESIZED_CROPS)
        columns = rows.select(["image_id", "revision", "target_w", "target_h"]).to_pydict().values()
        self._row_prints = [fingerprint(settings, *row) for row in zip(*columns, strict=True)]
        self.made_from = fingerprint(rows["slot"].to_pylist(), self._row_prints)

    @cached_property
    def _old(self) -> dict[str, int]:
        timeout = self._work.dataset.settings.images.timeout_seconds
        return find_reusable(self._path, timeout) if self._reuse else {}

    def tasks(self) -> Iterator[CropTask]:
        """Yield the images that cannot be copied."""
        for row, made_from in zip(self.rows.to_pylist(), self._row_prints, strict=True):
            if made_from not in self._old:
                yield CropTask(
                    slot=row["slot"],
                    image_id=row["image_id"],
                    source=row["source"],
                    uri=row["uri"],
                    version=row["version"],
                    target=(row["target_w"], row["target_h"]),
                )

    def write(self, results: Iterator[Crop | Drop], progress: Progress) -> int:
        """Write the file from copies and the next of `results`; return how many of these there were."""
        self._work.replace(self._number)
        drops: Counter[str] = Counter()
        retry, timeouts = 0, {0.0}
        digests: list[Any] = []
        sights: list[Any] = []
        checksums: dict[int, str] = {}
        piece = (self._work.stage, self._work.partition, self._number)
        with (
            condemning(self._work.dataset, piece, self._path),
            writing_crops(self._path) as writer,
        ):
            for group in group_rows(self._make_rows(results, checksums)):
                writer.write_table(make_table(group))
                drops.update(row["reason"] for row in group if row["reason"])
                digests += [(row["slot"], row["key"], row["source_sha256"], row["reason"]) for row in group]
                sights += [(row["slot"], row["source_sha256"], row["reason"], row.get("spread")) for row in group]
                retry += sum(row["passing"] for row in group)
                timeouts.update(row["timeout"] for row in group)
                progress.advance(len(group))
                group.clear()  # before the next is gathered
        settings = fingerprint_settings(self._work.dataset.settings, Stage.RESIZED_CROPS)
        targets = self.rows.select(["target_w", "target_h"]).slice(0, 1).to_pylist()
        with self._work.dataset.catalog.writing() as connection:
            record_checksums(connection, [(row, checksum) for row, checksum in checksums.items() if checksum])
        self._work.put(
            self._path,
            made_from=self.made_from,
            output=fingerprint(settings, targets, digests),
            number=self._number,
            facts={
                "images": len(self.rows),
                "crops": len(self.rows) - drops.total(),
                "drops": dict(drops),
                "retry": retry,
                "timeout": max(timeouts),
                "sight": fingerprint(sights),
            },
        )
        return len(checksums)

    def _make_rows(self, results: Iterator[Crop | Drop], checksums: dict[int, str]) -> Iterator[Row]:
        """Yield the rows of the file; `checksums` gets those of the sources that were read, by row id."""
        with ExitStack() as stack:
            old = stack.enter_context(open_rows(self._path)) if self._old else None
            for row, made_from in zip(self.rows.to_pylist(), self._row_prints, strict=True):
                if old is not None and made_from in self._old:
                    yield {**old[self._old[made_from]], "slot": row["slot"]}
                    continue
                result = next(results)
                checksums[row["id"]] = result.source_sha256
                yield make_row(row["slot"], sample_key(row["image_id"]), row["image_id"], made_from, result)
