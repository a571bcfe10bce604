"""All that is known of one sample: its image, its captions, what the export has of it. Nothing is printed here."""

from dataclasses import asdict, dataclass
from typing import Any

from dataset_assets.captions.reports.explain import Explanation, explain_image, explain_images
from dataset_assets.captions.reports.find import is_named
from dataset_assets.catalog.lookup import images_seated
from dataset_assets.dataset import Dataset
from dataset_assets.errors import StorageError
from dataset_assets.shards.locate import Stored, find_key, find_number, names_sample
from dataset_assets.sources.folder import FolderSource, decode_uri
from dataset_assets.sources.walk import show_path
from dataset_assets.storage.layout import shard_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """An image as it is now, and the sample that the export has of it."""

    now: Explanation
    path: str  # of its file on disk; "" where it is a part of another file, or its source is gone from the settings
    stored: Stored | None  # None where the export does not have it
    missing: str  # why the export does not have it, "" where it does
    pending: str  # what the next build changes about what is stored, "" for nothing

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON's types; what is known of the image stands at the top."""
        beside = {"path": self.path, "missing": self.missing, "pending": self.pending}
        return asdict(self.now) | beside | {"stored": asdict(self.stored) if self.stored else None}


def describe_sample(dataset: Dataset, name: str) -> Description:
    """Return all that is known of the sample that `name` means.

    That is an image as captions/reports/find.py finds it, or a tar and a number as shards/locate.py does; an image that
    is called like that comes first. Raises DatasetError where there is no such, or several; StorageError where what is
    needed to say it is damaged.
    """
    if names_sample(name) and not is_named(dataset, name):
        stored = find_number(dataset.layout, name)
        return _describe(dataset, _explain_stored(dataset, stored), stored, "")
    now = explain_image(dataset, name, also="SHARD:N, ")
    if now.slot < 0:
        return _describe(dataset, now, None, now.no_crop)
    shard, damage = shard_path(now.bucket_id, now.shard), ""
    try:
        found = find_key(dataset.layout, shard, now.key)
    except StorageError as error:
        found, damage = None, str(error)
    return _describe(dataset, now, found, damage or _tell_left_out(dataset, now) or f"it is not in {shard} yet: build")


def _explain_stored(dataset: Dataset, stored: Stored) -> Explanation:
    """Return what there is to say of the image that a sample was made of; others may have its id, but no slot."""
    with dataset.catalog.reading() as connection:
        seated = images_seated(connection, [stored.row["image_id"]])
    return explain_images(dataset, seated)[0] if seated else explain_image(dataset, stored.row["image_id"])


def _describe(dataset: Dataset, now: Explanation, stored: Stored | None, missing: str) -> Description:
    source = dataset.sources.get(now.source)
    path = show_path(str(source.path / decode_uri(now.uri))) if isinstance(source, FolderSource) else ""
    pending = _tell_pending(dataset, now, stored) if stored else ""
    return Description(now=now, path=path, stored=stored, missing="" if stored else missing, pending=pending)


def _tell_left_out(dataset: Dataset, now: Explanation) -> str:
    """Return why the image is left out by the settings and captions as they are now, "" where it is exported."""
    if now.no_crop:
        return now.no_crop
    dropped = now.drop or (now.selector_index < 0 and dataset.settings.captions.missing_caption_policy == "drop")
    return now.why if dropped else ""


def _tell_pending(dataset: Dataset, now: Explanation, stored: Stored) -> str:
    """Return in what a stored sample is behind."""
    if left_out := _tell_left_out(dataset, now):
        return f"the next build takes it out: {left_out}"
    if stored.shard != (shard := shard_path(now.bucket_id, now.shard)):
        return f"the next build puts it into {shard}"
    if stored.row["caption"] != now.text:
        return f"the next build replaces the caption that the tar has: {stored.row['caption'] or 'none'}"
    return ""
