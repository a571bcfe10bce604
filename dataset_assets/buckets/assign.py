"""Gives every usable image its bucket and slot, and every partition whose rows that changes its plan.

A slot is for life: an image keeps it while it stays in its bucket, a newcomer takes the next one that was never given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from dataset_assets.buckets.admit import find_refused, list_rules
from dataset_assets.buckets.choose import NO_BUCKET, choose_buckets
from dataset_assets.buckets.protos import list_buckets
from dataset_assets.captions.sources import register_variants
from dataset_assets.catalog.images import count_images, usable_images
from dataset_assets.catalog.slots import count_slots, next_slots, release_slots, slot_table, take_slots
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DropReason
from dataset_assets.freshness import fingerprint
from dataset_assets.progress import Progress, Silence
from dataset_assets.records import Bucket, sample_key
from dataset_assets.settings import Settings
from dataset_assets.shards.plan import PlanChanges, list_plans, write_plans
from dataset_assets.sources.checksums import fill_checksums
from dataset_assets.stages import Stage
from dataset_assets.work import Outcome, begin, holding_lock


@dataclass(frozen=True, slots=True)
class Assignment:
    """What assigning made of the catalog: its outcome, and the partitions whose plans it touched."""

    outcome: Outcome
    plans: PlanChanges


@holding_lock()
def assign_buckets(dataset: Dataset, *, force: bool = False, progress: Progress | None = None) -> Assignment:
    """Seat every usable image and write the plans that changed.

    Where duplicates are dropped, what was never read is read now for its content. Raises OrderError when the sources
    have not been scanned yet.
    """
    work = begin(dataset, Stage.BUCKET_ASSIGNMENTS, force=force)
    if isinstance(work, Outcome):
        return Assignment(work, PlanChanges(list_plans(dataset)))
    comparing = dataset.settings.duplicates.exact == "drop"
    unread = fill_checksums(dataset, progress or Silence()) if comparing else 0
    buckets = list_buckets(dataset.settings.buckets)
    with dataset.catalog.writing() as connection:
        register_variants(connection, dataset.settings.captions)
        moved = _seat(connection, buckets, dataset.settings)
        counts = count_images(connection)
        filled = count_slots(connection)
    seated = sum(filled.values())
    too_small = counts.pop("", 0) - seated - sum(moved.drops.values())
    drops = {**counts, DropReason.TOO_SMALL.value: too_small, **moved.drops}
    plans = write_plans(dataset)
    outcome = work.finish(
        output=fingerprint(plans.digests),
        report={
            "seen": seated + sum(drops.values()),
            "assigned": seated,
            "drops": drops,
            "seated": moved.seated,
            "released": moved.released,
            "buckets": filled,
            "partitions": len(plans.digests),
            "partitions_changed": len(plans.changed),
            "retry": unread,  # it is not known whether they are duplicates
        },
    )
    return Assignment(outcome, plans)


@dataclass(frozen=True, slots=True)
class _Moved:
    seated: int
    released: int
    drops: Mapping[str, int]


def _seat(connection: Connection, buckets: Sequence[Bucket], settings: Settings) -> _Moved:
    """Bring the slots up to date with the index of images."""
    images = usable_images(connection).to_pandas()
    refused = find_refused(images, settings)
    drops = {rule.value: int((refused == rule.value).sum()) for rule in list_rules(settings)}
    images = images[refused == ""]
    next_bucket = settings.buckets.too_small_policy == "next_bucket"
    widths, heights = (images[name].to_numpy(np.int64) for name in ("width", "height"))
    chosen = choose_buckets(widths, heights, buckets, next_bucket=next_bucket)
    names = np.array([*(bucket.id for bucket in buckets), ""])  # NO_BUCKET is the last
    images["bucket_id"] = names[chosen]
    both = images[chosen != NO_BUCKET].merge(
        slot_table(connection).to_pandas(), on=["id", "bucket_id"], how="outer", indicator=True
    )
    leaving = both.loc[both["_merge"] == "right_only", "id"]
    coming = both.loc[both["_merge"] == "left_only", ["id", "image_id", "bucket_id"]]
    release_slots(connection, [int(row) for row in leaving])
    _take(connection, coming)
    return _Moved(seated=len(coming), released=len(leaving), drops=drops)


def _take(connection: Connection, coming: pd.DataFrame) -> None:
    """Give newcomers the next slots of their buckets, in the order of their keys (docs/design.md says why)."""
    free = next_slots(connection)
    coming = coming.assign(key=[sample_key(image_id) for image_id in coming["image_id"]]).sort_values("key")
    start = coming["bucket_id"].map(free).fillna(0).astype("int64")
    coming = coming.assign(slot=start + coming.groupby("bucket_id").cumcount())
    rows = [
        {"image": image, "bucket_id": bucket_id, "slot": slot}
        for image, bucket_id, slot in coming[["id", "bucket_id", "slot"]].itertuples(index=False)
    ]
    taken = coming.groupby("bucket_id")["slot"].max() + 1
    take_slots(connection, rows, {str(bucket_id): int(slot) for bucket_id, slot in taken.items()})
