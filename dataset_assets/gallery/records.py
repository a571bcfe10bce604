"""What the gallery shows: the records that its pages get as JSON, field by field. No reading and no drawing.

Paths are relative to the folder of the gallery, `/`-separated. Texts are as they are in the data, however hostile: the
page shows them as text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dataset_assets.images.geometry import Part
from dataset_assets.overview.histogram import Histogram, Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture beside the page."""

    path: str
    w: int  # pixels
    h: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one caption source says of an image."""

    variant: str
    caption_source: int
    backend: str
    model: str
    status: str  # a CaptionStatus
    text: str  # at most TEXT_LIMIT characters
    length: int  # of the whole text, characters
    detail: str  # what is wrong with it, "" for nothing
    counts: bool  # whether it can be selected at all
    current: bool | None  # whether it is of the image as it is now; None where that is not looked at
    selector: int | None  # the index of the selector that takes it
    findings: Sequence[str]  # of the review
    cost: float  # USD; 0 where nothing was paid
    provider: str  # who served the model
    created_at: float  # unix seconds
    won: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample of the export."""

    key: str  # docs/format.md, Samples
    image_id: str
    bucket_id: str
    shard: str  # path of the tar in the export
    number: int  # which sample of the tar, from 0
    source: str
    uri: str
    source_sha256: str
    src_w: int  # of the source after EXIF transposition, pixels
    src_h: int
    w: int  # of the stored JPEG, pixels
    h: int
    bytes: int  # of the stored JPEG
    box: Part  # of the source that the crop shows
    scale: float  # cover scale
    image_mode: str
    quality: int  # 0 where passed through
    subsampling: str
    thumb: Picture
    large: Picture
    origin: Picture | None  # the source, small; None where it cannot be read any more
    variant: str  # of the caption that won, "" for none
    selector: int  # -1 for none
    text: str  # the caption in the tar, at most TEXT_LIMIT characters
    length: int  # of the whole caption, characters
    why: str  # a sentence: why this caption won, or why there is none
    captions: Sequence[Said]  # those that the waterfall comes to first, in its order
    near: int  # the number of its NearGroup, 0 for none
    fields: str  # the sample's JSON as it is in the tar, at most TEXT_LIMIT characters


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An image that is not exported."""

    reason: str  # a DropReason
    detail: str  # what is wrong with the image itself, "" for nothing
    why: str  # a sentence: how its crop or its captions left it out; "" where they did not
    captions: Sequence[Said]  # where they did: those that the waterfall comes to first, in its order
    image_id: str
    source: str
    uri: str
    width: int  # of the source after EXIF transposition, pixels; 0 where it cannot be read
    height: int
    thumb: Picture | None  # None where there is nothing to see


@dataclass(frozen=True, slots=True, kw_only=True)
class NearImage:
    """One image of a group that looks alike."""

    image_id: str
    bucket_id: str
    distance: int  # bits in which its look differs from that of the first
    key: str  # of the sample that the gallery shows, "" where it does not show it
    thumb: Picture | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NearGroup:
    """Images that look alike."""

    number: int  # 1 is the largest group
    images: Sequence[NearImage]  # at most NEAR_IMAGES
    count: int  # of all images of the group


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBucket:
    """One bucket of the export."""

    id: str
    w: int  # of its crops, pixels
    h: int
    count: int
    shards: int
    shown: int  # how many of its samples the gallery shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The whole dataset: what stands at the top of the page."""

    name: str
    export_id: str
    created_at: str  # ISO 8601
    format: str
    image_mode: str
    seen: int
    exported: int
    bytes: int  # of all tars
    shown: int
    drops: Mapping[str, int]  # by DropReason, those that are not 0
    drop_texts: Mapping[str, str]  # what each of these reasons means, a sentence
    buckets: Sequence[ShownBucket]  # the largest first
    priority: Sequence[str]  # the selectors, as a person reads them
    statuses: Mapping[str, Mapping[str, int]]  # by variant: images by CaptionStatus
    selected: Mapping[str, int]  # by variant: samples that have its caption; "" is of those without any
    kept: Histogram  # share of the source's area that is in the crop, by images
    lengths: Histogram  # characters of the captions, by samples
    sizes: Sizes
    near_groups: int | None  # None where nobody looked for them
    near_images: int | None


TEXT_LIMIT = 20_000  # characters of a text on the page
NEAR_IMAGES = 12  # of a group
NEAR_GROUPS = 60
