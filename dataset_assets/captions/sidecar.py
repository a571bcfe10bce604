"""Captions that lie beside the images: photo.txt, photo.caption, or a field of photo.json."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dataset_assets.captions.sources import list_extensions, register_variants
from dataset_assets.captions.stage import finish_captions, list_captions
from dataset_assets.catalog.captions import CaptionSource, CaptionStatus, put_captions
from dataset_assets.dataset import Dataset
from dataset_assets.progress import Progress, Silence
from dataset_assets.settings import SidecarSettings
from dataset_assets.shards.plan import read_plan
from dataset_assets.sources.base import LARGEST_SIDECAR, count_at_once, split_sidecars
from dataset_assets.stages import caption_stage
from dataset_assets.work import Outcome, begin, holding_lock

_BATCH = 1000  # captions a transaction
_File = tuple[Mapping[str, Any], str, str]  # of a row of the plan, with extension and version, "" where there is none
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@holding_lock("key")
def read_captions(
    dataset: Dataset, variant: SidecarSettings, key: str, *, force: bool = False, progress: Progress | None = None
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
    plan = read_plan(dataset, key).select(["id", "source", "uri", "sidecars"]).to_pylist()
    before = [] if force else list_captions(dataset, key, {source.id})
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
    return finish_captions(work, source, {"images": len(plan), "read": read}, retry=_is_retried)


def _is_retried(caption: Mapping[str, Any]) -> bool:
    """Return whether a caption's file could not be read at all: it is tried again by every build."""
    return not caption["input_version"]


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
            return CaptionStatus.MISSING, "", f"no field {field}"
        if not isinstance(value, str):
            return CaptionStatus.ERROR, "", f"{field} is a {type(value).__name__}, not text"
    if _NO_TEXT.search(value):
        return CaptionStatus.ERROR, "", "holds characters that no text has (NUL or half of a surrogate pair)"
    stripped = value.strip()
    return (CaptionStatus.OK, stripped, "") if stripped else (CaptionStatus.EMPTY, "", "")


def _read_changed(
    dataset: Dataset,
    variant: SidecarSettings,
    source: CaptionSource,
    plan: Iterable[Mapping[str, Any]],
    known: Mapping[int, str],
) -> Iterator[dict[str, Any]]:
    """Yield a row of the catalog for each image whose caption file is not the one that was read before."""
    chosen = ((row, *_choose_file(variant, row["sidecars"])) for row in plan)
    changed = [one for one in chosen if known.get(one[0]["id"]) != _name_version(*one[1:])]
    for (row, extension, listed), data in zip(changed, _read_files(dataset, changed), strict=True):
        status, text, detail, version = CaptionStatus.MISSING, "", "", _name_version(extension, listed)
        if isinstance(data, OSError):
            # Not the version's: it is tried again by the next build.
            status, detail, version = CaptionStatus.ERROR, data.strerror or str(data), ""
        elif data is not None:
            status, text, detail = parse_caption(data, variant.field)
        yield {
            "image": row["id"],
            "caption_source": source.id,
            "status": status.value,
            "text": text,
            "detail": detail,
            "input_version": version,
            "created_at": time.time(),
        }


def _name_version(extension: str, listed: str) -> str:
    """Return what a caption of a file was made from."""
    return f"{extension}:{listed}" if extension else "none"


def _read_files(dataset: Dataset, files: list[_File]) -> Iterator[bytes | OSError | None]:
    """Yield what is in each file, None where there is none, or why it cannot be read; several wait at a time."""
    at_once = count_at_once(dataset.sources[row["source"]] for row, extension, _ in files if extension)
    if at_once == 1:
        yield from (_read_file(dataset, *file) for file in files)
        return
    with ThreadPoolExecutor(at_once) as threads:
        yield from threads.map(lambda file: _read_file(dataset, *file), files)


def _read_file(dataset: Dataset, row: Mapping[str, Any], extension: str, listed: str) -> bytes | OSError | None:
    if not extension:
        return None
    try:
        return dataset.sources[row["source"]].read_sidecar(row["uri"], extension, listed)
    except OSError as error:
        return error


def _choose_file(variant: SidecarSettings, sidecars: str) -> tuple[str, str]:
    """Return the extension on disk and the version of the file that a variant reads, both "" where there is none."""
    there = split_sidecars(sidecars)
    for wanted in list_extensions(variant):
        for extension, version in there.items():
            if extension.lower() == wanted:
                return extension, version
    return "", ""
