"""Captions out of the catalog into a file, with what is known of how they were made. The way back is importing.py."""

import gzip
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from dataset_assets.captions.files.formats import COLUMNS, Format, find_format
from dataset_assets.catalog.captions import list_sources
from dataset_assets.catalog.exchange import count_sourced, stream_captions
from dataset_assets.dataset import Dataset
from dataset_assets.errors import SettingsError, StorageError
from dataset_assets.progress import Progress, Silence
from dataset_assets.storage.atomic import writing
from dataset_assets.storage.parquet import writing_table

_LEVEL = 6  # of gzip

Rows = Sequence[tuple[Any, ...]]


class _Write(Protocol):
    def __call__(self, rows: Rows, /) -> object:
        """Write rows of `COLUMNS`."""


def export_captions(
    dataset: Dataset,
    path: Path,
    *,
    variants: Collection[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Return how many captions were written: those of these variants, or all, of every caption source.

    The file's extension says its format: Parquet, or JSON Lines. Captions of removed images are written too, texts of
    prompts are not. The catalog is seen as it is at the start, and one batch is in memory at a time. Raises
    SettingsError for another format or a variant that nothing is known of, StorageError where the file cannot be
    written, or is there already and `overwrite` is not asked for.
    """
    form, progress = find_format(path), progress or Silence()
    if not overwrite:
        _refuse_existing(path)
    with dataset.catalog.reading() as connection:
        configured = {one.name for one in dataset.settings.captions.variants}
        _refuse_unknown(variants, configured | {one.variant for one in list_sources(connection)})
        count = count_sourced(connection, variants)
        progress.start("captions export", count, "captions")
        with _opening(path, form) as write:
            for rows in stream_captions(connection, COLUMNS.names, variants):
                write(rows)
                progress.advance(len(rows))
        progress.finish()
    return count


def _refuse_existing(path: Path) -> None:
    try:
        there = path.exists()
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from None
    if there:
        raise StorageError(f"{path} is there already: choose another name, or ask for it to be overwritten")


def _refuse_unknown(variants: Collection[str], known: Collection[str]) -> None:
    if unknown := sorted(set(variants) - set(known)):
        raise SettingsError(f"variant {', '.join(unknown)} given; allowed: {', '.join(sorted(known))}")


@contextmanager
def _opening(path: Path, form: Format) -> Iterator[_Write]:
    """Yield what writes rows into the file, which is there when the block ends without an exception."""
    if form is Format.PARQUET:
        with writing_table(path, COLUMNS, compression="zstd") as table:
            yield lambda rows: table.write_batch(_make_batch(rows))
        return
    with writing(path) as file:
        if form is Format.JSONL:
            yield lambda rows: file.write(_make_lines(rows))
            return
        # No name and no time in it: the same captions make the same bytes.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed:
            yield lambda rows: packed.write(_make_lines(rows))


def _make_batch(rows: Rows) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, COLUMNS, strict=True)]
    return pa.record_batch(arrays, schema=COLUMNS)


def _make_lines(rows: Rows) -> bytes:
    lines = (json.dumps(dict(zip(COLUMNS.names, row, strict=True)), ensure_ascii=False) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()
