"""Whether one sample is what the export's settings promise of it. Tars, hashes and other samples are not known here."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import simplejpeg

from dataset_assets.buckets.choose import NO_BUCKET, choose_buckets
from dataset_assets.images.encode import choose_subsampling
from dataset_assets.images.geometry import choose_corner, cover_ratio, cover_size, crop_box
from dataset_assets.records import Bucket, sample_key
from dataset_assets.release.manifest import Manifest, Selector, SourceEntry
from dataset_assets.settings import ImageSettings, Settings
from dataset_assets.shards.jpeg import Frame, read_frame
from dataset_assets.shards.sample import NO_CAPTION, check_fields, dump_fields

_LONGEST_SIDE = 1 << 31  # pixels: no image file says more
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What every sample of one bucket must agree with."""

    bucket: Bucket
    buckets: tuple[Bucket, ...]  # all there are: an image belongs to one of them only
    mode: str  # reencode_jpeg or passthrough_jpeg
    next_bucket: bool  # whether an image may be in another bucket than the nearest
    images: ImageSettings
    selectors: tuple[Selector, ...]
    sources: Mapping[int, SourceEntry] | None  # None: not known yet, any will do
    keeps_empty: bool  # whether a sample may have no caption

    @classmethod
    def of_manifest(cls, manifest: Manifest, bucket: Bucket, buckets: Iterable[Bucket]) -> "Promise":
        """Return what a manifest promises of one of its `buckets`."""
        codec = manifest.image_codec
        return cls(
            bucket=bucket,
            buckets=tuple(buckets),
            mode=codec.mode,
            next_bucket=manifest.too_small_policy == "next_bucket",
            images=ImageSettings(
                quality=codec.quality,
                subsampling_policy=codec.subsampling_policy,
                adaptive_scale_threshold=codec.adaptive_scale_threshold,
                crop=manifest.crop,
            ),
            selectors=manifest.caption_priority,
            sources={int(number): source for number, source in manifest.caption_sources.items()},
            keeps_empty=manifest.missing_caption_policy == "empty",
        )

    @classmethod
    def of_settings(cls, settings: Settings, bucket: Bucket, buckets: Iterable[Bucket]) -> "Promise":
        """Return what the settings promise of one of their `buckets` before there is a manifest."""
        return cls(
            bucket=bucket,
            buckets=tuple(buckets),
            mode=settings.images.mode,
            next_bucket=settings.buckets.too_small_policy == "next_bucket",
            images=settings.images,
            selectors=tuple(Selector(**step.model_dump()) for step in settings.captions.priority),
            sources=None,
            keeps_empty=settings.captions.missing_caption_policy == "empty",
        )


def check_sample(key: str, jpeg: bytes, text: bytes, fields: bytes, promise: Promise, *, pixels: bool) -> list[str]:
    """Return what is wrong with a sample, given its three members' bytes; one line a fault, [] when it is right.

    The JPEG is decoded with `pixels`, unless its header is at fault or its hash is known: passed through, it is.
    """
    try:
        meta = json.loads(fields.decode())
        if faults := check_fields(meta):
            return faults
        canonical = dump_fields(meta)
    except (ValueError, RecursionError) as error:
        return [f"the JSON cannot be read: {error}"]
    faults = [] if canonical == fields else ["the JSON is not written as the format says"]
    faults += _check_identity(key, meta, promise)
    faults += _check_caption(text, meta, promise)
    faults += _check_geometry(meta, promise)
    faults += _check_jpeg(jpeg, meta, promise, pixels=pixels)
    return faults


def _check_identity(key: str, meta: dict[str, Any], promise: Promise) -> Iterator[str]:
    bucket = promise.bucket
    if sample_key(meta["image_id"]) != key:
        yield "the key is not the sha256 of image_id"
    if meta["bucket_id"] != bucket.id:
        yield f"bucket_id is {meta['bucket_id']!r}, but the tar is {bucket.id}'s"
    if (meta["target_w"], meta["target_h"]) != bucket.target:
        yield f"target is {meta['target_w']}x{meta['target_h']}, but the bucket's is {_x(bucket.target)}"
    if meta["image_mode"] != promise.mode:
        yield f"image_mode is {meta['image_mode']!r}, but the manifest's is {promise.mode}"
    if not _SHA256.fullmatch(meta["source_sha256"]):
        yield "source_sha256 is not 64 hexadecimal digits"


def _check_caption(text: bytes, meta: dict[str, Any], promise: Promise) -> Iterator[str]:
    try:
        caption = text.decode()
    except UnicodeDecodeError as error:
        yield f"the text is not UTF-8: {error}"
        return
    if not caption.endswith("\n") or caption[:-1].endswith(("\n", "\r")):
        yield "the text does not end in exactly one newline"
    origin = meta["caption_variant"], meta["caption_selector_index"], meta["caption_source_id"]
    if caption == "\n" and not promise.keeps_empty:
        yield "there is no caption, but missing_caption_policy is drop"
    elif (caption == "\n") != (origin == NO_CAPTION):
        yield f"caption_variant, caption_selector_index and caption_source_id are {origin}, which does not fit the text"
    elif origin != NO_CAPTION:
        yield from check_origin(origin, promise)


