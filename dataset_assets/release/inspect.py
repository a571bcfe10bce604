"""Whether what was just written may be released: the tars of some partitions, and the export as a whole.

shards/verify.py trusts nothing but an export's folder; this compares with what the catalog recorded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dataset_assets.buckets.protos import list_buckets
from dataset_assets.catalog.slots import repeated_ids
from dataset_assets.catalog.state import (
    Piece,
    StageState,
    drop_piece,
    load_pieces,
    load_states,
    put_piece,
    put_state,
    void_state,
)
from dataset_assets.damage import MODIFIED, is_whole, survey
from dataset_assets.dataset import Dataset
from dataset_assets.errors import StorageError
from dataset_assets.freshness import fingerprint, list_inputs
from dataset_assets.progress import Progress, Silence
from dataset_assets.release.check import check_manifest
from dataset_assets.release.manifest import ShardEntry, load_manifest
from dataset_assets.shards.check import Promise
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.report import NO_TABLES, Report
from dataset_assets.shards.verify import check_files, list_files, verify_shards
from dataset_assets.stages import Stage
from dataset_assets.storage.layout import EXPORT_CARD, EXPORT_MANIFEST
from dataset_assets.storage.location import Look, find_stamp, look_at
from dataset_assets.storage.store import ObjectError
from dataset_assets.work import holding_lock


@holding_lock("partitions")
def inspect_shards(dataset: Dataset, partitions: Iterable[str], *, progress: Progress | None = None) -> Report:
    """Read the tars of these partitions that are new or touched, and return what is wrong with them.

    Each is a tar with the count, size and hash that are recorded, three members a sample, images of the bucket's size.
    What is found is recorded: a partition without a fault is intact, a tar with one has to be written again. Raises
    StorageError where an object store does not give a tar: nothing is recorded then.
    """
    settings = dataset.settings
    buckets = list_buckets(settings.buckets)
    promises = {bucket.id: Promise.of_settings(settings, bucket, buckets) for bucket in buckets}
    keys = list(partitions)
    with dataset.catalog.reading() as connection:
        written = [piece for key in keys for piece in load_pieces(connection, Stage.SHARDS, key) if piece.path]
        read = {piece.path: piece for key in keys for piece in load_pieces(connection, Stage.SHARDS_INTACT, key)}
    look = survey(dataset.layout, read.values())
    known = [piece for piece in written if _is_read(dataset, piece, read.get(piece.path), look)]
    done = {piece.path for piece in known}
    pieces = [piece for piece in written if piece.path not in done]
    tasks = [
        (
            dataset.layout.root / piece.path,
            make_entry(piece),
            promises[Partition.parse(piece.partition).bucket_id],
            NO_TABLES,
        )
        for piece in pieces
    ]
    now = survey(dataset.layout, pieces)
    times = [find_stamp(now, piece.path) for piece in pieces]
    try:
        reports = verify_shards(tasks, settings.workers, progress or Silence(), halting=True)
    except ObjectError as error:
        raise StorageError(f"cannot read {error}") from error
    damaged = [piece for piece, report in zip(pieces, reports, strict=True) if report.faults]
    intact = [read[piece.path] for piece in known] + [
        replace(piece, stage=Stage.SHARDS_INTACT, facts={MODIFIED: modified})
        for piece, modified, report in zip(pieces, times, reports, strict=True)
        if not report.faults
    ]
    _record(dataset, keys, intact, damaged)
    return Report(
        faults=tuple(fault for report in reports for fault in report.faults),
        files=len(written),
        samples=sum(report.samples for report in reports) + sum(piece.facts["count"] for piece in known),
        bytes=sum(report.bytes for report in reports) + sum(piece.bytes for piece in known),
    )


def _is_read(dataset: Dataset, written: Piece, read: Piece | None, look: Look) -> bool:
    """Return whether a tar was read since it was written, and is untouched since."""
    return read is not None and read.output == written.output and is_whole(dataset.layout, read, look)


def _record(dataset: Dataset, partitions: Sequence[str], intact: Sequence[Piece], damaged: Sequence[Piece]) -> None:
    """Record which tars were read as they are now, and which have to be written again."""
    with dataset.catalog.writing() as connection:
        states = load_states(connection, list(partitions))
        for piece in damaged:
            drop_piece(connection, Stage.SHARDS, piece.partition, piece.number)
            void_state(connection, Stage.SHARDS, piece.partition)
        for key in partitions:
            for piece in load_pieces(connection, Stage.SHARDS_INTACT, key):
                drop_piece(connection, piece.stage, key, piece.number)
        for piece in intact:
            put_piece(connection, piece)
        for key in set(partitions) - {piece.partition for piece in damaged}:
            inputs = list_inputs(dataset.settings, states, Stage.SHARDS_INTACT, key)
            state = StageState(
                stage=Stage.SHARDS_INTACT,
                partition=key,
                fingerprint=fingerprint(inputs),
                output=inputs[Stage.SHARDS],
                report={"inputs": inputs},
            )
            put_state(connection, state)


def inspect_export(dataset: Dataset) -> list[str]:
    """Return what is wrong with the manifest, given what the catalog recorded of the shards; no tar is opened.

    Their counts and hashes are the manifest's, every tar is there with its size, no other file is in the export, and
    no two samples have the same id, and so the same key.
    """
    try:
        manifest, faults = check_manifest(load_manifest(dataset.layout.manifest))
    except StorageError as error:
        return [str(error)]
    with dataset.catalog.reading() as connection:
        pieces = [piece for piece in load_pieces(connection, Stage.SHARDS) if piece.path]
        faults += [f"two images have the id {image_id}" for image_id in repeated_ids(connection)]
    if manifest is None:
        return faults
    listed = {shard.path: shard for bucket in manifest.buckets.values() for shard in bucket.shards}
    recorded = {piece.facts["path"]: make_entry(piece) for piece in pieces}
    faults += [f"{path}: the manifest and the catalog differ" for path in listed if listed[path] != recorded.get(path)]
    faults += [f"{path}: not in {EXPORT_MANIFEST}" for path in recorded.keys() - listed.keys()]
    look = survey(dataset.layout, pieces)
    faults += [
        f"{piece.path}: missing or of another size" for piece in pieces if not is_whole(dataset.layout, piece, look)
    ]
    there = list_files(dataset.layout.export)
    files = [file for file in manifest.files or () if file.path in there]
    look = look_at(dataset.layout.export, [file.path for file in files])
    faults += [
        f"{file.path}: of another size than {EXPORT_MANIFEST} says"
        for file in files
        if look(file.path).st_size != file.bytes
    ]
    others = check_files(manifest, there.keys())
    return faults + [str(fault) for fault in others if fault.file != EXPORT_CARD]  # the card is made after this


def make_entry(piece: Piece) -> ShardEntry:
    """Return what the manifest says of a tar."""
    return ShardEntry(path=piece.facts["path"], count=piece.facts["count"], bytes=piece.bytes, sha256=piece.output)
