"""Whether what a manifest says fits together. Nothing but the manifest is looked at."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from pydantic import ValidationError

from dataset_assets.buckets.protos import PROTOS, make_buckets, parse_proto, proto_id
from dataset_assets.errors import DropReason
from dataset_assets.records import Bucket
from dataset_assets.release.manifest import (
    BucketEntry,
    Manifest,
    dump_manifest,
    export_id,
    format_of,
    parse_manifest,
)
from dataset_assets.storage.layout import EXPORT_CARD, EXPORT_MANIFEST

_FIRST_COUNTERS = ("images_seen", "images_exported", *tuple(DropReason)[:4])  # a summary starts with the card's


def manifest_buckets(manifest: Manifest) -> dict[str, Bucket]:
    """Return every bucket that the manifest's settings allow, by id. Raises ValueError where they allow none."""
    protos = [parse_proto(proto) for proto in manifest.export_settings.protos or ()]
    buckets = make_buckets(manifest.base_resolutions, manifest.divisible, protos or PROTOS)
    return {bucket.id: bucket for bucket in buckets}


def check_manifest(raw: Mapping[str, object]) -> tuple[Manifest | None, list[str]]:
    """Return the manifest, None where it cannot be told what it says, and what is wrong with it, a line a fault."""
    try:
        manifest = parse_manifest(raw)
    except ValidationError as error:
        return None, [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    except ValueError as error:
        return None, [str(error)]
    faults = _check_form(raw, manifest) + _check_bases(manifest) + _check_summary(manifest) + _check_files(manifest)
    try:
        allowed = manifest_buckets(manifest)
    except ValueError as error:
        return manifest, [*faults, f"base_resolutions and divisible: {error}"]
    return manifest, faults + _check_buckets(manifest, allowed)


def _check_form(raw: Mapping[str, object], manifest: Manifest) -> list[str]:
    faults = []
    if dump_manifest(raw) != dump_manifest(manifest.dump()):
        faults.append("the keys are not in the order of the format, or a number is not of its type")
    if manifest.export_id != (expected := export_id(raw)):
        faults.append(f"export_id is {manifest.export_id}, but the content's is {expected}")
    return faults


def _check_buckets(manifest: Manifest, allowed: Mapping[str, Bucket]) -> list[str]:
    faults = []
    if list(manifest.buckets) != sorted(manifest.buckets):
        faults.append("buckets are not in the string order of their ids")
    for bucket_id, entry in manifest.buckets.items():
        faults += [f"buckets.{bucket_id}: {fault}" for fault in _check_bucket(entry, allowed.get(bucket_id))]
        faults += [f"buckets.{bucket_id}: {fault}" for fault in _check_shards(manifest, bucket_id)]
    used = sorted({allowed[bucket_id].proto for bucket_id in manifest.buckets if bucket_id in allowed})
    if [(proto.width, proto.height) for proto in manifest.proto_buckets_1024] != used:
        faults.append("proto_buckets_1024 are not the protos in use, by width, then height")
    return faults


def _check_bases(manifest: Manifest) -> list[str]:
    bases, faults = manifest.base_resolutions, []
    if list(bases) != sorted(set(bases), reverse=True):
        faults.append("base_resolutions are not descending, each once")
    if manifest.base_resolution != bases[0]:
        faults.append(f"base_resolution is {manifest.base_resolution}, but the first of base_resolutions is {bases[0]}")
    if manifest.format != (expected := format_of(bases)):
        faults.append(f"format is {manifest.format}, but {len(bases)} base resolutions make it {expected}")
    return faults


def _check_summary(manifest: Manifest) -> list[str]:
    names, summary = list(manifest.summary), manifest.summary
    if tuple(names[: len(_FIRST_COUNTERS)]) != _FIRST_COUNTERS:
        return [f"summary does not start with {', '.join(_FIRST_COUNTERS)}"]
    faults, seen, rest = [], summary["images_seen"], sum(summary[name] for name in names[1:])
    if seen != rest:
        faults.append(f"summary: images_seen is {seen}, but the other counters add up to {rest}")
    if summary["images_exported"] != (held := sum(entry.count for entry in manifest.buckets.values())):
        faults.append(f"summary: images_exported is {summary['images_exported']}, but the buckets hold {held}")
    return faults


def _check_files(manifest: Manifest) -> list[str]:
    paths = [file.path for file in manifest.files or ()]
    tars = {shard.path for entry in manifest.buckets.values() for shard in entry.shards}
    taken = {EXPORT_CARD, EXPORT_MANIFEST} | tars
    wrong = [path for path in paths if path in taken or not _is_path(path)]
    faults = [f"files: {path!r} is not the path of another file" for path in wrong]
    if paths != sorted(set(paths)):
        faults.append("files are not in the string order of their paths, each once")
    return faults


def _is_path(path: str) -> bool:
    """Return whether a path stays inside the export, and is written the one way that there is."""
    pure = PurePosixPath(path)
    return str(pure) == path != "." and path.isprintable() and not pure.is_absolute() and ".." not in pure.parts


def _check_bucket(entry: BucketEntry, bucket: Bucket | None) -> list[str]:
    if bucket is None:
        return ["base_resolutions and divisible make no bucket of this id"]
    expected = (proto_id(bucket.proto), bucket.target, bucket.base)
    if (entry.proto, (entry.scaled.w, entry.scaled.h), entry.base_resolution) != expected:
        width, height = bucket.target
        return [
            f"proto, scaled and base_resolution should be {proto_id(bucket.proto)}, {width}x{height}, {bucket.base}"
        ]
    return []


def _check_shards(manifest: Manifest, bucket_id: str) -> list[str]:
    entry, size, faults = manifest.buckets[bucket_id], manifest.export_settings.shard_size, []
    name = re.compile(re.escape(f"buckets/{bucket_id}/shard-") + r"([0-9]{6}|[1-9][0-9]{6,11})\.tar")
    matches = [name.fullmatch(shard.path) for shard in entry.shards]
    faults += [
        f"{shard.path!r} is not a shard's path"
        for shard, match in zip(entry.shards, matches, strict=True)
        if match is None
    ]
    numbers = [int(match[1]) for match in matches if match]
    if numbers != sorted(set(numbers)):
        faults.append("the shards are not in the order of their numbers, each once")
    faults += [f"{shard.path} has more than {size} samples" for shard in entry.shards if shard.count > size]
    if entry.count != (held := sum(shard.count for shard in entry.shards)):
        faults.append(f"count is {entry.count}, but its shards hold {held}")
    return faults
