"""Whether a tar is surely right, in little more than the time that its hash takes. What is wrong is not told here.

Of each sample only what varies is looked at, and what can be told of many samples at once is. Whatever this does not
clear goes to examine.py, which is exact and names faults: every rule is stated in check.py, and this must never clear
what that would fault.
"""

from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_assets.buckets.choose import choose_buckets
from dataset_assets.images.encode import choose_subsampling
from dataset_assets.release.manifest import ShardEntry
from dataset_assets.release.webshart import make_webshart
from dataset_assets.shards.boxes import LARGEST_JITTER, find_boxes
from dataset_assets.shards.check import Promise, check_origin
from dataset_assets.shards.form import compile_form, read_origin, read_text, stored_quality, write_crop
from dataset_assets.shards.index import Row
from dataset_assets.shards.jpeg import read_frame
from dataset_assets.shards.report import ShardReport, Tables
from dataset_assets.shards.rows import Rows, same_rows
from dataset_assets.shards.sample import NO_CAPTION
from dataset_assets.shards.window import Headers, Spans, Window
from dataset_assets.storage.location import Location

_BATCH = 1024  # samples looked at together
_EOI = b"\xff\xd9"
_SOS = b"\xff\xda"

Origin = tuple[str, int, int]  # caption_variant, caption_selector_index, caption_source_id
Columns = dict[str, Any]  # of the index, without the path of the tar: a value a sample, or one for all


class UnsureError(ValueError):
    """Something may be wrong: examine.py knows."""


# What one sample says, in the order of `_SEEN`. A tuple of the plainest kind: there is one a sample.
Seen = tuple[bytes, str, str, int, int, int, int, str, str, str, Origin, str, int, int, int, int, int, int]
_SEEN = (
    "digest",  # sha256 of image_id
    *("key", "image_id", "w", "h", "src_w", "src_h", "subsampling"),
    "crop",  # as it is written
    "source_sha256",
    "origin",
    "caption",
    *("jpg_offset", "jpg_size", "txt_offset", "txt_size", "json_offset", "json_size"),
)


def sift_shard(path: Location, entry: ShardEntry, promise: Promise, tables: Tables, rows: Rows) -> ShardReport | None:
    """Return the report of the tar at `path` when nothing is wrong with it and its tables, None where something may be.

    JPEGs are not decoded. `rows` reads `tables.samples`.
    """
    try:
        with path.open("rb", buffering=0) as file:
            window = Window(file, entry.bytes)
            digests = _sift(window, entry, promise, tables, rows)
    except (ValueError, OSError, pa.ArrowException):
        return None
    if not window.whole or (window.bytes, window.sha256) != (entry.bytes, entry.sha256):
        return None
    return ShardReport(faults=(), samples=entry.count, digests=digests, bytes=window.bytes)


def _sift(window: Window, entry: ShardEntry, promise: Promise, tables: Tables, rows: Rows) -> bytes:
    """Return the digests of a tar's samples. Raises ValueError where one of them may be wrong."""
    sieve = Sieve(promise)
    samples = map(partial(sieve.look, window), window.samples())
    digests: list[bytes] = []
    described: list[Row] = []
    while batch := list(islice(samples, _BATCH)):
        columns = sieve.judge(batch)
        if tables.samples:
            claimed = rows.read(tables.samples, tables.first + len(digests), len(batch))
            if not same_rows(claimed, {**columns, "shard": entry.path}, len(batch)):
                raise UnsureError
        if tables.webshart:
            described += (dict(zip(_SEEN, seen, strict=True)) for seen in batch)
        digests += columns["digest"]
    if len(digests) != entry.count:
        raise UnsureError
    if tables.webshart and tables.webshart.read_bytes() != make_webshart(entry, described):
        raise UnsureError
    return b"".join(digests)


