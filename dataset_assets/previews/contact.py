"""The contact sheet of an export: the first samples of its largest buckets, drawn again when the manifest changes."""

from hashlib import sha256
from itertools import islice

from dataset_assets.dataset import Dataset
from dataset_assets.errors import StorageError
from dataset_assets.freshness import fingerprint
from dataset_assets.previews.sheet import TILES, SheetBucket, SheetSample, draw_sheet
from dataset_assets.release.manifest import BucketEntry, open_manifest
from dataset_assets.shards.sample import MEMBERS
from dataset_assets.shards.tar import TarError, TarReader
from dataset_assets.stages import Stage
from dataset_assets.storage.atomic import write_bytes
from dataset_assets.storage.layout import EXPORT_MANIFEST
from dataset_assets.storage.location import Location
from dataset_assets.work import Outcome, begin, holding_lock

_BUCKETS = 12  # more than a sheet has room for


@holding_lock()
def write_sheet(dataset: Dataset, *, force: bool = False) -> Outcome:
    """Return what became of the contact sheet, after drawing it unless it shows this manifest's export.

    Raises OrderError when there is no manifest yet, StorageError where the export is not what its manifest lists.
    """
    work = begin(dataset, Stage.CONTACT_SHEET, force=force)
    if isinstance(work, Outcome):
        return work
    sheet = draw_export(dataset.layout.export, title=dataset.settings.dataset.name)
    output = sha256(sheet).hexdigest()
    work.replace()
    write_bytes(dataset.layout.contact_sheet, sheet)
    work.put(dataset.layout.contact_sheet, made_from=fingerprint(work.inputs), output=output)
    return work.finish(output=output, report={"bytes": len(sheet)})


def draw_export(export: Location, *, title: str) -> bytes:
    """Return the contact sheet as a PNG; needs nothing but the export's folder.

    Raises StorageError where the export is not what its manifest lists.
    """
    manifest = open_manifest(export / EXPORT_MANIFEST)
    largest = sorted(manifest.buckets.items(), key=lambda item: (-item[1].count, item[0]))[:_BUCKETS]
    try:
        return draw_sheet([_show_bucket(export, bucket_id, entry) for bucket_id, entry in largest], title=title)
    except OSError as error:  # Pillow's, of an image
        raise StorageError(f"an image in {export} is damaged: {error}; `dataset-assets verify` names it") from None


def _show_bucket(export: Location, bucket_id: str, entry: BucketEntry) -> SheetBucket:
    samples: list[SheetSample] = []
    for shard in entry.shards:
        samples += _first_samples(export / shard.path, TILES - len(samples))
        if len(samples) == TILES:
            break
    return SheetBucket(id=bucket_id, target=(entry.scaled.w, entry.scaled.h), count=entry.count, samples=samples)


def _first_samples(path: Location, count: int) -> list[SheetSample]:
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
