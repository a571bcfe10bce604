"""An export as it is compared: what its manifest says, and the tars that it lists. No tar is opened here.

Ours and a publisher's are taken alike: of a tar only its path must be known. Whether a manifest is right in all that it
says is release/check.py's to say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dataset_assets.errors import StorageError
from dataset_assets.release.manifest import load_manifest
from dataset_assets.storage.layout import EXPORT_MANIFEST
from dataset_assets.trainer.tars.verify import find_kinds

_SINGLE_BASE = "bucketed_shards_v1"
_FORMATS = (_SINGLE_BASE, "bucketed_shards_v2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tar:
    """One tar that a manifest lists."""

    path: str  # in the export, `/`-separated
    bucket: str  # its id
    count: int | None  # samples, None where that is not said
    bytes: int | None
    sha256: str  # "" where that is not said


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """The folder of an export."""

    folder: Path
    manifest: Mapping[str, object]
    tars: tuple[Tar, ...]  # in the manifest's order

    def say(self, key: str) -> str:
        """Return what the manifest says under a key, "" where that is no text."""
        value = self.manifest.get(key)
        return value if isinstance(value, str) else ""

    @property
    def base(self) -> object:
        """The base resolution, where there can be only one and ids do not name it; else None."""
        return self.manifest.get("base_resolution") if self.manifest.get("format") == _SINGLE_BASE else None

    def name_bucket(self, bucket: str) -> str:
        """Return a bucket's id with its base resolution in it, in both versions of the format."""
        return bucket if self.base is None else f"r{self.base}_{bucket}"


def open_export(folder: Path) -> Export:
    """Return the export in a folder. Raises StorageError, which says what the folder is where it is none."""
    path = folder / EXPORT_MANIFEST
    if not path.exists():
        raise StorageError(_explain_none(folder))
    manifest = load_manifest(path)
    if manifest.get("format") not in _FORMATS:
        raise StorageError(
            f"{path} is of the format {manifest.get('format')!r:.80}; compared are {', '.join(_FORMATS)}"
        )
    tars = tuple(_list_tars(path, manifest))
    if len({tar.path for tar in tars}) < len(tars):
        raise StorageError(f"{path} lists a tar twice; `dataset-assets verify {folder}` names it")
    return Export(folder=folder, manifest=manifest, tars=tars)


def find_equal(a: Export, b: Export) -> dict[str, int]:
    """Return the tars that are the same in both, by path, and how many samples each has.

    They are listed with the same hash and lie there with the size that is listed: what is in them need not be read.
    """
    there = {tar.path: tar for tar in a.tars}
    pairs = ((there[tar.path], tar) for tar in b.tars if tar.path in there)
    return {
        one.path: one.count
        for one, other in pairs
        if one.count is not None
        and one.sha256
        and (one.sha256, one.count, one.bytes) == (other.sha256, other.count, other.bytes)
        and a.name_bucket(one.bucket) == b.name_bucket(other.bucket)
        and _is_whole(a, one)
        and _is_whole(b, other)
    }


def _is_whole(export: Export, tar: Tar) -> bool:
    try:
        return tar.bytes is None or (export.folder / tar.path).stat().st_size == tar.bytes
    except OSError:
        return False  # who reads it says why


def _explain_none(folder: Path) -> str:
    for inner in (folder / "export", folder / "data" / "export"):
        if (inner / EXPORT_MANIFEST).exists():
            return f"{folder} has no {EXPORT_MANIFEST}, but {inner} has one: compare that folder"
    if find_kinds(folder):
        return f"{folder} holds numbered tars of caption records; only bucketed exports, with a manifest, are compared"
    return f"{folder} has no {EXPORT_MANIFEST}: it is not a bucketed export"


def _list_tars(path: Path, manifest: Mapping[str, object]) -> Iterator[Tar]:
    buckets = manifest.get("buckets")
    if not isinstance(buckets, dict):
        raise StorageError(f"{path} lists no buckets")
    for bucket, entry in buckets.items():
        shards = entry.get("shards") if isinstance(entry, dict) else None
        if not isinstance(shards, list):
            raise StorageError(f"{path} lists no shards of the bucket {bucket!r:.80}")
        yield from (_parse_tar(path, bucket, shard) for shard in shards)


def _parse_tar(manifest: Path, bucket: str, entry: object) -> Tar:
    said = entry if isinstance(entry, dict) else {"path": entry}
    path, count, size, digest = (said.get(key) for key in ("path", "count", "bytes", "sha256"))
    if not isinstance(path, str):
        raise StorageError(f"{manifest} lists a shard of the bucket {bucket!r:.80} without a path")
    if "/" not in path:
        path = f"buckets/{bucket}/{path}"
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not path.isprintable():
        raise StorageError(f"{manifest} lists {path!r:.200}, which is not a path in the export")
    return Tar(
        path=str(parts),
        bucket=bucket,
        count=count if isinstance(count, int) and count >= 0 else None,
        bytes=size if isinstance(size, int) else None,
        sha256=digest if isinstance(digest, str) else "",
    )