def check_origin(origin: tuple[str, int, int], promise: Promise) -> Iterator[str]:
    """Yield what is wrong with where a caption is said to be from: variant, selector index and source id."""
    variant, index, number = origin
    if not 0 <= index < len(promise.selectors):
        yield f"caption_selector_index is {index}, but caption_priority has {len(promise.selectors)} entries"
        return
    selector = promise.selectors[index]
    if selector.variant != variant:
        yield f"caption_variant is {variant!r}, but caption_priority[{index}] is {selector.variant}"
    if promise.sources is None:
        return
    source = promise.sources.get(number)
    if source is None:
        yield f"caption_source_id {number} is not in caption_sources"
    elif (selector.backend or source.backend, selector.model or source.model) != (source.backend, source.model):
        yield f"caption_source_id {number} is not of the backend and model of caption_priority[{index}]"


def _check_geometry(meta: dict[str, Any], promise: Promise) -> Iterator[str]:
    source, target, crop = (meta["src_w"], meta["src_h"]), promise.bucket.target, meta["crop"]
    if not all(0 < side < _LONGEST_SIDE for side in source):
        yield f"src_w and src_h are no image's size: {_x(source)}"
        return
    if (chosen := _bucket_id(source, promise)) != promise.bucket.id:
        yield f"an image of {_x(source)} belongs to {chosen or 'no bucket'}"
    numerator, denominator = cover_ratio(source, target)
    if crop["scale"] != numerator / denominator or numerator > denominator:
        yield f"crop.scale is {crop['scale']}, but {_x(source)} covers {_x(target)} at {numerator / denominator}"
        return
    size = cover_size(source, target)
    corner = choose_corner(meta["image_id"], promise.images.crop)
    x, y = crop_box(size, target, meta["image_id"], promise.images.crop)
    if (crop["x"], crop["y"], crop["corner"]) != (x, y, corner):
        yield (
            f"crop x, y and corner are {crop['x']}, {crop['y']} and {crop['corner']}, "
            f"but of {_x(size)} the hash chooses {x}, {y} and {corner}"
        )


def _check_jpeg(jpeg: bytes, meta: dict[str, Any], promise: Promise, *, pixels: bool) -> Iterator[str]:
    try:
        frame = read_frame(jpeg, plain=promise.mode != "passthrough_jpeg")
    except ValueError as error:
        yield str(error)
        return
    if (frame.width, frame.height) != (meta["w"], meta["h"]):
        yield f"w and h are {meta['w']}x{meta['h']}, but the JPEG is {frame.width}x{frame.height}"
    if promise.mode == "passthrough_jpeg":
        if meta["jpeg"] != {"quality": 0, "subsampling": "source"}:
            yield "jpeg is not what a passed-through JPEG has: quality 0, subsampling source"
        if sorted((frame.width, frame.height)) != sorted((meta["src_w"], meta["src_h"])):
            yield f"src_w and src_h are {meta['src_w']}x{meta['src_h']}, but the JPEG is {frame.width}x{frame.height}"
        if sha256(jpeg).hexdigest() != meta["source_sha256"]:
            yield "source_sha256 is not the JPEG's, which is passed through"
        return
    faults = list(_check_encoding(frame, meta, promise))
    yield from faults
    if pixels and not faults:  # a size that was checked is safe to decode
        try:
            simplejpeg.decode_jpeg(jpeg, colorspace="RGB", strict=True)
        except ValueError as error:
            yield f"the JPEG does not decode: {error}"


def _check_encoding(frame: Frame, meta: dict[str, Any], promise: Promise) -> Iterator[str]:
    said, images = meta["jpeg"], promise.images
    if (frame.width, frame.height) != promise.bucket.target:
        yield f"the JPEG is {frame.width}x{frame.height}, but the bucket's target is {_x(promise.bucket.target)}"
    if frame.components != 3:
        yield f"the JPEG has {frame.components} components instead of 3"
    elif frame.subsampling != said["subsampling"]:
        yield f"jpeg.subsampling is {said['subsampling']!r}, but the JPEG's is {frame.subsampling}"
    if frame.extras:
        yield f"the JPEG has more than pixels: {', '.join(frame.extras)}"
    if said["quality"] != images.quality:
        yield f"jpeg.quality is {said['quality']}, but the manifest's is {images.quality}"
    if said["subsampling"] != (expected := choose_subsampling(meta["crop"]["scale"], images)):
        yield f"jpeg.subsampling is {said['subsampling']!r}, but {images.subsampling_policy} makes it {expected}"


def _bucket_id(source: tuple[int, int], promise: Promise) -> str:
    """Return the id of the bucket that an image of this size belongs to, "" where there is none."""
    width, height = (np.array([side], dtype=np.int64) for side in source)
    index = int(choose_buckets(width, height, promise.buckets, next_bucket=promise.next_bucket)[0])
    return "" if index == NO_BUCKET else promise.buckets[index].id


def _x(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
