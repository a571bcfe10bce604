"""Rows cut by id: parts of the inputs, each sorted by id in a temporary file, of which any range of ids is read alone.

The files are Arrow's, not compressed, and mapped: only the pages of a range come into memory. What the columns mean is
not known here, but for `id` and `spelling`.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dataset_assets.errors import StorageError

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spill:
    """One file of rows, in the order of their ids; rows of one id in the order in which the input has them."""

    path: Path
    rows: int
    low: int  # the least id, and the largest
    high: int
    bytes: int
    spelled: bool = False  # some ids are not plain numbers in the input: `spelling` says how they are written


def write_spill(path: Path, table: pa.Table) -> Spill:
    """Write a table of at least one row as a spill. Raises StorageError."""
    ids = table["id"].to_numpy()
    if np.any(ids[1:] < ids[:-1]):
        order = np.argsort(ids, kind="stable")
        table, ids = table.take(pa.array(order)), ids[order]
    table = table.combine_chunks()
    try:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {os.strerror(error.errno) if error.errno else error}") from None
    return Spill(
        path=path,
        rows=len(table),
        low=int(ids[0]),
        high=int(ids[-1]),
        bytes=path.stat().st_size,
        spelled="spelling" in table.column_names,
    )


def read_ids(spills: Sequence[Spill]) -> Ids:
    """Return the ids of all the spills, each once, ascending."""
    found = [_map(spill)["id"].to_numpy() for spill in spills]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)


def gather(spills: Sequence[Spill], low: int, high: int | None, names: Collection[str]) -> tuple[pa.Table | None, int]:
    """Return the rows with ids from `low` up to, not with, `high`, and how many were left out.

    Of the columns there are `id` and those of `names` that the spills have.

    They come in the order of their ids, each id once: of several rows the last one of the last spill counts, and the
    others are left out. None where there are no rows; no `high` is no limit.
    """
    tables = []
    for spill in spills:
        if spill.high >= low and (high is None or spill.low < high):
            table = _map(spill)
            ids = table["id"].to_numpy()
            start = int(np.searchsorted(ids, low))
            stop = len(ids) if high is None else int(np.searchsorted(ids, high))
            if stop > start:
                kept = [name for name in table.column_names if name == "id" or name in names]
                tables.append(table.select(kept).slice(start, stop - start))
    if not tables:
        return None, 0
    rows = pa.concat_tables(tables)
    ids = rows["id"].to_numpy()
    if np.all(ids[1:] > ids[:-1]):
        return rows.combine_chunks(), 0
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    last = np.append(ids[1:] != ids[:-1], True)
    rows = rows.take(pa.array(order[last])).combine_chunks()
    return rows, len(ids) - len(rows)


def find_respelled(spills: Sequence[Spill], low: int, high: int | None) -> tuple[Ids, int]:
    """Return the ids of a range that are written in several ways, and how many ways there are beside their firsts."""
    ids, spellings = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for spill in spills if any(spill.spelled for spill in spills) else ():
        table = _map(spill)
        numbers = table["id"].to_numpy()
        start = int(np.searchsorted(numbers, low))
        stop = len(numbers) if high is None else max(int(np.searchsorted(numbers, high)), start)
        ids.append(numbers[start:stop])
        spellings.append(
            table["spelling"].to_numpy()[start:stop] if spill.spelled else np.zeros(stop - start, np.int64)
        )
    pairs = np.unique(np.stack([np.concatenate(ids), np.concatenate(spellings)]), axis=1)[0]
    again = pairs[1:][pairs[1:] == pairs[:-1]]
    return np.unique(again), len(again)


def align(table: pa.Table | None, ids: Ids) -> tuple[pa.Table | None, int]:
    """Return a row for each id, of nulls where the table has none, and for how many it has one.

    `ids` and the table's ascend. None of None.
    """
    if table is None:
        return None, 0
    known = table["id"].to_numpy()
    if len(known) == len(ids) and np.array_equal(known, ids):
        return table, len(ids)
    places = np.searchsorted(known, ids)
    found = np.take(known, places, mode="clip") == ids
    return table.take(pa.array(places, mask=~found)).combine_chunks(), int(np.count_nonzero(found))


def _map(spill: Spill) -> pa.Table:
    with pa.memory_map(str(spill.path)) as file, pa.ipc.open_file(file) as reader:
        return reader.read_all()
