"""One tar from the crops of its shard and their captions, in whatever process: no catalog and no partition here."""

from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
import pyarrow as pa

from dataset_assets.errors import StorageError
from dataset_assets.processes import begin_table_work, prepare_forks
from dataset_assets.shards.index import write_groups, writing_samples
from dataset_assets.shards.pack import CROP_COLUMNS, Shard, Tally, admit, pack
from dataset_assets.shards.tar import TarWriter
from dataset_assets.storage.atomic import remove, writing
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import open_table


@dataclass(frozen=True, slots=True, kw_only=True)
class TarTask:
    """A tar that is to be written."""

    shard: Shard
    crops: Location  # the file of them
    captions: pa.Table  # of the selection, the rows of the shard's slots
    path: Location
    index: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeTar:
    """What was written: without a sample there is no tar and no index."""

    sha256: str = ""
    tally: Tally = field(default_factory=Tally)


Write = Callable[[TarTask], MadeTar]


def write_tar(task: TarTask) -> MadeTar:
    """Write a tar and its index, or remove them where no sample belongs into it.

    Raises DamagedError where the crops are damaged, StorageError where something cannot be read or written.
    """
    tally = Tally()
    samples = admit(_read_crops(task.crops), task.captions, task.shard, tally)
    first = next(samples, None)
    if first is None:
        remove(task.path)
        remove(task.index)
        return MadeTar(tally=tally)
    with writing(task.path) as file, writing_samples(task.index) as table:
        tar = TarWriter(file)
        write_groups(table, pack(tar, chain([first], samples), task.shard))
        tar.close()
    return MadeTar(sha256=tar.sha256, tally=tally)


@contextmanager
def writing_tars(processes: int) -> Iterator[Write]:
    """Yield `write_tar`, or with more than one of `processes` what has it done in one of them; any thread may call it.

    It raises StorageError where a process is ended from outside, or cannot start.
    """
    if processes < 2:
        yield write_tar
        return
    pool = ProcessPoolExecutor(processes, mp_context=prepare_forks(__name__), initializer=begin_table_work)

    started = False

    def write(task: TarTask) -> MadeTar:
        nonlocal started
        try:
            made = pool.submit(write_tar, pack_task(task)).result()
        except BrokenExecutor as error:
            unguarded = "" if started else '; or does the main module lack `if __name__ == "__main__":`?'
            raise StorageError(
                f"a process that was writing {task.path} was ended from outside, perhaps for want of memory: "
                f"build again, and it goes on from there{unguarded}"
            ) from error
        started = True
        return made

    try:
        yield write
    finally:
        pool.shutdown(cancel_futures=True)  # also when it is interrupted


def pack_task(task: TarTask) -> TarTask:
    """Return a task as it goes to another process: a part of a table would take all of the table there."""
    return replace(task, captions=task.captions.take(pa.array(np.arange(len(task.captions)))))


def _read_crops(path: Location) -> Iterator[pa.Table]:
    """Yield what a tar needs of a file of crops, a row group at a time: some megabytes. Raises StorageError."""
    with open_table(path, whole=True) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, CROP_COLUMNS)
