"""A few captions with a small picture each: what a person looks at to tell whether a model does what it should."""

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from dataset_assets.captions.sources import live_sources
from dataset_assets.captions.stage import list_captions
from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.catalog.state import load_pieces
from dataset_assets.dataset import Dataset
from dataset_assets.images.store import open_rows
from dataset_assets.records import sample_key
from dataset_assets.settings import VariantSettings
from dataset_assets.shards.plan import read_plan
from dataset_assets.stages import Stage
from dataset_assets.storage.parquet import read_table

_SIDE = 96  # pixels
_QUALITY = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionSample:
    """One image of a partition, small, and what a variant says of it."""

    image_id: str
    status: str
    text: str
    thumbnail: bytes  # JPEG


def pick_samples(dataset: Dataset, variant: VariantSettings, key: str, count: int = 10) -> list[CaptionSample]:
    """Return `count` captions of a partition, the same ones each time: those of the lowest sample keys."""
    with dataset.catalog.reading() as connection:
        pieces = load_pieces(connection, Stage.RESIZED_CROPS, key)
    said = _newest(dataset, variant, key)
    plan = read_plan(dataset, key).select(["slot", "image_id"]).to_pylist()
    captioned = {row["slot"]: row["image_id"] for row in plan if row["slot"] in said}
    chosen = sorted(captioned, key=lambda slot: sample_key(captioned[slot]))[:count]
    pictures: dict[int, bytes] = {}
    for piece in pieces:
        path = dataset.layout.root / piece.path
        slots = read_table(path, ["slot"])["slot"].to_pylist()
        with open_rows(path) as rows:
            for number, slot in enumerate(slots):
                if slot in chosen and (jpeg := rows[number]["jpeg"]):
                    pictures[slot] = _shrink(jpeg)
    return [
        CaptionSample(
            image_id=captioned[slot],
            status=said[slot]["status"],
            text=said[slot]["text"],
            thumbnail=pictures[slot],
        )
        for slot in chosen
        if slot in pictures
    ]


def measure_length(dataset: Dataset, variant: VariantSettings, key: str) -> float:
    """Return how many characters the ok captions of a variant have on average, in one partition; 0 without any.

    Of an image only what the newest source says counts.
    """
    said = _newest(dataset, variant, key).values()
    texts = [row["text"] for row in said if row["status"] == CaptionStatus.OK.value]
    return round(sum(map(len, texts)) / len(texts), 1) if texts else 0.0


def _newest(dataset: Dataset, variant: VariantSettings, key: str) -> dict[int, dict[str, Any]]:
    """Return by slot what the newest source of a variant that counts and has a row there says."""
    with dataset.catalog.reading() as connection:
        live = live_sources(connection, dataset.settings.captions)
    order = {one.id: (one.since, one.id) for one in live if one.variant == variant.name}
    captions = sorted(list_captions(dataset, key, order), key=lambda row: order[row["caption_source"]])
    return {row["slot"]: row for row in captions}


def _shrink(jpeg: bytes) -> bytes:
    with Image.open(io.BytesIO(jpeg)) as image:
        image.draft("RGB", (_SIDE, _SIDE))
        image.thumbnail((_SIDE, _SIDE))
        small = io.BytesIO()
        image.save(small, "JPEG", quality=_QUALITY)
    return small.getvalue()
