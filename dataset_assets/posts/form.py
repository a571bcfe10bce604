"""How parsed records and chosen captions lie in their Parquet files: columns, cells, digests. Nothing is chosen."""

from collections.abc import Sequence
from hashlib import blake2b
from math import ceil
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_assets.posts.batch import TEXT
from dataset_assets.settings import RecordSettings

CAPTIONS = "captions"  # the kind of the tars of chosen captions; the others are called as their variant
COMPRESSION = "zstd"  # its level 1 is pyarrow's default; none is 2.5 µs of CPU a record less, and twice the disk
TAGS = "tags"  # the variant whose texts are kept beside the captions in any case: trainer metadata falls back to it
_CELLS = 100  # parts that the tars of a parsed file are cut into at most
_DIGEST = 16  # bytes


def text_column(variant: str) -> str:
    """Return the name of the column of a variant's texts."""
    return f"text_{variant}"


def status_column(variant: str) -> str:
    """Return the name of the column that says how much of a variant's text there is (texts.py)."""
    return f"status_{variant}"


def parsed_schema(settings: RecordSettings) -> pa.Schema:
    """Return the columns of a parsed file."""
    columns = [("id", pa.int64()), ("line", pa.int64()), ("tar", pa.int32())]
    for variant in settings.variants:
        columns += [(text_column(variant.name), TEXT), (status_column(variant.name), pa.int8())]
    return pa.schema(columns)


def caption_schema(settings: RecordSettings) -> pa.Schema:
    """Return the columns of a range's chosen captions, a row an id by tar and id, a row group a tar."""
    return pa.schema(
        [
            ("id", pa.int64()),
            ("tar", pa.int32()),
            ("caption", TEXT),  # "": none
            ("variant", pa.string()),  # whose text it is; "": none has any
            ("status", pa.int8()),  # of that variant: TextStatus
            ("file", pa.string()),  # where the record is, as the settings' folder sees it
            ("line", pa.int64()),
            *((text_column(name), TEXT) for name in kept_texts(settings)),
        ]
    )


def kept_texts(settings: RecordSettings) -> tuple[str, ...]:
    """Return the variants whose texts lie beside the captions, chosen or not."""
    there = {variant.name for variant in settings.variants}
    return tuple(dict.fromkeys([*settings.text_tars, *({TAGS} & there)]))


def kind_columns(settings: RecordSettings) -> dict[str, str]:
    """Return the kinds of texts that are chosen, and the column of each in a range's captions."""
    return {CAPTIONS: "caption"} | {name: text_column(name) for name in kept_texts(settings)}


def cell_width(modulus: int) -> int:
    """Return how many tars a cell has: the least that is read of a parsed file together."""
    return ceil(modulus / _CELLS)


def digest_rows(columns: Sequence[pa.Array], start: int, stop: int, digest: blake2b) -> None:
    """Add some rows to a digest. Columns have no nulls: numbers, or large_string."""
    for column in columns:
        if column.type == TEXT:
            offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset :][start : stop + 1]
            digest.update(np.diff(offsets).tobytes())
            if data := column.buffers()[2]:
                digest.update(memoryview(data)[offsets[0] : offsets[-1]])
        else:
            digest.update(column.to_numpy()[start:stop].tobytes())


def new_digest() -> Any:
    """Return an empty digest."""
    return blake2b(digest_size=_DIGEST)