class Sieve:
    """Clears samples of one bucket. Both methods raise ValueError where a sample may be wrong."""

    def __init__(self, promise: Promise) -> None:
        if promise.images.crop.corner_jitter > LARGEST_JITTER:
            raise UnsureError
        self._promise = promise
        self._target = promise.bucket.target
        self._passes_through = promise.mode == "passthrough_jpeg"
        self._form = compile_form(promise)
        self._member_headers = Headers()
        self._jpeg_headers: dict[str, bytes] = {}  # by subsampling: all before the first scan of a JPEG that is right
        self._origins: dict[str, Origin] = {}  # by how they are written: those that fit

    def look(self, window: Window, spans: Spans) -> Seen:
        """Return what the sample that lies at `spans` says; but for its geometry it is right."""
        buffer, base = window.buffer, window.base
        (jpeg, jpeg_end), (text, text_end), (fields, fields_end) = spans
        match = self._form.fullmatch(buffer[fields:fields_end].decode())
        if match is None:
            raise UnsureError
        name, w, h, src_w, src_h, subsampling, crop, source, written = match.groups()
        image_id = read_text(name)
        hashed = sha256(image_id.encode())
        key = hashed.hexdigest()
        if not self._member_headers.fit(buffer, spans, key.encode()):
            raise UnsureError
        caption = buffer[text:text_end].decode()
        origin = self._origins.get(written) or self._read_origin(written)
        if caption[-1:] != "\n" or caption[-2:-1] in ("\n", "\r") or (caption == "\n") != (origin == NO_CAPTION):
            raise UnsureError
        size = int(w), int(h)
        if self._passes_through:
            told = _describe_source(bytes(buffer[jpeg:jpeg_end]))
            if told != (size, sorted((int(src_w), int(src_h))), subsampling, source):
                raise UnsureError
        elif size != self._target or not self._fits(buffer, jpeg, jpeg_end, subsampling):
            raise UnsureError
        return (
            hashed.digest(), key, image_id, *size, int(src_w), int(src_h), subsampling, crop, source, origin,
            caption[:-1], base + jpeg, jpeg_end - jpeg, base + text, text_end - text, base + fields,
            fields_end - fields,
        )  # fmt: skip

    def _read_origin(self, written: str) -> Origin:
        origin = read_origin(written)
        if not self._promise.keeps_empty if origin == NO_CAPTION else any(check_origin(origin, self._promise)):
            raise UnsureError
        self._origins[written] = origin
        return origin

    def _fits(self, buffer: bytearray, start: int, end: int, subsampling: str) -> bool:
        """Return whether a JPEG is as we write them: the bucket's size, this subsampling, and no more than pixels.

        Encoders write the same bytes before the first scan for equal sizes and settings: one of each is read.
        """
        header = self._jpeg_headers.get(subsampling)
        if header is None or not buffer.startswith(header, start, end):
            jpeg = bytes(buffer[start:end])
            frame = read_frame(jpeg)
            said = frame.width, frame.height, frame.components, frame.subsampling, frame.extras
            if said != (*self._target, 3, subsampling, ()):
                return False
            self._jpeg_headers[subsampling] = jpeg[: frame.scan] + _SOS
        return buffer.startswith(_EOI, end - len(_EOI))

    def judge(self, batch: Sequence[Seen]) -> Columns:
        """Return the columns of samples whose geometry is right."""
        promise, images = self._promise, self._promise.images
        columns: Columns = dict(zip(_SEEN, zip(*batch, strict=True), strict=True))
        widths, heights = np.array(columns["src_w"]), np.array(columns["src_h"])
        if not (widths.all() and heights.all()):
            raise UnsureError
        distinct = np.unique(widths << 32 | heights)
        chosen = choose_buckets(distinct >> 32, distinct & 0xFFFFFFFF, promise.buckets, next_bucket=promise.next_bucket)
        boxes = find_boxes(widths, heights, b"".join(columns["digest"]), self._target, images.crop)
        if (chosen != promise.buckets.index(promise.bucket)).any() or boxes.scale.max() > 1:
            raise UnsureError
        scales = boxes.scale.tolist()
        crops = map(write_crop, scales, boxes.x.tolist(), boxes.y.tolist(), boxes.corner.tolist())
        if columns["crop"] != tuple(crops):
            raise UnsureError
        if not self._passes_through and columns["subsampling"] != tuple(
            choose_subsampling(scale, images) for scale in scales
        ):
            raise UnsureError
        variants, indexes, sources = zip(*columns["origin"], strict=True)
        return {
            **columns,
            "bucket_id": promise.bucket.id,
            "target_w": self._target[0],
            "target_h": self._target[1],
            "image_mode": promise.mode,
            "quality": stored_quality(promise),
            "crop_scale": boxes.scale,
            "crop_x": boxes.x,
            "crop_y": boxes.y,
            "crop_corner": boxes.corner,
            "caption_variant": variants,
            "caption_selector_index": indexes,
            "caption_source_id": sources,
        }


def _describe_source(jpeg: bytes) -> tuple[tuple[int, int], list[int], str, str]:
    """Return what a sample must say of a JPEG that is passed through.

    That is w and h, src_w and src_h in order of size, the subsampling and source_sha256. Raises ValueError where it is
    no JPEG.
    """
    frame = read_frame(jpeg, plain=False)
    size = frame.width, frame.height
    return size, sorted(size), "source", sha256(jpeg).hexdigest()
