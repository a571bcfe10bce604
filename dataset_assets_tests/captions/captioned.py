"""Catalogs with images and captions for tests, written row by row: no file of an image is needed."""

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from dataset_assets.catalog.captions import CaptionSource, SourceIdentity, list_sources, record_answers, register_source
from dataset_assets.catalog.schema import captions, images
from dataset_assets.catalog.slots import take_slots
from dataset_assets.dataset import Dataset
from dataset_assets_tests.catalog.rows import add_images

BUCKET = "wide"
HAND: dict[str, Any] = {"name": "caption_hand", "backend": "imported"}
CHAT: dict[str, Any] = {
    "name": "caption_chat",
    "backend": "openai",
    "model": "m/one",
    "base_url": "http://127.0.0.1:9/v1",
    "api_key_env": "",
    "system_prompt": "You are a system prompt.",
    "user_prompt": "You are a user prompt.",
}
PAID = SourceIdentity(
    variant="caption_chat",
    backend="openrouter",
    model="m/old",
    system_prompt_sha256="a" * 64,
    user_prompt_sha256="b" * 64,
    parameters='{"max_tokens":300}',
)


def seat(dataset: Dataset, *names: str) -> dict[str, int]:
    """Add images and put them into the first slots of a bucket; return their row ids by name."""
    with dataset.catalog.writing() as connection:
        ids = add_images(connection, *names)
        rows = [{"image": ids[name], "bucket_id": BUCKET, "slot": slot} for slot, name in enumerate(names)]
        take_slots(connection, rows, {BUCKET: len(rows)})
    return ids


def answer(image: int, text: str, status: str = "ok", **facts: Any) -> dict[str, Any]:
    """Return a model's answer as `record_answers` takes it."""
    return {
        "image": image,
        "status": status,
        "text": text,
        "detail": "",
        "input_version": "c" * 64,
        "created_at": 1_700_000_000.25,
        "finish_reason": "stop",
        "provider": "Someone",
        "prompt_tokens": 300,
        "completion_tokens": 40,
        "cost": 0.000123,
        "latency": 0.1 + 0.2,  # no short decimal
    } | facts


def record(
    dataset: Dataset, identity: SourceIdentity, *answers: Mapping[str, Any], created_at: int = 1_600_000_000
) -> CaptionSource:
    """Write answers of a model; return their caption source."""
    with dataset.catalog.writing() as connection:
        source = register_source(connection, identity, created_at=created_at)
        record_answers(connection, source, answers)
    return source


def all_captions(dataset: Dataset) -> dict[tuple[str, SourceIdentity], dict[str, Any]]:
    """Return everything the catalog says of each caption, by image_id and the identity of its source."""
    with dataset.catalog.reading() as connection:
        return dict(_list(connection))


def _list(connection: Connection) -> Iterable[tuple[tuple[str, SourceIdentity], dict[str, Any]]]:
    sources = {source.id: source for source in list_sources(connection)}
    for row in connection.execute(select(images.c.image_id, captions).join_from(captions, images)).mappings():
        said = {name: value for name, value in row.items() if name not in ("image", "image_id", "caption_source")}
        yield (row["image_id"], sources[row["caption_source"]].identity), said


def texts(dataset: Dataset) -> dict[str, str]:
    """Return the text of each image that has one caption, by image_id."""
    return {image_id: said["text"] for (image_id, _), said in all_captions(dataset).items()}


def write_lines(path: Path, *rows: Mapping[str, Any] | str | bytes) -> Path:
    """Write JSON Lines: mappings as JSON, anything else as it stands."""
    lines = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode() for row in rows
    ]
    data = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
