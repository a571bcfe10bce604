"""Numbered tars from the chosen captions of their range: what worker processes do. Which ones is stage.py's to say."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_assets.errors import DamagedError
from dataset_assets.storage.atomic import writing
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import open_table
from dataset_assets.trainer.tars.write import IndexedTar, measure_members, measure_tar

_TEXT = 64 << 20  # bytes of texts in memory at once, about
_MOST_ROWS = 1 << 16
_AT_ONCE = 2  # tars in a process: while one waits for the disk, the other is put together


@dataclass(frozen=True, slots=True, kw_only=True)
class TarTask:
    """A tar that is to be written."""

    number: int  # of its piece
    kind: str
    tar: int  # of its ids: what the column `tar` says of its rows
    made_from: str
    groups: tuple[int, ...]  # the row groups of the table that are its own, in order
    rows: int  # in them
    column: str  # of its texts
    suffix: str  # of its members' names
    path: Location
    index: Location
    index_only: bool = False  # the tar is there


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeTar:
    """What was written of a tar."""

    sha256: str
    members: int


def write_tars(source: Location, tasks: Sequence[TarTask]) -> list[MadeTar]:
    """Write some tars of one table of chosen captions and their indexes, and return what was written of each.

    Raises StorageError; DamagedError, which is one, where the table is not what it should be.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(partial(_write_tar, source), tasks))


def _write_tar(source: Location, task: TarTask) -> MadeTar:
    with open_table(source) as file:
        try:
            return _write_texts(file, task)
        except (ValueError, TypeError) as error:
            raise DamagedError(f"{source} is damaged: {error}") from error


def _write_texts(file: pq.ParquetFile, task: TarTask) -> MadeTar:
    batches = _Texts(file, task)
    size = measure_tar(sum(measure_members(batch.column(1)) for batch in batches))
    with _opening(task) as out:
        tar = IndexedTar(out, task.suffix, size)
        for batch in batches:
            tar.add(batch.column(0).to_numpy(), batch.column(1))
        tar.close()
    with writing(task.index) as out:
        out.writelines(tar.list_index())
    return MadeTar(sha256=tar.sha256, members=tar.count)


def _opening(task: TarTask) -> AbstractContextManager[BinaryIO]:
    """Return the file that the tar is written to: none where it is there, and only hashed."""
    return Path(os.devnull).open("wb") if task.index_only else writing(task.path)


class _Texts(Iterable[pa.RecordBatch]):
    """The ids and texts of a tar, which are gone through twice: read once where they are few enough to be kept."""

    def __init__(self, file: pq.ParquetFile, task: TarTask) -> None:
        self._file = file
        self._task = task
        size = sum(file.metadata.row_group(number).total_byte_size for number in task.groups)
        self._rows = max(1, min(_MOST_ROWS, task.rows * _TEXT // max(size, 1)))
        self._kept = list(self._read()) if task.rows <= self._rows else None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._read() if self._kept is None else iter(self._kept)

    def _read(self) -> Iterator[pa.RecordBatch]:
        """Yield ids and texts. Raises ValueError where a row is not this tar's, or there is no such column."""
        task, names = self._task, ["id", "tar", self._task.column]
        if not task.groups:
            return
        if missing := [name for name in names if name not in self._file.schema_arrow.names]:
            raise ValueError(f"no column {', '.join(missing)}")
        batches = self._file.iter_batches(self._rows, row_groups=list(task.groups), columns=names, use_threads=False)
        for batch in batches:
            ids, tars, texts = (batch.column(name) for name in names)
            if ids.null_count or ids.type != pa.int64() or not np.all(tars.to_numpy() == task.tar):
                raise ValueError(f"rows of tar {task.tar} are not its own")
            yield pa.record_batch([ids, pc.cast(texts, pa.large_binary())], ["id", "text"])
