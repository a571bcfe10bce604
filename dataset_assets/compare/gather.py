"""The rows of all tars that two exports do not have in common, read side by side."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_assets.compare.export import Export, Tar
from dataset_assets.compare.rows import ROW, TarRows, list_fields, read_rows
from dataset_assets.progress import Progress
from dataset_assets.settings import count_cores
from dataset_assets.shards.pool import read_side_by_side

Rows = NDArray[Any]  # of ROW
_Task = tuple[Export, Tar]


class Gathered(NamedTuple):
    """What was read of two exports."""

    rows: tuple[Rows, Rows]  # in the order of the tars
    variants: list[str]  # by the numbers in the rows of both
    fields: tuple[frozenset[str], frozenset[str]]  # that the JSON of each has
    bytes: int  # that the tars hold which were read


def gather_rows(a: Export, b: Export, equal: Mapping[str, int], *, workers: int, progress: Progress) -> Gathered:
    """Return the rows of all tars but those that are `equal`, with `workers` at a time, 0 for one a core.

    Of the JSON only the fields that both exports have are looked at. Raises StorageError.
    """
    numbers = [[number for number, tar in enumerate(one.tars) if tar.path not in equal] for one in (a, b)]
    fields = [
        list_fields(one.folder, one.tars[wanted[0]]) if wanted else frozenset[str]()
        for one, wanted in zip((a, b), numbers, strict=True)
    ]
    tasks = [(one, one.tars[number]) for one, wanted in zip((a, b), numbers, strict=True) for number in wanted]
    places = [(side, number) for side, wanted in enumerate(numbers) for number in wanted]
    filled, names = (bytearray(), bytearray()), dict[str, int]()
    size = sum(tar.bytes or 0 for _, tar in tasks)
    work = partial(_read, fields=fields[0] & fields[1])
    found = read_side_by_side(work, tasks, workers=workers or count_cores(), size=size, module=__name__)
    progress.start("compare", len(tasks), "shards")
    for (side, number), read in zip(places, found, strict=True):
        rows = np.frombuffer(bytearray(read.rows), ROW)
        numbered = np.array([names.setdefault(name, len(names)) for name in read.variants], np.int32)
        rows["variant"] = numbered[rows["variant"]] if len(rows) else 0
        rows["tar"] = number
        filled[side].extend(rows.data)
        progress.advance(1)
    progress.finish()
    first, second = (np.frombuffer(one, ROW) for one in filled)
    there = sum((one.folder / tar.path).stat().st_size for one, tar in tasks)
    return Gathered((first, second), list(names), (fields[0], fields[1]), there)


def _read(task: _Task, *, fields: frozenset[str]) -> TarRows:
    export, tar = task
    return read_rows(export.folder, tar, fields)
