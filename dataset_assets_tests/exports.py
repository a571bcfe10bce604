"""A small good export, and the ways into it: samples before it is written, files and manifest after."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dataset_assets.buckets.protos import list_buckets
from dataset_assets.errors import DropReason
from dataset_assets.images.encode import choose_subsampling
from dataset_assets.images.geometry import choose_corner, cover_scale, cover_size, crop_box
from dataset_assets.records import Bucket, sample_key
from dataset_assets.release.manifest import (
    BucketShards,
    FileEntry,
    ShardEntry,
    SourceEntry,
    build_manifest,
    dump_manifest,
    export_id,
)
from dataset_assets.release.webshart import make_webshart
from dataset_assets.settings import Settings, parse_settings
from dataset_assets.shards.index import scan_tar, write_rows, writing_samples
from dataset_assets.shards.sample import NO_CAPTION, sample_members
from dataset_assets.shards.tar import TarWriter
from dataset_assets.storage.layout import shard_path

Members = list[tuple[str, bytes]]

SETTINGS: dict[str, Any] = {
    "buckets": {"base_resolutions": [64], "divisible": 8},
    "shards": {"shard_size": 2},
    "captions": {
        "priority": [{"variant": "caption_title", "backend": "sidecar"}, {"variant": "caption_sidecar"}],
        "variants": [{"name": "caption_title", "field": "title"}, {"name": "caption_sidecar"}],
    },
}
SOURCES = {
    number: SourceEntry(
        backend=backend, model="", created_at=1_776_589_694, system_prompt_sha256="", user_prompt_sha256=""
    )
    for number, backend in [(1, "sidecar"), (2, "import")]
}
SQUARE, WIDE = "p1024x1024", "p1216x832"
SQUARE_0, SQUARE_1, WIDE_0 = shard_path(SQUARE, 0), shard_path(SQUARE, 1), shard_path(WIDE, 0)
CREATED_AT = "2026-02-27T11:42:10.753994+00:00"


@dataclass
class Draft:
    """An export about to be written: its tars' samples, each a list of members, to be damaged by a test."""

    settings: Settings
    tars: dict[str, list[Members]]

    def sample(self, image_id: str) -> Members:
        """Return the members of a sample, to be changed in place."""
        name = f"{sample_key(image_id)}.jpg"
        return next(sample for samples in self.tars.values() for sample in samples if sample[0][0] == name)

    def fields(self, image_id: str, /, **changes: Any) -> None:
        """Change fields of a sample's JSON."""
        members = self.sample(image_id)
        meta = json.loads(members[2][1]) | changes
        members[2] = (members[2][0], json.dumps(meta, ensure_ascii=False, separators=(",", ":")).encode())

    def write(self, folder: Path, *, tables: bool = False) -> None:
        """Write the export, with a manifest that agrees with the tars; with every table beside them if asked for."""
        entries = {path: write_tar(folder, path, samples) for path, samples in self.tars.items()}
        files = write_tables(folder, entries) if tables else []
        (folder / "manifest.json").write_bytes(dump_manifest(make_manifest(self.settings, entries, files)))
        (folder / "README.md").write_text("# A small export\n")


def make_draft(**changes: Any) -> Draft:
    """Return a good export of five samples in three tars of two buckets; `changes` are made to the settings."""
    settings = parse_settings(SETTINGS | changes, folder=Path())
    square, wide = bucket_of(settings, SQUARE), bucket_of(settings, WIDE)
    title, sidecar = ("caption_title", 0, 1), ("caption_sidecar", 1, 2)
    return Draft(
        settings=settings,
        tars={
            SQUARE_0: [
                make_sample(settings, "a.png", (128, 128), square, "a square, α", title),
                make_sample(settings, "b.png", (70, 72), square, "two\nlines", sidecar),
            ],
            SQUARE_1: [make_sample(settings, "c.png", (200, 210), square, "", NO_CAPTION)],
            WIDE_0: [
                make_sample(settings, "sub/d é.png", (150, 100), wide, "wide", title),
                make_sample(settings, "e.png", (72, 49), wide, "wide too", sidecar),
            ],
        },
    )


