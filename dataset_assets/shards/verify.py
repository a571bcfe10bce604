"""Whether an export is what its manifest says, from nothing but the export's folder. Every byte of it is read.

Nothing raises for bad content: what is wrong becomes a `Fault` with the file, the sample and the reason. docs/format.md
says what is checked; what one sample must be is in check.py, what a manifest must be in release/check.py, and what the
tables beside the tars must say in release/samples.py and release/webshart.py.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import nullcontext
from functools import partial
from hashlib import file_digest
from itertools import accumulate

import numpy as np

from dataset_assets.errors import StorageError
from dataset_assets.progress import Progress
from dataset_assets.release.check import check_manifest, manifest_buckets
from dataset_assets.release.manifest import FileEntry, Manifest, ShardEntry, load_manifest
from dataset_assets.release.samples import check_samples
from dataset_assets.release.webshart import webshart_path
from dataset_assets.settings import count_cores
from dataset_assets.shards.check import Promise
from dataset_assets.shards.examine import examine_shard
from dataset_assets.shards.pool import read_side_by_side
from dataset_assets.shards.report import NO_TABLES, Fault, Report, ShardReport, Tables
from dataset_assets.shards.rows import Rows
from dataset_assets.shards.sieve import sift_shard
from dataset_assets.storage.layout import EXPORT_CARD, EXPORT_MANIFEST, EXPORT_SAMPLES
from dataset_assets.storage.location import Location, find_files
from dataset_assets.storage.store import ObjectError

HOST_FILES = (".cache", ".git", ".gitattributes")  # what a host or its download tool puts beside an export
DESKTOP_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")  # what looking at a folder leaves in it

_EXPORT_ID = re.compile(r"Export ID[^0-9a-f\n]*([0-9a-f]{16})\b")  # as cards name it
_DIGEST = 32  # bytes
_LONGEST_STRETCH = 8  # tars that one task reads: those of one bucket share row groups of samples.parquet

Task = tuple[Location, ShardEntry, Promise, Tables]


def verify(export: Location, *, workers: int = 0, pixels: bool = False, progress: Progress) -> Report:
    """Check an export with `workers` at a time, 0 for one a core, and return everything that is wrong with it.

    JPEGs are decoded where a tar's hash is not the manifest's; with `pixels` all of them are.
    """
    files = list_files(export)
    manifest, faults = _read_manifest(export / EXPORT_MANIFEST)
    entries = [] if manifest is None else list(_entries(manifest))
    faults += check_files(manifest, files.keys())
    faults += _check_card(manifest, files.get(EXPORT_CARD))
    tables, wrong = _find_tables(manifest, files)
    faults += wrong
    present = [
        (files[entry.path], entry, promise, tables[entry.path]) for entry, promise in entries if entry.path in files
    ]
    reports = verify_shards(present, workers or count_cores(), progress, pixels=pixels)
    faults += [fault for report in reports for fault in report.faults]
    faults += _repeated_keys([entry.path for _, entry, *_ in present], [report.digests for report in reports])
    return Report(
        faults=tuple(faults),
        files=len(files),
        samples=sum(report.samples for report in reports),
        bytes=sum(report.bytes for report in reports),
    )


def _find_tables(manifest: Manifest | None, files: Mapping[str, Location]) -> tuple[dict[str, Tables], list[Fault]]:
    """Return the tables of every tar by its path, and what is wrong with the listed files whatever the tars hold."""
    listed = {file.path: file for file in manifest.files or ()} if manifest else {}
    faults = [
        Fault(file.path, "", reason)
        for file in listed.values()
        if file.path in files
        for reason in _check_digest(files[file.path], file)
    ]
    there = {path: files[path] for path in listed if path in files}
    shards = [shard for bucket in manifest.buckets.values() for shard in bucket.shards] if manifest else []
    samples = there.get(EXPORT_SAMPLES)
    if samples and (wrong := check_samples(samples, sum(shard.count for shard in shards))):
        faults += [Fault(EXPORT_SAMPLES, "", reason) for reason in wrong]
        samples = None
    starts = accumulate((shard.count for shard in shards), initial=0)
    tables = {
        shard.path: Tables(samples=samples, first=first, webshart=there.get(webshart_path(shard.path)))
        for shard, first in zip(shards, starts, strict=False)  # there is one more, after the last
    }
    return tables, faults


def _check_digest(path: Location, entry: FileEntry) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            size, digest = path.stat().st_size, file_digest(file, "sha256").hexdigest()
    except OSError as error:
        yield f"the file cannot be read: {error.strerror or error}"
        return
    if size != entry.bytes:
        yield f"the file has {size} bytes, but the manifest says {entry.bytes}"
    if digest != entry.sha256:
        yield f"the file's sha256 is {digest}, but the manifest says {entry.sha256}"


def _read_manifest(path: Location) -> tuple[Manifest | None, list[Fault]]:
    """Return the manifest, None where it cannot be told what it says, and what is wrong with it."""
    try:
        manifest, reasons = check_manifest(load_manifest(path))
    except StorageError as error:
        manifest, reasons = None, [str(error)]
    return manifest, [Fault(EXPORT_MANIFEST, "", reason) for reason in reasons]


def _entries(manifest: Manifest) -> Iterator[tuple[ShardEntry, Promise]]:
    """Yield the shards of the buckets that are understood, each with what is promised of its samples."""
    try:
        buckets = manifest_buckets(manifest)
    except ValueError:
        return
    for bucket_id, entry in manifest.buckets.items():
        if bucket_id in buckets:
            promise = Promise.of_manifest(manifest, buckets[bucket_id], buckets.values())
            yield from ((shard, promise) for shard in entry.shards)


def check_files(manifest: Manifest | None, files: Set[str]) -> list[Fault]:
    """Return a fault for every file that is missing, and where there is a manifest for every one that is too many."""
    if manifest is None:
        return [] if EXPORT_CARD in files else [Fault(EXPORT_CARD, "", "the file is missing")]
    listed = [EXPORT_CARD, *(shard.path for entry in manifest.buckets.values() for shard in entry.shards)]
    listed += [file.path for file in manifest.files or ()]
    faults = [Fault(name, "", "the file is missing") for name in listed if name not in files]
    unlisted = sorted(files - {EXPORT_MANIFEST, *listed})
    return faults + [Fault(name, "", "the manifest does not list this file") for name in unlisted]


def _check_card(manifest: Manifest | None, path: Location | None) -> list[Fault]:
    """Return a fault where the card is of another export."""
    if manifest is None or path is None:
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [Fault(EXPORT_CARD, "", f"the file cannot be read: {error}")]
    named = _EXPORT_ID.search(text)
    if named is None or named[1] == manifest.export_id:
        return []
    return [Fault(EXPORT_CARD, "", f"it is of export {named[1]}, but the manifest is of {manifest.export_id}")]


def list_files(export: Location) -> dict[str, Location]:
    """Return every file in the export, by its path there, but what hosts and desktops put beside an export."""
    return {
        name: path
        for name, path in find_files(export).items()
        if name.split("/")[0] not in HOST_FILES and path.name not in DESKTOP_FILES and not path.name.startswith(".nfs")
    }


def verify_shards(
    present: Sequence[Task], workers: int, progress: Progress, *, pixels: bool = False, halting: bool = False
) -> list[ShardReport]:
    """Return a report for each tar, in their order.

    A tar that its store does not give is a fault of it; with `halting` that is raised, as ObjectError: it says nothing
    of what is in the tar.
    """
    workers = min(workers, len(present))
    length = max(1, min(_LONGEST_STRETCH, len(present) // (4 * max(workers, 1))))
    stretches = [present[start : start + length] for start in range(0, len(present), length)]
    work: Callable[[Sequence[Task]], list[ShardReport]] = partial(_verify_stretch, pixels=pixels, halting=halting)
    size = sum(entry.bytes for _, entry, *_ in present)
    reports = []
    progress.start("verify", len(present), "shards")
    for read in read_side_by_side(work, stretches, workers=workers, size=size, module=__name__, decoding=pixels):
        reports += read
        progress.advance(len(read))
    progress.finish()
    return reports


def _verify_stretch(tasks: Sequence[Task], *, pixels: bool, halting: bool) -> list[ShardReport]:
    """Return the reports of tars that follow each other."""
    reports = []
    with Rows() as rows:
        for task in tasks:
            try:
                reports.append(verify_shard(*task, rows=rows, pixels=pixels))
            except ObjectError as error:
                if halting:
                    raise
                fault = Fault(task[1].path, "", f"the file cannot be read: {error.strerror}")
                reports.append(ShardReport(faults=(fault,), samples=0, digests=b"", bytes=0))
    return reports


def verify_shard(
    path: Location,
    entry: ShardEntry,
    promise: Promise,
    tables: Tables = NO_TABLES,
    *,
    rows: Rows | None = None,
    pixels: bool = False,
) -> ShardReport:
    """Check the tar at `path` against its manifest entry, what is promised of its samples, and what `tables` say of it.

    What the sieve does not clear is read again, to say what is wrong or that nothing is. With `pixels` every JPEG is
    decoded. `rows` reads `tables.samples`, and is the same for tars that follow each other. Raises ObjectError where a
    store does not give the tar.
    """
    with nullcontext(rows) if rows else Rows() as table:
        report = None if pixels else sift_shard(path, entry, promise, tables, table)
    return report or examine_shard(path, entry, promise, tables, pixels=pixels)


def _repeated_keys(files: list[str], blocks: list[bytes]) -> list[Fault]:
    """Return a fault for every key that stood in an earlier sample, named where it stands again."""
    digests = np.frombuffer(b"".join(blocks), dtype=f"S{_DIGEST}")
    ends = np.cumsum([len(block) // _DIGEST for block in blocks])
    order = np.argsort(digests, kind="stable")
    repeated = np.flatnonzero(digests[order][1:] == digests[order][:-1])
    places = np.searchsorted(ends, np.stack([order[repeated], order[repeated + 1]]), side="right")
    return [
        Fault(files[again], bytes(digests[place]).ljust(_DIGEST, b"\0").hex(), f"the same sample is in {files[first]}")
        for place, first, again in zip(order[repeated + 1], *places, strict=True)
    ]
