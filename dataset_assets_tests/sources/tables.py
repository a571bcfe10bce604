"""Parquet files for tests: columns of images as people write them, in every way that pyarrow can."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # as `datasets` writes it

Value = bytes | None


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    """Write a Parquet file of these columns, lists or arrays; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


def images(values: Sequence[Value], shape: str = "struct") -> pa.Array:
    """Return a column of images in one of SHAPES."""
    match shape:
        case "struct":
            return pa.array([{"bytes": value, "path": "named.jpg"} for value in values], IMAGE)
        case "bytes only":
            return pa.array([{"bytes": value} for value in values], pa.struct([("bytes", pa.binary())]))
        case "no path":
            rows = [{"bytes": value, "path": None} for value in values]
            return pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.null())]))
        case "dictionary":
            return pa.array(values, pa.binary()).dictionary_encode()
        case _:
            return pa.array(
                values, {"binary": pa.binary(), "large": pa.large_binary(), "view": pa.binary_view()}[shape]
            )


SHAPES = ("struct", "bytes only", "no path", "binary", "large", "view", "dictionary")


def noise(count: int, largest: int = 1000, seed: int = 0) -> list[bytes]:
    """Return different values of up to `largest` bytes, which do not compress."""
    chosen = random.Random(seed)
    return [chosen.randbytes(chosen.randint(1, largest)) for _ in range(count)]
