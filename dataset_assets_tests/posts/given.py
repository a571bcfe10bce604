"""Files of records for tests, and what the published card's logic makes of a record, in few lines of its own."""

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_assets.dataset import Dataset
from dataset_assets.posts.choose import choose_captions
from dataset_assets.posts.index import index_records
from dataset_assets.settings import Settings, parse_settings

Record = Mapping[str, Any]


def settings_for(
    folder: Path,
    *paths: str,
    workers: int = 2,
    trainer: Mapping[str, Any] | None = None,
    settle_seconds: float = 0,
    **records: Any,
) -> Settings:
    """Return settings of a dataset of records: artifacts in `folder`/out, ten tars in five ranges."""
    table = {"paths": list(paths) or ["*.jsonl"], "modulus": 10, "padding": 2, "tars_per_partition": 2} | records
    data = {
        "dataset": {"root": "out"},
        "records": table,
        "work": {"workers": workers},
        "automation": {"settle_seconds": settle_seconds},
    }
    return parse_settings(data if trainer is None else {**data, "trainer": trainer}, folder=folder)


def post(number: Any, regular: Any = None, brief: Any = None, tags: Any = None, reason: Any = "STOP") -> dict[str, Any]:
    """Return a record as the published files have them."""
    return {
        "id": number,
        "regular_summary": regular,
        "brief_summary": brief,
        "tags": tags,
        "response_finish_reason": reason,
        "score": 7,
    }


def to_lines(records: Iterable[Any]) -> bytes:
    """Return records as JSON Lines."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def write(path: Path, data: bytes) -> Path:
    """Write the bytes of a file, packed as its name says; return its path."""
    match path.suffix:
        case ".gz":
            data = gzip.compress(data, mtime=0)
        case ".zst":
            data = pa.Codec("zstd").compress(data, asbytes=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_posts(path: Path, records: Iterable[Any]) -> Path:
    """Write records as a file of the format that its name says."""
    if path.suffix == ".parquet":
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(records)), path)
        return path
    return write(path, to_lines(records))


def choose_all(dataset: Dataset) -> list[dict[str, Any]]:
    """Run both stages for every range and return the rows of the captions, range by range."""
    records = dataset.settings.records
    assert records is not None
    index_records(dataset)
    rows: list[dict[str, Any]] = []
    for key in records.ranges:
        choose_captions(dataset, key)
        rows += pq.read_table(dataset.layout.record_captions(key)).to_pylist()
    return rows


def captions_of(dataset: Dataset) -> dict[int, str]:
    """Run both stages and return the captions by id."""
    return {row["id"]: row["caption"] for row in choose_all(dataset)}


def caption_as_card(record: Record) -> str:
    """Return what the published card's logic makes of a record: `faithful`."""
    stopped = record.get("response_finish_reason") == "STOP"
    fields = ["regular_summary", "brief_summary"] if stopped else ["tags"]
    text = " ".join(record[name] for name in fields if record.get(name))
    return text.replace("\n", "").replace("\r", "")


def caption_with_care(record: Record) -> str:
    """Return what `careful` makes of a record: tidy summaries of a record that stopped, else tidy tags."""
    tidy = {name: " ".join((record.get(name) or "").split()) for name in ("regular_summary", "brief_summary", "tags")}
    summary = f"{tidy['regular_summary']} {tidy['brief_summary']}".strip()
    return summary if summary and record.get("response_finish_reason") == "STOP" else tidy["tags"]
