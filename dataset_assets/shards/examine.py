"""What is wrong with one tar: the exact way, sample by sample, with a name for every fault.

What is surely right does not come here: that is told by sieve.py, some times faster. What one sample must be is in
check.py.
"""

from collections.abc import Iterator
from hashlib import file_digest
from itertools import groupby, islice

from dataset_assets.release.manifest import ShardEntry
from dataset_assets.release.samples import SamplesCheck
from dataset_assets.release.webshart import WebshartCheck
from dataset_assets.shards.check import Promise, check_sample
from dataset_assets.shards.index import Row, describe_sample
from dataset_assets.shards.report import NO_TABLES, Fault, ShardReport, Tables
from dataset_assets.shards.sample import MEMBERS
from dataset_assets.shards.tar import Member, Place, TarError, TarReader
from dataset_assets.storage.location import Location
from dataset_assets.storage.store import ObjectError

_MOST_FAULTS = 100  # of one tar; a systematic fault must not fill the memory with a line a sample
_DIGEST = 32  # bytes


def examine_shard(
    path: Location, entry: ShardEntry, promise: Promise, tables: Tables = NO_TABLES, *, pixels: bool = False
) -> ShardReport:
    """Check the tar at `path` against its manifest entry and what is promised of its samples.

    What `tables` say of the tar is compared with it on the way. Its JPEGs are decoded with `pixels`, and where its hash
    is not the entry's, so that the damaged sample is named. Raises ObjectError where a store does not give it.
    """
    checks = _open_tables(tables, entry)
    faults: list[Fault] = []
    beside: list[Fault] = []
    digests = bytearray()
    samples = read = 0
    try:
        pixels = pixels or _read_hash(path) != entry.sha256
        with path.open("rb") as file:
            reader = TarReader(file)
            try:
                for key, group in groupby(reader, _key_of):
                    samples += 1
                    members = tuple(islice(group, len(MEMBERS) + 1))
                    digest, reasons = _check_group(key, members, promise, pixels=pixels)
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
    except ObjectError:
        raise  # it says nothing of what is in the tar
    except OSError as error:
        faults.append(Fault(entry.path, "", f"the file cannot be read: {error.strerror or error}"))
    faults = [*_limit(faults), *_limit(beside)]
    return ShardReport(faults=tuple(faults), samples=samples, digests=bytes(digests), bytes=read)


def _read_hash(path: Location) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


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


def _key_of(member: Member) -> str:
    """Return what readers take for the key: the name up to its first dot."""
    return member.name.partition(".")[0]


def _check_group(key: str, members: tuple[Member, ...], promise: Promise, *, pixels: bool) -> tuple[bytes, list[str]]:
    """Return the digest that the key is, b"" where it is none, and what is wrong with the sample."""
    names = [member.name for member in members]
    if names != [f"{key}.{extension}" for extension in MEMBERS]:
        found = ", ".join(name.removeprefix(f"{key}.") for name in names)
        faults = [f"the members are {found}, not {', '.join(MEMBERS)}"]
    else:
        jpeg, text, fields = (member.data for member in members)
        faults = check_sample(key, jpeg, text, fields, promise, pixels=pixels)
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