def bucket_of(settings: Settings, bucket_id: str) -> Bucket:
    """Return a bucket by its id."""
    buckets = list_buckets(settings.buckets)
    return next(bucket for bucket in buckets if bucket.id == bucket_id)


def make_jpeg(size: tuple[int, int], subsampling: str, **options: Any) -> bytes:
    """Return a JPEG of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, subsampling=subsampling, **options)
    return file.getvalue()


def make_sample(
    settings: Settings,
    image_id: str,
    source: tuple[int, int],
    bucket: Bucket,
    caption: str,
    origin: tuple[str, int, int],
) -> Members:
    """Return a sample as the pipeline would make it of a source of this size, but for its pixels."""
    (width, height), rule = bucket.target, settings.images.crop
    scale = cover_scale(source, bucket.target)
    x, y = crop_box(cover_size(source, bucket.target), bucket.target, image_id, rule)
    subsampling = choose_subsampling(scale, settings.images)
    meta = {
        "image_id": image_id,
        "bucket_id": bucket.id,
        "target_w": width,
        "target_h": height,
        "w": width,
        "h": height,
        "src_w": source[0],
        "src_h": source[1],
        "image_mode": settings.images.mode,
        "jpeg": {"quality": settings.images.quality, "subsampling": subsampling},
        "crop": {"scale": scale, "x": x, "y": y, "corner": choose_corner(image_id, rule)},
        "source_sha256": hashlib.sha256(image_id.encode()).hexdigest(),
        "caption_variant": origin[0],
        "caption_selector_index": origin[1],
        "caption_source_id": origin[2],
    }
    return list(sample_members(sample_key(image_id), make_jpeg(bucket.target, subsampling), caption, meta))


def write_tar(folder: Path, path: str, samples: list[Members]) -> ShardEntry:
    """Write a tar and return its entry."""
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with (folder / path).open("wb") as file:
        writer = TarWriter(file)
        for sample in samples:
            for name, data in sample:
                writer.add(name, data)
        writer.close()
    return ShardEntry(path=path, count=len(samples), bytes=writer.bytes, sha256=writer.sha256)


def write_tables(folder: Path, entries: dict[str, ShardEntry]) -> list[FileEntry]:
    """Write samples.parquet, and an index beside each tar; return their entries."""
    rows = {path: list(scan_tar(folder / path, path)) for path in sorted(entries)}
    for path, entry in entries.items():
        (folder / path).with_suffix(".json").write_bytes(make_webshart(entry, rows[path]))
    with writing_samples(folder / "samples.parquet") as table:
        write_rows(table, chain.from_iterable(rows.values()))
    return [make_file(folder, path) for path in ("samples.parquet", *(path[:-4] + ".json" for path in entries))]


def make_file(folder: Path, path: str) -> FileEntry:
    """Return the entry of a file as it is."""
    data = (folder / path).read_bytes()
    return FileEntry(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def list_again(folder: Path, path: str) -> None:
    """Make the manifest say of a file what it is now."""
    entry = make_file(folder, path).model_dump()
    edit_manifest(
        folder, lambda said: said.update(files=[entry if one["path"] == path else one for one in said["files"]])
    )


def make_manifest(
    settings: Settings, entries: dict[str, ShardEntry], files: Iterable[FileEntry] = ()
) -> dict[str, Any]:
    """Return the manifest of these tars, with two images dropped."""
    held: dict[str, list[ShardEntry]] = {}
    for path, entry in entries.items():
        held.setdefault(path.split("/")[1], []).append(entry)
    exported = sum(entry.count for entry in entries.values())
    return build_manifest(
        settings,
        created_at=CREATED_AT,
        buckets=[
            BucketShards(
                bucket=bucket_of(settings, bucket_id), count=sum(entry.count for entry in shards), shards=tuple(shards)
            )
            for bucket_id, shards in held.items()
        ],
        caption_sources=SOURCES,
        images_seen=exported + 3,
        drops={DropReason.TOO_SMALL: 2, DropReason.DECODE_ERROR: 1},
        files=files,
    )


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object], *, sign: bool = True) -> None:
    """Change the manifest of a written export; `sign` gives it the export id of what it then says."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    edit(manifest)
    if sign:
        manifest["export_id"] = export_id(manifest)
    path.write_bytes(dump_manifest(manifest))
