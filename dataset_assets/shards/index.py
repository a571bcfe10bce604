"""The index of a tar: one row a sample, with where its members lie and what its caption and its JSON say.

SAMPLE_SCHEMA is the one list of the columns. The index of a shard has them, and so has samples.parquet of an export,
which is made of the indexes of all shards (release/samples.py).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_assets.errors import DamagedError
from dataset_assets.shards.sample import MEMBERS, check_fields
from dataset_assets.shards.tar import Place, TarError, list_places
from dataset_assets.storage.atomic import remove
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import open_table, writing_table

_COLUMNS = (
    ("key", pa.string()),
    ("image_id", pa.string()),
    ("bucket_id", pa.string()),
    ("shard", pa.string()),  # path of the tar in the export, as the manifest has it
    ("jpg_offset", pa.int64()),  # bytes, of the member's data in the tar
    ("jpg_size", pa.int64()),  # bytes
    ("txt_offset", pa.int64()),
    ("txt_size", pa.int64()),
    ("json_offset", pa.int64()),
    ("json_size", pa.int64()),
    ("target_w", pa.int32()),  # pixels, as all sizes below; these are the fields of the sample's JSON
    ("target_h", pa.int32()),
    ("w", pa.int32()),
    ("h", pa.int32()),
    ("src_w", pa.int32()),
    ("src_h", pa.int32()),
    ("image_mode", pa.string()),
    ("quality", pa.int32()),
    ("subsampling", pa.string()),
    ("crop_scale", pa.float64()),
    ("crop_x", pa.int32()),
    ("crop_y", pa.int32()),
    ("crop_corner", pa.int32()),
    ("source_sha256", pa.string()),
    ("caption", pa.string()),  # without the newline that the member ends in; "" where there is none
    ("caption_variant", pa.string()),
    ("caption_selector_index", pa.int32()),
    ("caption_source_id", pa.int64()),
)
SAMPLE_SCHEMA = pa.schema([pa.field(name, kind, nullable=False) for name, kind in _COLUMNS])
ROW_GROUP = 10_000  # samples: some megabytes, which bounds the memory of writers and readers

# Columns whose values are another in every sample: a dictionary of them would only cost. Offsets and sizes likewise.
_UNIQUE = {"key", "image_id", "source_sha256", "caption", "crop_scale"}
_REPEATING = [name for name, _ in _COLUMNS if name not in _UNIQUE and not name.endswith(("_offset", "_size"))]
_RANGED = [name for name, _ in _COLUMNS if name not in ("caption", "source_sha256")]

Row = Mapping[str, Any]


def describe_sample(shard: str, places: Sequence[Place], text: bytes, fields: bytes) -> Row:
    """Return the row of one sample of the tar `shard`.

    `places` are its members' in the order of MEMBERS, `text` and `fields` are the data of the second and the third.
    Raises ValueError where these are not what the format says.
    """
    meta = json.loads(fields)
    if faults := check_fields(meta):
        raise ValueError("; ".join(faults))
    jpeg, crop = meta.pop("jpeg"), meta.pop("crop")
    row = {
        "key": places[0].name.partition(".")[0],
        "shard": shard,
        **meta,
        **jpeg,
        **{f"crop_{name}": value for name, value in crop.items()},
        "caption": text.decode().removesuffix("\n"),
    }
    for extension, place in zip(MEMBERS, places, strict=True):
        row |= {f"{extension}_offset": place.offset, f"{extension}_size": place.size}
    return {name: row[name] for name in SAMPLE_SCHEMA.names}


@contextmanager
def writing_samples(path: Location) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of tables with the columns of SAMPLE_SCHEMA; the same tables give the same bytes."""
    with writing_table(path, SAMPLE_SCHEMA, compression="zstd", ranged=_RANGED, repeating=_REPEATING) as writer:
        yield writer


def write_rows(writer: pq.ParquetWriter, rows: Iterable[Row]) -> None:
    """Write rows as they come, some thousand in memory at a time."""
    left = iter(rows)
    while group := list(islice(left, ROW_GROUP)):
        writer.write_table(pa.Table.from_pylist(group, schema=SAMPLE_SCHEMA))


def write_groups(writer: pq.ParquetWriter, tables: Iterable[pa.Table]) -> None:
    """Write the rows of tables as row groups of ROW_GROUP rows, the last of what is left; the bytes of `write_rows`."""
    parts: list[pa.Table] = []
    for table in tables:
        parts.append(table)
        while sum(map(len, parts)) >= ROW_GROUP:
            rows = pa.concat_tables(parts)
            writer.write_table(rows.slice(0, ROW_GROUP).combine_chunks())
            parts = [rows.slice(ROW_GROUP)]
    if any(map(len, parts)):
        writer.write_table(pa.concat_tables(parts).combine_chunks())


def read_index(path: Location, count: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the `count` rows of a tar's index, a row group at a time; all columns unless some are named.

    A damaged index is removed, so that the next build makes it anew. Raises DamagedError, which says so; StorageError
    where there is none.
    """
    try:
        with open_table(path) as file:
            if file.schema_arrow != SAMPLE_SCHEMA or file.metadata.num_rows != count:
                raise DamagedError(f"{path} is not the index of {count} samples")
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns)
    except DamagedError as error:
        remove(path)
        raise DamagedError(f"{path} was damaged and has been removed: build again, and it is made anew") from error


def scan_tar(tar: Location, shard: str) -> Iterator[Row]:
    """Yield the rows of a tar that is there already, the path `shard` of its export; no image is read.

    Raises TarError where it is not a tar that the writer wrote, or cannot be read.
    """
    try:
        with tar.open("rb") as file:
            places = list_places(file)
            while sample := list(islice(places, len(MEMBERS))):
                yield _scan_sample(file, shard, sample)
    except OSError as error:
        raise TarError(0, f"the file cannot be read: {error.strerror or error}") from error


def _scan_sample(file: BinaryIO, shard: str, places: Sequence[Place]) -> Row:
    key = places[0].name.partition(".")[0]
    if [place.name for place in places] != [f"{key}.{extension}" for extension in MEMBERS]:
        raise TarError(places[0].offset, f"the members are not {', '.join(MEMBERS)} of one sample")
    try:
        return describe_sample(shard, places, *(_read(file, place) for place in places[1:]))
    except (ValueError, RecursionError) as error:
        raise TarError(places[0].offset, f"the sample {key}: {error}") from None


def _read(file: BinaryIO, place: Place) -> bytes:
    file.seek(place.offset)
    return file.read(place.size)
