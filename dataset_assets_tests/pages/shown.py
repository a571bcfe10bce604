"""Records of the gallery for tests of its page, with small pictures: what a build of some photographs would give."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

from dataset_assets.gallery.records import (
    LeftOut,
    NearGroup,
    NearImage,
    Overview,
    Picture,
    Said,
    Sample,
    ShownBucket,
)
from dataset_assets.overview.histogram import Histogram, Sizes
from dataset_assets.pages.write import write_page
from dataset_assets_tests.photos import jpeg

BUCKETS = {"p1024x1024": (1024, 1024), "p1216x832": (1216, 832), "p832x1216": (832, 1216)}
VARIANTS = ("caption_long", "caption_short", "")
WORDS = ("a red boat on a lake", "two dogs in the snow", "an old tower at night", "bread on a wooden table")


def make_said(variant: str, text: str, *, won: bool = False, status: str = "ok") -> Said:
    """Return what one source says."""
    return Said(
        variant=variant,
        caption_source=1 if variant == "caption_long" else 2,
        backend="openai",
        model=f"model-of-{variant}",
        status=status,
        text=text,
        length=len(text),
        detail="" if status == "ok" else f"the model answered that it is {status}",
        counts=status == "ok",
        current=True,
        selector=0 if variant == "caption_long" else 1,
        findings=(),
        cost=0.00042,
        provider="somebody",
        created_at=1_780_000_000.0,
        won=won,
    )


def make_sample(number: int) -> Sample:
    """Return the sample of an image called photo-<number>: every third has no caption. The keys are in their order."""
    image_id = f"photos/photo-{number:04d}.jpg"
    key = f"{number:08x}{sha256(image_id.encode()).hexdigest()[8:]}"
    bucket_id, (w, h) = list(BUCKETS.items())[number % len(BUCKETS)]
    variant, words = VARIANTS[number % 3], f"Photo {number}: {WORDS[number % 4]}."
    captions = [
        make_said(
            name, words if name == variant else "", won=name == variant, status="ok" if name == variant else "refused"
        )
        for name in VARIANTS[:2]
    ]
    shape = {"w": 3 * w, "h": 3 * h}
    return Sample(
        key=key,
        image_id=image_id,
        bucket_id=bucket_id,
        shard=f"buckets/{bucket_id}/shard-000000.tar",
        number=number,
        source="photos",
        uri=f"/data/{image_id}",
        source_sha256=sha256(key.encode()).hexdigest(),
        src_w=shape["w"],
        src_h=shape["h"] + 100,
        w=w,
        h=h,
        bytes=w * h // 5,
        box=(0.0, 0.25, 1.0, 0.75),
        scale=1 / 3,
        image_mode="reencode_jpeg",
        quality=95,
        subsampling="4:4:4",
        thumb=Picture(path=f"pictures/{bucket_id}.jpg", w=w // 8, h=h // 8),
        large=Picture(path=f"pictures/{bucket_id}.jpg", w=w // 2, h=h // 2),
        origin=Picture(path=f"pictures/{bucket_id}.jpg", w=w // 4, h=h // 4),
        variant=variant,
        selector=VARIANTS.index(variant) if variant else -1,
        text=words if variant else "",
        length=len(words) if variant else 0,
        why=f"{variant} is the first with a caption." if variant else "No selector has a usable caption.",
        captions=captions,
        near=1 if number < 2 else 0,
        fields=f'{{"image_id":"{image_id}"}}',
    )


def make_left_out(number: int, reason: str = "skipped_too_small", *, seen: bool = True) -> LeftOut:
    """Return an image that is not exported, with something to see or without."""
    return LeftOut(
        reason=reason,
        detail=f"detail {number}",
        why="",
        captions=(),
        image_id=f"photos/small-{number}.jpg",
        source="photos",
        uri=f"/data/photos/small-{number}.jpg",
        width=90 if seen else 0,
        height=60 if seen else 0,
        thumb=Picture(path="pictures/p1216x832.jpg", w=90, h=60) if seen else None,
    )


def make_near(samples: Sequence[Sample]) -> NearGroup:
    """Return a group of the first two samples and one that is not shown."""
    shown = [(sample.image_id, sample.bucket_id, sample.key, sample.thumb) for sample in samples[:2]]
    images = [
        NearImage(image_id=image_id, bucket_id=bucket_id, distance=distance, key=key, thumb=thumb)
        for distance, (image_id, bucket_id, key, thumb) in enumerate((*shown, ("other.jpg", "p1024x1024", "", None)))
    ]
    return NearGroup(number=1, images=images, count=5)


def make_overview(samples: Sequence[Sample], drops: dict[str, int], **changes: object) -> Overview:
    """Return the numbers of an export of these samples."""
    buckets = Counter(sample.bucket_id for sample in samples)
    variants = Counter(sample.variant for sample in samples)
    overview = Overview(
        name="Photographs",
        export_id="0123456789abcdef",
        created_at="2026-11-20T19:42:00+00:00",
        format="webdataset-jpg-txt-json-1",
        image_mode="reencode_jpeg",
        seen=len(samples) + sum(drops.values()),
        exported=len(samples),
        bytes=sum(sample.bytes for sample in samples),
        shown=len(samples),
        drops=drops,
        drop_texts={reason: f"What {reason} means." for reason in drops},
        buckets=[
            ShownBucket(id=name, w=BUCKETS[name][0], h=BUCKETS[name][1], count=number, shards=1, shown=number)
            for name, number in buckets.most_common()
        ],
        priority=["caption_long", "caption_short"],
        statuses={name: {"ok": variants[name], "refused": len(samples) - variants[name]} for name in VARIANTS[:2]},
        selected=dict(variants),
        kept=Histogram(edges=[index / 20 for index in range(21)], counts=[0] * 15 + [1, 2, 3, 0, len(samples)]),
        lengths=Histogram(edges=[0, 20, 40, 60], counts=[1, len(samples), 2]),
        sizes=Sizes(
            width_edges=[256, 512, 1024, 2048, 4096],
            height_edges=[256, 512, 1024, 2048],
            counts=[[1, 0, 0, 0], [0, 4, 9, 0], [0, 2, len(samples), 30]],
            targets=[(w, h, 3) for w, h in BUCKETS.values()],
        ),
        near_groups=1,
        near_images=5,
    )
    return replace(overview, **changes)  # type: ignore[arg-type]


def write_gallery_page(
    folder: Path,
    samples: Sequence[Sample],
    *,
    left_out: Sequence[LeftOut] = (),
    near: Sequence[NearGroup] = (),
    drops: dict[str, int] | None = None,
    **changes: object,
) -> Path:
    """Write a gallery of these records and its pictures into a folder, and return the page to open.

    It gets the samples bucket by bucket, as a build writes them.
    """
    counted = dict(Counter(image.reason for image in left_out)) if drops is None else drops
    overview = make_overview(samples, counted, **changes)
    ordered = sorted(samples, key=lambda sample: (sample.bucket_id, sample.key))
    pieces = {f"samples-{start // 500:03d}": ordered[start : start + 500] for start in range(0, len(samples), 500)}
    data = {
        "overview": asdict(overview),
        **{name: [asdict(sample) for sample in piece] for name, piece in pieces.items()},
        "left_out": [asdict(image) for image in left_out],
        "near": [asdict(group) for group in near],
    }
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for seed, (name, (w, h)) in enumerate(BUCKETS.items()):
        (folder / "pictures" / f"{name}.jpg").write_bytes(jpeg(w // 8, h // 8, seed))
    write_page(folder, "gallery", data)
    return folder / "index.html"
