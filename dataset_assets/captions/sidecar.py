"""Captions that lie beside the images: photo.txt, photo.caption, or a field of photo.json."""

import json
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from dataset_assets.captions.sources import list_extensions, live_sources, register_variants
from dataset_assets.catalog.captions import (
    CaptionSource,
    CaptionStatus,
    put_captions,
    seated_captions,
)
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import caption_stage, fingerprint
from dataset_assets.progress import Progress, Silence
from dataset_assets.settings import VariantSettings
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import read_plan
from dataset_assets.sources.base import LARGEST_SIDECAR, split_sidecars
from dataset_assets.work import Outcome, begin, holding_lock

_BATCH = 1000  # captions a transaction


@holding_lock("key")
def read_captions(
    dataset: Dataset, variant: VariantSettings, key: str, *, force: bool = False, progress: Progress | None = None
) -> Outcome:
    """Return what became of a variant's captions of one partition, after reading those whose files changed.

    Raises OrderError for a partition without a plan.
    """
    work = begin(dataset, caption_stage(variant.name), key, force=force)
    if isinstance(work, Outcome):
        return work
    progress = progress or Silence()
    with dataset.catalog.writing() as connection:
        source = register_variants(connection, dataset.settings.captions)[variant.name]
        sources = live_sources(connection, dataset.settings.captions)
    plan = read_plan(dataset, key).select(["id", "source", "uri", "sidecars"]).to_pylist()
    before = [] if force else _captions_of(dataset, key, {source.id})
    known = {row["id"]: row["input_version"] for row in before}
    progress.start(work.stage, len(plan), "captions")
    read = 0
    for start in range(0, len(plan), _BATCH):
        batch = plan[start : start + _BATCH]
        rows = list(_read_changed(dataset, variant, source, batch, known))
        with dataset.catalog.writing() as connection:
            put_captions(connection, rows)
        read += len(rows)
        progress.advance(len(batch))
    progress.finish()
    captions = _captions_of(dataset, key, {one.id for one in sources if one.variant == variant.name})
    own = [row for row in captions if row["caption_source"] == source.id]
    return work.finish(
        output=fingerprint([(row["slot"], row["caption_source"], row["status"], row["text"]) for row in captions]),
        report={
            "images": len(plan),
            "read": read,
            "statuses": dict(Counter(row["status"] for row in own)),
            "retry": sum(1 for row in own if not row["input_version"]),
        },
    )


def parse_caption(data: bytes, field: str | None) -> tuple[CaptionStatus, str, str]:
    """Return the status of a caption file, its text, and what is wrong with it.

    The file is UTF-8, with or without a byte order mark; white space around the text is not part of it. With `field`
    the file is a JSON object and the text one of its values.
    """
    if len(data) > LARGEST_SIDECAR:
        return CaptionStatus.ERROR, "", f"a caption file has at most {LARGEST_SIDECAR} bytes"
    try:
        text = data.decode("utf-8-sig")
        value: Any = json.loads(text) if field is not None else text
    except UnicodeDecodeError as error:
        return CaptionStatus.ERROR, "", f"not UTF-8: {error.reason} at byte {error.start}"
    except (ValueError, RecursionError) as error:
        return CaptionStatus.ERROR, "", f"not JSON: {error}"
    if field is not None:
        if not isinstance(value, dict):
            return CaptionStatus.ERROR, "", "not a JSON object"
        value = value.get(field)
        if value is None:
            return CaptionStatus.UNAVAILABLE, "", f"no field {field}"
        if not isinstance(value, str):
            return CaptionStatus.ERROR, "", f"{field} is a {type(value).__name__}, not text"
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        return CaptionStatus.ERROR, "", "holds characters that no text has (NUL or half of a surrogate pair)"
    stripped = value.strip()
    return (CaptionStatus.OK, stripped, "") if stripped else (CaptionStatus.EMPTY, "", "")


def _read_changed(
    dataset: Dataset,
    variant: VariantSettings,
    source: CaptionSource,
    plan: Iterable[Mapping[str, Any]],
    known: Mapping[int, str],
) -> Iterator[dict[str, Any]]:
    """Yield a row of the catalog for each image whose caption file is not the one that was read before."""
    for row in plan:
        extension, version = _choose_file(variant, row["sidecars"])
        if known.get(row["id"]) == version:
            continue
        status, text, detail = CaptionStatus.UNAVAILABLE, "", ""
        if extension:
            try:
                data = dataset.sources[row["source"]].read_sidecar(row["uri"], extension)
            except OSError as error:
                # Not the version's: it is tried again by the next build.
                status, detail, version = CaptionStatus.ERROR, error.strerror or str(error), ""
            else:
                status, text, detail = (status, "", "") if data is None else parse_caption(data, variant.field)
        yield {
            "image": row["id"],
            "caption_source": source.id,
            "status": status.value,
            "text": text,
            "detail": detail,
            "input_version": version,
            "created_at": time.time(),
        }


def _choose_file(variant: VariantSettings, sidecars: str) -> tuple[str, str]:
    """Return the extension on disk and the version of the file that a variant reads, empty where there is none."""
    there = split_sidecars(sidecars)
    for wanted in list_extensions(variant):
        for extension, version in there.items():
            if extension.lower() == wanted:
                return extension, f"{extension}:{version}"
    return "", "none"


def _captions_of(dataset: Dataset, key: str, sources: Container[int]) -> list[dict[str, Any]]:
    """Return the captions of a partition that come from these sources, by slot and source."""
    partition = Partition.parse(key)
    with dataset.catalog.reading() as connection:
        table = seated_captions(connection, partition.bucket_id, partition.slots(dataset.settings.shards.shard_size))
    rows = [row for row in table.to_pylist() if row["caption_source"] in sources]
    return sorted(rows, key=lambda row: (row["slot"], row["caption_source"]))
