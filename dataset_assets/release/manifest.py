"""manifest.json: its data model, and how it is built from counts and shards (docs/format.md, manifest.json).

Pure data: no catalog and no file but the manifest itself. The models are the table of keys: their fields stand in the
order of the file. Whether what a manifest says fits together is checked in check.py, and whether the shards are what it
says of them in shards/verify.py.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dataset_assets.buckets.protos import proto_id
from dataset_assets.errors import DropReason, IncompleteError, StorageError
from dataset_assets.records import Bucket
from dataset_assets.settings import CropSettings, Settings
from dataset_assets.storage.location import Location

Format = Literal["bucketed_shards_v1", "bucketed_shards_v2"]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=1, le=65535)]  # pixels: a JPEG has no longer one
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PromptDigest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]  # "" where there is no prompt

_NO_CONTENT = ("created_at", "export_id", "summary", "files")  # keys that do not shape the export id


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ShardEntry(_Entry):
    """One tar: its path in the export, its samples, its size in bytes and its hash."""

    path: str
    count: Positive
    bytes: Positive
    sha256: Digest


class FileEntry(_Entry):
    """Another file of the export: its path there, its size in bytes and its hash."""

    path: str
    bytes: Count
    sha256: Digest


class SourceEntry(_Entry):
    """One caption source. Prompts are named by their hashes; their texts never enter an export."""

    backend: str
    model: str
    created_at: Count  # unix seconds
    system_prompt_sha256: PromptDigest
    user_prompt_sha256: PromptDigest


class Codec(_Entry):
    """How the stored JPEGs were made."""

    name: Literal["jpeg"] = "jpeg"
    mode: Literal["reencode_jpeg", "passthrough_jpeg"]
    quality: Annotated[int, Field(ge=1, le=100)]
    subsampling_policy: Literal["adaptive_scale", "444", "420"]
    adaptive_scale_threshold: Annotated[float, Field(ge=0, le=1)]


class Selector(_Entry):
    """One step of the waterfall."""

    variant: Annotated[str, Field(min_length=1)]
    backend: str | None = None  # absent where the step does not ask for one
    model: str | None = None


class ExportSettings(_Entry):
    """Settings that shape the content and have no key of their own. Another version may add some."""

    model_config = ConfigDict(extra="allow")

    shard_size: Positive
    icc: Literal["srgb", "ignore"]
    max_pixels: Positive
    protos: tuple[str, ...] | None = None  # "1216x832", where they are not the 40 of SDXL


class Proto(_Entry):
    """A proto size at the 1024 base."""

    width: Side
    height: Side


class Target(_Entry):
    """The size of a bucket's crops, pixels."""

    w: Side
    h: Side


class BucketEntry(_Entry):
    """One bucket and its tars."""

    proto: str  # p<W>x<H>
    scaled: Target
    base_resolution: Side
    count: Positive
    shards: Annotated[tuple[ShardEntry, ...], Field(min_length=1)]


class Manifest(_Entry):
    """manifest.json, key by key."""

    format: Format
    created_at: Annotated[
        str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}\+00:00$")
    ]
    export_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    base_resolution: Side  # the largest
    base_resolutions: Annotated[tuple[Side, ...], Field(min_length=1)]  # descending
    divisible: Side
    image_codec: Codec
    crop: CropSettings  # corner_jitter is absent where there is none
    caption_priority: tuple[Selector, ...]
    missing_caption_policy: Literal["empty", "drop"]
    too_small_policy: Literal["drop", "next_bucket"]
    export_settings: ExportSettings
    proto_buckets_1024: tuple[Proto, ...]  # those in use, by width, then height
    caption_sources: dict[Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,17})$")], SourceEntry]  # by caption_source_id
    buckets: dict[str, BucketEntry]  # in string order of the ids
    summary: dict[str, Count]
    # What lies beside the tars, README.md apart, in the string order of the paths; absent where there is nothing.
    files: Annotated[tuple[FileEntry, ...], Field(min_length=1)] | None = None

    def dump(self) -> dict[str, object]:
        """Return the manifest as JSON's types."""
        data = self.model_dump(mode="json", exclude_none=True)
        if not self.crop.corner_jitter:
            del data["crop"]["corner_jitter"]
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketShards:
    """A bucket, how many samples it must have, and its tars in order of their numbers."""

    bucket: Bucket
    count: int
    shards: tuple[ShardEntry, ...]


