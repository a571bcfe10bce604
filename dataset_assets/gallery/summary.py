"""What stands at the top of the gallery: the dataset as its manifest has it, and what overview/ counts of it."""

from collections import Counter
from collections.abc import Iterable

from dataset_assets.dataset import Dataset
from dataset_assets.gallery.near import Groups
from dataset_assets.gallery.records import Overview, Sample, ShownBucket
from dataset_assets.overview.captions import count_selected, count_statuses, measure_lengths
from dataset_assets.overview.images import measure_kept, measure_sizes
from dataset_assets.overview.reasons import explain_reason
from dataset_assets.release.manifest import Selector, open_manifest


def sum_up(dataset: Dataset, samples: Iterable[Sample], groups: Groups | None) -> Overview:
    """Return what there is to say of the whole dataset. Raises StorageError where there is no manifest."""
    manifest = open_manifest(dataset.layout.manifest)
    shown = Counter(sample.bucket_id for sample in samples)
    counts = dict(manifest.summary)
    seen, exported = counts.pop("images_seen"), counts.pop("images_exported")
    drops = {reason: count for reason, count in counts.items() if count}
    return Overview(
        name=dataset.settings.dataset.name,
        export_id=manifest.export_id,
        created_at=manifest.created_at,
        format=manifest.format,
        image_mode=manifest.image_codec.mode,
        seen=seen,
        exported=exported,
        bytes=sum(shard.bytes for bucket in manifest.buckets.values() for shard in bucket.shards),
        shown=shown.total(),
        drops=drops,
        drop_texts={reason: explain_reason(reason) for reason in drops},
        buckets=[
            ShownBucket(
                id=bucket_id,
                w=bucket.scaled.w,
                h=bucket.scaled.h,
                count=bucket.count,
                shards=len(bucket.shards),
                shown=shown[bucket_id],
            )
            for bucket_id, bucket in sorted(manifest.buckets.items(), key=lambda item: (-item[1].count, item[0]))
        ],
        priority=[_spell(step) for step in manifest.caption_priority],
        statuses=count_statuses(dataset),
        selected=count_selected(dataset),
        kept=measure_kept(dataset),
        lengths=measure_lengths(dataset),
        sizes=measure_sizes(dataset),
        near_groups=groups.groups if groups else None,
        near_images=groups.images if groups else None,
    )


def _spell(step: Selector) -> str:
    """Return a selector as a person reads it."""
    narrowed = ", ".join(one for one in (step.backend, step.model) if one)
    return f"{step.variant} ({narrowed})" if narrowed else step.variant
