"""The last stages: manifest and card of everything the shards recorded. No tar and no image is opened here.

The files beside the tars are made in files.py.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from dataset_assets.buckets.protos import list_buckets
from dataset_assets.captions.sources import live_sources
from dataset_assets.catalog.captions import CaptionStatus, count_captions, list_sources
from dataset_assets.catalog.state import Piece, load_pieces
from dataset_assets.damage import MODIFIED
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DropReason, IncompleteError
from dataset_assets.freshness import find_state, fingerprint
from dataset_assets.release.card import CaptionUsage, render_card
from dataset_assets.release.files import clear_files, write_files
from dataset_assets.release.inspect import make_entry
from dataset_assets.release.manifest import (
    BucketShards,
    SourceEntry,
    build_manifest,
    dump_manifest,
    load_manifest,
)
from dataset_assets.shards.partition import Partition
from dataset_assets.stages import Stage
from dataset_assets.status import require_fresh
from dataset_assets.storage.atomic import remove, write_bytes
from dataset_assets.storage.location import Location
from dataset_assets.work import Outcome, Work, begin, holding_lock


@holding_lock()
def write_manifest(dataset: Dataset, *, force: bool = False) -> Outcome:
    """Return what became of the manifest, after writing it if it is not fresh.

    Raises IncompleteError while a partition is missing or stale, when nothing is left to export, or when the counts do
    not add up to the images seen.
    """
    require_fresh(dataset, (Stage.BUCKET_ASSIGNMENTS, Stage.SHARDS, Stage.SHARDS_INTACT), "the export is not complete")
    work = begin(dataset, Stage.MANIFEST, force=force)
    if isinstance(work, Outcome):
        return work
    with dataset.catalog.reading() as connection:
        shards = sorted(load_pieces(connection, Stage.SHARDS), key=_place_of)
    assigned = find_state(work.states, Stage.BUCKET_ASSIGNMENTS).report
    drops = sum((Counter(piece.facts["drops"]) for piece in shards), Counter(assigned["drops"]))
    if not any(piece.path for piece in shards):
        for path in (dataset.layout.manifest, dataset.layout.card):
            remove(path)  # of tars that are gone
        clear_files(dataset)
        said = ", ".join(f"{reason} {count:,}" for reason, count in drops.most_common() if count)
        raise IncompleteError(f"there is nothing to export: {assigned['seen']:,} images seen{said and f' ({said})'}")
    files = write_files(work, [piece for piece in shards if piece.path])
    manifest = build_manifest(
        dataset.settings,
        created_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        buckets=_fill_buckets(dataset, shards),
        caption_sources=_used_sources(dataset, shards),
        images_seen=assigned["seen"],
        drops={DropReason(reason): count for reason, count in drops.items()},
        files=files,
    )
    data = dump_manifest(manifest)
    work.replace()
    write_bytes(dataset.layout.manifest, data)
    _put(work, dataset.layout.manifest, fingerprint(data.decode()))
    summary = manifest["summary"]
    return work.finish(
        output=fingerprint(data.decode()),
        report={
            "export_id": manifest["export_id"],
            "summary": summary,
            "shards": sum(1 for piece in shards if piece.path),
            "bytes": sum(piece.bytes for piece in shards),
            "selected": dict(_count_selected(shards)),
        },
    )


@holding_lock()
def write_card(dataset: Dataset, *, force: bool = False) -> Outcome:
    """Return what became of the dataset card, after writing it if it is not fresh.

    Raises OrderError when there is no manifest yet.
    """
    work = begin(dataset, Stage.DATASET_CARD, force=force)
    if isinstance(work, Outcome):
        return work
    with dataset.catalog.reading() as connection:
        counts = count_captions(connection, live_sources(connection, dataset.settings.captions))
    selected = find_state(work.states, Stage.MANIFEST).report["selected"]
    usage = CaptionUsage(
        planned={int(index): count for index, count in selected.items()},
        available={variant: count for (variant, status), count in counts.items() if status == CaptionStatus.OK},
    )
    card = render_card(load_manifest(dataset.layout.manifest), usage, dataset.settings.dataset).encode()
    work.replace()
    write_bytes(dataset.layout.card, card)
    _put(work, dataset.layout.card, fingerprint(card.decode()))
    return work.finish(output=fingerprint(card.decode()), report={"bytes": len(card)})


def _place_of(shard: Piece) -> tuple[str, int]:
    """Return where a shard stands in the export."""
    return Partition.parse(shard.partition).bucket_id, shard.number


def _put(work: Work, path: Location, output: str) -> None:
    """Record a file of the export that people may be tempted to edit."""
    work.put(path, made_from=fingerprint(work.inputs), output=output, facts={MODIFIED: path.stat().st_mtime_ns})


def _fill_buckets(dataset: Dataset, shards: Iterable[Piece]) -> list[BucketShards]:
    """Return every bucket with its tars, given all of them in order."""
    entries = defaultdict(list)
    for piece in shards:
        if piece.path:
            entries[Partition.parse(piece.partition).bucket_id].append(make_entry(piece))
    return [
        BucketShards(
            bucket=bucket, count=sum(entry.count for entry in entries[bucket.id]), shards=tuple(entries[bucket.id])
        )
        for bucket in list_buckets(dataset.settings.buckets)
    ]


def _used_sources(dataset: Dataset, shards: Iterable[Piece]) -> dict[int, SourceEntry]:
    """Return the caption sources that samples of the export name."""
    used = {source for piece in shards for source in piece.facts["sources"]}
    with dataset.catalog.reading() as connection:
        sources = list_sources(connection)
    return {
        source.id: SourceEntry(
            backend=source.backend,
            model=source.model,
            created_at=source.created_at,
            system_prompt_sha256=source.system_prompt_sha256,
            user_prompt_sha256=source.user_prompt_sha256,
        )
        for source in sources
        if source.id in used
    }


def _count_selected(shards: Iterable[Piece]) -> Counter[str]:
    """Return how many samples each selector gave their caption, by its index as text."""
    return sum((Counter(piece.facts["selected"]) for piece in shards), Counter())
