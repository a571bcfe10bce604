"""The contact sheet of an export: the first samples of its largest buckets. Needs nothing but the export's folder."""

from itertools import islice
from pathlib import Path

from dataset_assets.errors import StorageError
from dataset_assets.release.manifest import BucketEntry, load_manifest, parse_manifest
from dataset_assets.release.sheet import TILES, SheetBucket, SheetSample, draw_sheet
from dataset_assets.shards.sample import MEMBERS
from dataset_assets.shards.tar import TarError, TarReader
from dataset_assets.storage.layout import EXPORT_MANIFEST

_BUCKETS = 12  # more than a sheet has room for


def draw_export(export: Path, *, title: str) -> bytes:
    """Return the contact sheet as a PNG. Raises StorageError where the export is not what its manifest lists."""
    manifest = parse_manifest(load_manifest(export / EXPORT_MANIFEST))
    largest = sorted(manifest.buckets.items(), key=lambda item: (-item[1].count, item[0]))[:_BUCKETS]
    try:
        return draw_sheet([_show_bucket(export, bucket_id, entry) for bucket_id, entry in largest], title=title)
    except OSError as error:  # Pillow's, of an image
        raise StorageError(f"an image in {export} is damaged: {error}; `dataset-assets verify` names it") from None


def _show_bucket(export: Path, bucket_id: str, entry: BucketEntry) -> SheetBucket:
    samples: list[SheetSample] = []
    for shard in entry.shards:
        samples += _first_samples(export / shard.path, TILES - len(samples))
        if len(samples) == TILES:
            break
    return SheetBucket(id=bucket_id, target=(entry.scaled.w, entry.scaled.h), count=entry.count, samples=samples)


def _first_samples(path: Path, count: int) -> list[SheetSample]:
    """Return the first samples of a tar."""
    try:
        with path.open("rb") as file:
            data = [member.data for member in islice(TarReader(file), count * len(MEMBERS))]
        pairs = zip(data[0 :: len(MEMBERS)], data[1 :: len(MEMBERS)], strict=True)
        return [SheetSample(jpeg=jpeg, caption=text.decode().removesuffix("\n")) for jpeg, text in pairs]
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from None
    except (TarError, ValueError) as error:
        raise StorageError(f"{path} is damaged: {error}") from None
