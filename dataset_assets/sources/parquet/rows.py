"""What the rows of one Parquet file offer: their ids, what is known of them, and where their images lie.

Images are not read for that, but where `pages` does not understand their column: see `reels`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.sources.folder import encode_uri
from dataset_assets.sources.parquet.columns import (
    ColumnRule,
    Columns,
    Name,
    choose_columns,
    read_ids,
    read_metadata,
    read_paths,
)
from dataset_assets.sources.parquet.pages import CODECS, Chunk, find_places
from dataset_assets.sources.parquet.places import Place, read_exactly
from dataset_assets.sources.parquet.reels import BUFFER, Spot, read_sizes
from dataset_assets.sources.slices import Handle, Slice, find_state, view

_BATCH = 1000  # rows of the small columns that are in memory at once
_URL = re.compile(r"[a-z][a-z0-9+.-]*://|data:", re.IGNORECASE)
_END = 8  # bytes behind the footer: its length and what Parquet files end in
_LONGEST_DETAIL = 200  # characters of what pyarrow says

_Image = tuple[int, str]  # its size, bytes, and where it lies
_Find = Callable[[int], _Image | None]  # by its row in the group


class Row(NamedTuple):
    """One row of a file."""

    image_id: str  # "": it has none of its own
    size: int = 0  # of the image, bytes
    where: str = ""  # the image lies, see read_image; "": it is not in the file
    path: str = ""  # of a file that the image is in, as an uri
    fault: str = ""  # why it cannot be used
    metadata: bytes = b""  # a JSON object; b"": the file has no such columns


def read_rows(file: Handle, rule: ColumnRule) -> Iterator[list[Row]]:
    """Yield the rows of a Parquet file in order, some at a time; those of a row group that is damaged have a fault.

    Raises OSError, SampleError(UNREADABLE) where no row can be read, and SourceError where the columns are not those
    that the rule names.
    """
    with _telling_damage(), pq.ParquetFile(view(file), buffer_size=BUFFER, page_checksum_verification=True) as parquet:
        columns = choose_columns(parquet.schema_arrow, rule)
        for group in range(parquet.metadata.num_row_groups):
            yield from _read_group(file, parquet, columns, group)


def read_image(file: Handle, where: str, rule: ColumnRule) -> bytes:
    """Return the image that lies where a Row says, in this file.

    Raises OSError, and SampleError(UNREADABLE) where it is damaged.
    """
    with _telling_damage():
        spot = Spot.parse(where)
        return spot.read(file, rule) if spot else Place.parse(where).read(file)


def open_image(file: Handle, where: str, rule: ColumnRule) -> BinaryIO:
    """Return the same as a file of its own; of one that is not compressed only what is read of it is read at all."""
    with _telling_damage():
        place = None if Spot.parse(where) else Place.parse(where)
    if place and not place.codec:
        return BufferedReader(Slice(file, place.offset, place.size))
    return BytesIO(read_image(file, where, rule))


def _read_group(file: Handle, parquet: pq.ParquetFile, columns: Columns, group: int) -> Iterator[list[Row]]:
    count, done = parquet.metadata.row_group(group).num_rows, 0
    try:
        with _telling_damage():
            find = _find_images(file, parquet, columns, group)
            for size, batch in _read_small(parquet, columns, group, count):
                yield _make_rows(batch, columns, [find(row) for row in range(done, done + size)])
                done += size
            if done != count:
                raise ValueError(f"{done} rows instead of {count}")
    except SampleError as error:
        if count > find_state(file).size:
            raise  # the count is damaged as well
        row = Row("", fault=f"row group {group} cannot be read: {error.detail}")
        for start in range(done, count, _BATCH):
            yield [row] * min(_BATCH, count - start)


def _read_small(
    parquet: pq.ParquetFile, columns: Columns, group: int, count: int
) -> Iterator[tuple[int, pa.RecordBatch | None]]:
    """Yield the columns that are no images, some rows at a time, and how many; no columns where there are none such."""
    if not columns.small:
        yield from ((min(_BATCH, count - start), None) for start in range(0, count, _BATCH))
        return
    for batch in parquet.iter_batches(_BATCH, row_groups=[group], columns=columns.small, use_threads=False):
        yield len(batch), batch


def _make_rows(batch: pa.RecordBatch | None, columns: Columns, images: list[_Image | None]) -> list[Row]:
    count = len(images)
    ids = read_ids(batch, columns.id) if columns.id else [("", "")] * count
    paths = read_paths(batch, columns.path) if columns.path else [""] * count
    metadata = read_metadata(batch, columns.metadata) if columns.metadata else [b""] * count
    return [_make_row(*facts) for facts in zip(ids, images, paths, metadata, strict=True)]


def _make_row(named: tuple[str, str], image: _Image | None, path: str, metadata: bytes) -> Row:
    image_id, fault = named
    if image:
        size, where = image
        return Row(image_id, size=size, where=where, fault=fault, metadata=metadata)
    if not path:
        return Row(image_id, fault="no image in this row", metadata=metadata)
    if _URL.match(path) or "\0" in path:
        return Row(image_id, fault="a path with a NUL character" if "\0" in path else "is a URL", metadata=metadata)
    return Row(image_id, path=encode_uri(path), fault=fault, metadata=metadata)


def _find_images(file: Handle, parquet: pq.ParquetFile, columns: Columns, group: int) -> _Find:
    if columns.data is None:
        return lambda row: None
    try:
        chunk = _describe_chunk(file, parquet.metadata, ".".join(columns.data), group)
        places = find_places(file, chunk)
    except ValueError as reason:
        sizes = _read_sizes(parquet, columns.data, group, str(reason))
        return lambda row: None if (size := sizes[row]) is None else (size, str(Spot(group, row)))
    return lambda row: (place.size, str(place)) if (place := places[row]) else None


def _read_sizes(parquet: pq.ParquetFile, name: Name, group: int, reason: str) -> list[int | None]:
    """Return the sizes of a row group's images; `reason` is why they have no places, and may tell where damage is."""
    try:
        with _telling_damage():
            sizes = read_sizes(parquet, group, name)
    except SampleError as error:
        raise ValueError(f"{reason}; {error.detail}") from None
    if len(sizes) != parquet.metadata.row_group(group).num_rows:
        raise ValueError(reason)
    return sizes


def _describe_chunk(file: Handle, metadata: pq.FileMetaData, leaf: str, group: int) -> Chunk:
    """Return the part of a column that is in a row group. Raises ValueError where `find_places` has no use for it."""
    size = find_state(file).size
    if int.from_bytes(read_exactly(file, size - _END, 4), "little") != metadata.serialized_size:
        raise ValueError("a signed footer")  # columns may be encrypted: pyarrow ends the process that looks at them
    (index,) = (index for index in range(metadata.num_columns) if metadata.schema.column(index).path == leaf)
    kind, column = metadata.schema.column(index), metadata.row_group(group).column(index)
    if kind.max_repetition_level or column.compression not in CODECS or column.file_path:
        raise ValueError("another kind of column")
    start = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset:
        start = min(start, column.dictionary_page_offset)
    return Chunk(
        start=start,
        end=start + column.total_compressed_size,
        rows=metadata.row_group(group).num_rows,
        codec=CODECS[column.compression],
        level=kind.max_definition_level,
    )


@contextmanager
def _telling_damage() -> Iterator[None]:
    """Make a SampleError of what is raised for damaged data, in a line; what the system says is left as it is."""
    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise SampleError(DropReason.UNREADABLE, said[:_LONGEST_DETAIL]) from None