def build_manifest(
    settings: Settings,
    *,
    created_at: str,
    buckets: Iterable[BucketShards],
    caption_sources: Mapping[int, SourceEntry],
    images_seen: int,
    drops: Mapping[DropReason, int],
    files: Iterable[FileEntry] = (),
) -> dict[str, object]:
    """Return the manifest of these shards, with its export id.

    `created_at` is ISO 8601 in UTC with microseconds and +00:00. A bucket without shards is left out. Raises
    IncompleteError unless the shards add up to each bucket's count, and exported and dropped images to `images_seen`.
    """
    used = sorted((entry for entry in buckets if _complete(entry)), key=lambda entry: entry.bucket.id)
    bases = sorted(set(settings.buckets.base_resolutions), reverse=True)
    protos = sorted({entry.bucket.proto for entry in used})
    manifest = Manifest(
        format=format_of(bases),
        created_at=created_at,
        export_id="0" * 16,
        base_resolution=bases[0],
        base_resolutions=tuple(bases),
        divisible=settings.buckets.divisible,
        image_codec=_codec(settings),
        crop=settings.images.crop,
        caption_priority=tuple(Selector(**step.model_dump()) for step in settings.captions.priority),
        missing_caption_policy=settings.captions.missing_caption_policy,
        too_small_policy=settings.buckets.too_small_policy,
        export_settings=_export_settings(settings),
        proto_buckets_1024=tuple(Proto(width=width, height=height) for width, height in protos),
        caption_sources={str(number): caption_sources[number] for number in sorted(caption_sources)},
        buckets={entry.bucket.id: _bucket_entry(entry) for entry in used},
        summary=_summary(images_seen, sum(entry.count for entry in used), drops),
        files=tuple(sorted(files, key=lambda file: file.path)) or None,
    ).dump()
    return manifest | {"export_id": export_id(manifest)}


def format_of(base_resolutions: Sequence[int]) -> Format:
    """Return the format's name: v1 with one base resolution, v2 with several."""
    return "bucketed_shards_v1" if len(base_resolutions) == 1 else "bucketed_shards_v2"


def export_id(manifest: Mapping[str, object]) -> str:
    """Return the 16 hexadecimal digits that name a manifest's content, whatever `export_id` it holds.

    The tars' hashes and the settings shape it; when it was made, what was left out, and the files that only repeat
    what the tars hold do not.
    """
    content = {key: value for key, value in manifest.items() if key not in _NO_CONTENT}
    sources = content.pop("caption_sources")
    assert isinstance(sources, Mapping)
    content["caption_sources"] = {
        number: {key: value for key, value in source.items() if key != "created_at"}
        for number, source in sources.items()
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()[:16]


def dump_manifest(manifest: Mapping[str, object]) -> bytes:
    """Return the bytes of manifest.json."""
    return (json.dumps(manifest, ensure_ascii=False, indent=2) + "\n").encode()


def load_manifest(path: Location) -> dict[str, object]:
    """Return what manifest.json says, unchecked. Raises StorageError where it is missing or not a JSON object."""
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{path} is not JSON: {error}") from None
    if not isinstance(manifest, dict):
        raise StorageError(f"{path} is not a JSON object")
    return manifest


def parse_manifest(manifest: Mapping[str, object]) -> Manifest:
    """Return the manifest with every key, type and value range checked. Raises ValueError, a line a fault."""
    return Manifest.model_validate_json(dump_manifest(manifest))


def open_manifest(path: Location) -> Manifest:
    """Return the manifest in a file, checked. Raises StorageError where it is missing or is not a manifest."""
    try:
        return parse_manifest(load_manifest(path))
    except ValueError as error:
        raise StorageError(f"{path} is not a manifest: {error}") from None


def _complete(entry: BucketShards) -> bool:
    """Return whether a bucket has shards. Raises IncompleteError unless they add up."""
    held = sum(shard.count for shard in entry.shards)
    if held != entry.count:
        raise IncompleteError(f"bucket {entry.bucket.id} has {entry.count} samples, but its shards hold {held}")
    return bool(entry.shards)


def _codec(settings: Settings) -> Codec:
    images = settings.images
    return Codec(
        mode=images.mode,
        quality=images.quality,
        subsampling_policy=images.subsampling_policy,
        adaptive_scale_threshold=images.adaptive_scale_threshold,
    )


def _export_settings(settings: Settings) -> ExportSettings:
    return ExportSettings(
        shard_size=settings.shards.shard_size,
        icc=settings.images.icc,
        max_pixels=settings.images.max_pixels,
        protos=settings.buckets.protos or None,
    )


def _bucket_entry(entry: BucketShards) -> BucketEntry:
    width, height = entry.bucket.target
    return BucketEntry(
        proto=proto_id(entry.bucket.proto),
        scaled=Target(w=width, h=height),
        base_resolution=entry.bucket.base,
        count=entry.count,
        shards=entry.shards,
    )


def _summary(seen: int, exported: int, drops: Mapping[DropReason, int]) -> dict[str, int]:
    dropped = {reason.value: drops.get(reason, 0) for reason in DropReason}
    if seen != exported + sum(dropped.values()):
        raise IncompleteError(
            f"{seen} images were seen, but {exported} are exported and {sum(dropped.values())} dropped with a reason"
        )
    return {"images_seen": seen, "images_exported": exported, **dropped}
