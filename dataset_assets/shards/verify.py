"""Whether an export is what its manifest says, from nothing but the export's folder. Every byte of it is read.

Nothing raises for bad content: what is wrong becomes a `Fault` with the file, the sample and the reason. docs/format.md
says what is checked; what one sample must be is in check.py, what a manifest must be in release/check.py, and what the
tables beside the tars must say in release/samples.py and release/webshart.py.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from hashlib import file_digest
from itertools import accumulate, groupby, islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from dataset_assets.errors import StorageError
from dataset_assets.images.worker import end_with_parent
from dataset_assets.progress import Progress
from dataset_assets.release.check import check_manifest, manifest_buckets
from dataset_assets.release.manifest import FileEntry, Manifest, ShardEntry, load_manifest
from dataset_assets.release.samples import SamplesCheck, check_samples
from dataset_assets.release.webshart import WebshartCheck, webshart_path
from dataset_assets.settings import count_cores
from dataset_assets.shards.check import Promise, check_sample
from dataset_assets.shards.index import Row, describe_sample
from dataset_assets.shards.sample import MEMBERS
from dataset_assets.shards.tar import Member, Place, TarError, TarReader
from dataset_assets.storage.layout import EXPORT_CARD, EXPORT_MANIFEST, EXPORT_SAMPLES

HOST_FILES = (".cache", ".git", ".gitattributes")  # what a host or its download tool puts beside an export
DESKTOP_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")  # what looking at a folder leaves in it

_EXPORT_ID = re.compile(r"Export ID[^0-9a-f\n]*([0-9a-f]{16})\b")  # as cards name it
_MOST_FAULTS = 100  # of one tar; a systematic fault must not fill the memory with a line a sample
_DIGEST = 32  # bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    file: str  # path in the export, `/`-separated
    sample: str  # its key, "" where no single sample is meant
    reason: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.sample, self.reason) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `verify` found: everything that is wrong, and how much was read."""

    faults: tuple[Fault, ...]
    files: int
    samples: int
    bytes: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def to_dict(self) -> dict[str, object]:
        """Return the report as JSON's types."""
        return {"ok": self.ok, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """What is wrong with one tar, and what was read of it."""

    faults: tuple[Fault, ...]
    samples: int
    digests: bytes  # the keys of its samples, 32 bytes each, in their order
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables that say something of one tar and are compared with it; None where there is no such table."""

    samples: Path | None = None
    first: int = 0  # row of the tar's first sample in `samples`, from 0
    webshart: Path | None = None


NO_TABLES = Tables()


def verify(export: Path, *, workers: int = 0, progress: Progress) -> Report:
    """Check an export with `workers` processes, 0 for one a core, and return everything that is wrong with it."""
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
    reports = verify_shards(present, workers or count_cores(), progress)
    faults += [fault for report in reports for fault in report.faults]
    faults += _repeated_keys([entry.path for _, entry, *_ in present], [report.digests for report in reports])
    return Report(
        faults=tuple(faults),
        files=len(files),
        samples=sum(report.samples for report in reports),
        bytes=sum(report.bytes for report in reports),
    )


def verify_shard(path: Path, entry: ShardEntry, promise: Promise, tables: Tables = NO_TABLES) -> ShardReport:
    """Check the tar at `path` against its manifest entry and what is promised of its samples, in one pass.

    What `tables` say of the tar is compared with it on the way.
    """
    checks = _open_tables(tables, entry)
    faults: list[Fault] = []
    beside: list[Fault] = []
    digests = bytearray()
    samples = read = 0
    try:
        with path.open("rb") as file:
            reader = TarReader(file)
            try:
                for key, group in groupby(reader, _key_of):
                    samples += 1
                    members = tuple(islice(group, len(MEMBERS) + 1))
                    digest, reasons = _check_group(key, members, promise)
                    digests += digest
                    faults += [Fault(entry.path, key, reason) for reason in reasons]
                    row = None if reasons or not checks else _describe(entry.path, members)
                    beside += [Fault(one.file, key, reason) for one in checks for reason in one.compare(key, row)]
                beside += [Fault(one.file, "", reason) for one in checks for reason in one.finish()]
            except TarError as error:
                faults.append(Fault(entry.path, "", str(error)))
            reader.drain()
        read = reader.bytes
        faults += [Fault(entry.path, "", reason) for reason in _check_totals(entry, reader, samples)]
    except OSError as error:
        faults.append(Fault(entry.path, "", f"the file cannot be read: {error.strerror or error}"))
    faults = [*_limit(faults), *_limit(beside)]
    return ShardReport(faults=tuple(faults), samples=samples, digests=bytes(digests), bytes=read)


def _open_tables(tables: Tables, entry: ShardEntry) -> list[SamplesCheck | WebshartCheck]:
    checks: list[SamplesCheck | WebshartCheck] = []
    if tables.samples:
        checks.append(SamplesCheck(tables.samples, tables.first, entry.count))
    if tables.webshart:
        checks.append(WebshartCheck(tables.webshart, entry))
    return checks


def _describe(path: str, members: tuple[Member, ...]) -> Row:
    """Return what a table should say of a sample without a fault."""
    places = [Place(member.name, member.offset, len(member.data)) for member in members]
    return describe_sample(path, places, *(member.data for member in members[1:]))


def _find_tables(manifest: Manifest | None, files: Mapping[str, Path]) -> tuple[dict[str, Tables], list[Fault]]:
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


def _check_digest(path: Path, entry: FileEntry) -> Iterator[str]:
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


def _read_manifest(path: Path) -> tuple[Manifest | None, list[Fault]]:
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


def _check_card(manifest: Manifest | None, path: Path | None) -> list[Fault]:
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


def list_files(export: Path) -> dict[str, Path]:
    """Return every file in the export, by its path there, but what hosts and desktops put beside an export."""
    paths = {path.relative_to(export).as_posix(): path for path in sorted(export.rglob("*")) if not path.is_dir()}
    return {
        name: path
        for name, path in paths.items()
        if name.split("/")[0] not in HOST_FILES and path.name not in DESKTOP_FILES and not path.name.startswith(".nfs")
    }


def verify_shards(
    present: list[tuple[Path, ShardEntry, Promise, Tables]], workers: int, progress: Progress
) -> list[ShardReport]:
    """Return a report for each tar, in their order."""
    reports = []
    progress.start("verify", len(present), "shards")
    with ExitStack() as stack:
        results: Iterable[ShardReport]
        if (workers := min(workers, len(present))) > 1:
            context = get_context("spawn")
            pool = stack.enter_context(
                ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent)  # also when it is killed
            )
            results = pool.map(verify_shard, *zip(*present, strict=True))
        else:
            results = (verify_shard(*task) for task in present)
        for report in results:
            reports.append(report)
            progress.advance(1)
    progress.finish()
    return reports


def _key_of(member: Member) -> str:
    """Return what readers take for the key: the name up to its first dot."""
    return member.name.partition(".")[0]


def _check_group(key: str, members: tuple[Member, ...], promise: Promise) -> tuple[bytes, list[str]]:
    """Return the digest that the key is, b"" where it is none, and what is wrong with the sample."""
    names = [member.name for member in members]
    if names != [f"{key}.{extension}" for extension in MEMBERS]:
        found = ", ".join(name.removeprefix(f"{key}.") for name in names)
        faults = [f"the members are {found}, not {', '.join(MEMBERS)}"]
    else:
        jpeg, text, fields = (member.data for member in members)
        faults = check_sample(key, jpeg, text, fields, promise)
    digest = bytes.fromhex(key) if len(key) == 2 * _DIGEST and set(key) <= set("0123456789abcdef") else b""
    return digest, faults if digest else ["the key is not 64 hexadecimal digits", *faults]


def _check_totals(entry: ShardEntry, reader: TarReader, samples: int) -> Iterator[str]:
    if reader.bytes != entry.bytes:
        yield f"the file has {reader.bytes} bytes, but the manifest says {entry.bytes}"
    if reader.sha256 != entry.sha256:
        yield f"the file's sha256 is {reader.sha256}, but the manifest says {entry.sha256}"
    if samples != entry.count:
        yield f"the file has {samples} samples, but the manifest says {entry.count}"


def _limit(faults: list[Fault]) -> tuple[Fault, ...]:
    if len(faults) <= _MOST_FAULTS:
        return tuple(faults)
    rest = len(faults) - _MOST_FAULTS
    return (*faults[:_MOST_FAULTS], Fault(faults[0].file, "", f"and {rest} more faults that are not listed"))


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
