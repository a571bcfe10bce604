"""The merge: ids, tags, captions and latent sizes of inputs of any size to the metadata of a trainer.

The rule is in docs/records.md, What is merged. In memory are the ids, and for each process the texts of some megabytes
of them: the inputs are read once and cut into spills, sorted by id, and then the ids are merged range by range. What a
file looks like is said in merged.py.
"""

import ctypes
import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from threading import Condition

import numpy as np

from dataset_assets.errors import SourceError, StorageError
from dataset_assets.processes import begin_table_work
from dataset_assets.progress import Progress
from dataset_assets.storage.atomic import TEMPORARY_SUFFIX, settle
from dataset_assets.storage.location import Location
from dataset_assets.trainer.inputs.portions import Portion, plan_portions
from dataset_assets.trainer.inputs.read import Reading, read_inputs
from dataset_assets.trainer.inputs.rows import Input, Role
from dataset_assets.trainer.inputs.spill import Ids, Spill, read_ids
from dataset_assets.trainer.inputs.unpack import unpacking
from dataset_assets.trainer.merge.stretch import COLUMNS, Stretch, Writer
from dataset_assets.trainer.merge.tally import Tally
from dataset_assets.trainer.merge.turns import Turns
from dataset_assets.trainer.output.merged import Form
from dataset_assets.trainer.output.outputs import Outputs

FAULTS = "faults.jsonl"  # what is wrong with inputs in which nothing is right

# Small portions and ranges spare memory, and the time to clear it; too many are too many files, each with a part of
# every range where ids come in no order.
_PORTION = (1 << 21, 1 << 23)  # bytes of an input that a process reads at a time: at least, at most
_RANGE = (1 << 23, 1 << 25)  # bytes of spills that it merges at a time
_PORTIONS, _RANGES = 512, 128  # as many as there are to be between these limits
_WORTH_A_PROCESS = 1 << 24  # bytes of inputs; below, processes take longer to start than to work
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt
_KEPT = 1 << 30  # bytes

_here: dict[Path, Writer] = {}  # in a process that merges: by the id list of its merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a merge made: its files, by name, under the temporary paths at which they lie, and its counts."""

    files: Mapping[str, Path]
    tally: Tally
    rows: Mapping[Location, int]  # entries with an id in each input
    faults: Mapping[str, int]  # entries without one, or with texts that had to be mended, by kind
    listed: Path | None = None  # these, a line of JSON each


@contextmanager
def merging(
    inputs: Sequence[Input],
    folder: Path,
    form: Form,
    *,
    workers: int,
    progress: Progress,
    step: int = 0,
    stretch: int = 0,
) -> Iterator[Merged]:
    """Yield a merge, made with up to `workers` processes; files that are not renamed before the block ends are removed.

    `step` and `stretch` are how many bytes are read and merged at a time, 0 for what suits the inputs.
    `folder` is where they are made, and is there. An input may have several roles; of an id that a role has several
    times the last one counts. Raises SourceError for an input that cannot be read and StorageError for a full disk.
    """
    with (
        unpacking(inputs, folder) as files,
        _merging(files, folder, form, workers=workers, progress=progress, step=step, stretch=stretch) as merged,
    ):
        yield merged


@contextmanager
def _merging(
    inputs: Sequence[Input], folder: Path, form: Form, *, workers: int, progress: Progress, step: int, stretch: int
) -> Iterator[Merged]:
    outputs = Outputs(folder, form)
    unused = folder / FAULTS
    unused.unlink(missing_ok=True)
    saved, listed = (folder / f".{name}.{os.getpid()}{TEMPORARY_SUFFIX}" for name in ("ids", "faults"))
    try:
        size = _measure(inputs)
        portions = plan_portions(inputs, folder, os.getpid(), step or _suit(size, _PORTIONS, _PORTION))
        starts = outputs.begin()
        with starting(outputs.paths, starts, form, saved, workers if size >= _WORTH_A_PROCESS else 0) as (pool, turns):
            reading = _read(portions, pool, progress, listed)
            if not reading.find("ids"):
                raise SourceError(_explain(inputs, reading, listed, unused))
            ids = read_ids(reading.find("ids"))
            _save(saved, ids)
            stretches = cut_ids(
                ids, saved, reading, inputs, max(reading.bytes // (stretch or _suit(reading.bytes, _RANGES, _RANGE)), 1)
            )
            tally = _merge_all(stretches, pool, progress)
        yield Merged(
            files=outputs.finish(turns.ends),
            tally=tally,
            rows=dict(reading.rows),
            faults=dict(reading.faults),
            listed=listed,
        )
    finally:
        outputs.remove()
        for path in (saved, listed, *folder.glob(f".spill-*.{os.getpid()}{TEMPORARY_SUFFIX}")):
            path.unlink(missing_ok=True)


def _suit(size: int, parts: int, limits: tuple[int, int]) -> int:
    least, most = limits
    return min(max(size // parts, least), most)


def _measure(inputs: Sequence[Input]) -> int:
    """Return how many bytes the inputs have."""
    size = 0
    for source in inputs:
        try:
            size += source.place.stat().st_size
        except OSError as error:
            raise SourceError(f"cannot read {source.path}: {error.strerror or error}") from None
    return size


def _read(portions: Sequence[Portion], pool: Executor, progress: Progress, listed: Path) -> Reading:
    try:
        with listed.open("wb") as file:
            reading = read_inputs(portions, pool, progress, file)
    except OSError as error:
        raise StorageError(f"cannot write {listed}: {error.strerror or error}") from None
    return reading


def _explain(inputs: Sequence[Input], reading: Reading, listed: Path, kept: Path) -> str:
    """Return why there is nothing to merge; the list of faults is kept where there are any."""
    names = ", ".join(str(source.path) for source in inputs if "ids" in source.roles)
    if not reading.faults:
        return f"no id was found: there is no entry in {names or 'any input'}"
    settle(listed, kept)
    (fault, count), *_ = reading.faults.most_common(1)
    return (
        f"no id was found in {names or 'any input'}: {reading.faults.total():,} entries of all inputs have faults, "
        f"{count:,} of them {fault}; they are listed in {kept}"
    )


@contextmanager
def starting(
    files: Sequence[Path], starts: Sequence[int], form: Form, ids: Path, workers: int
) -> Iterator[tuple[Executor, Turns]]:
    """Yield a pool that knows where the files are, of one thread where there are to be no `workers`.

    Raises StorageError where one of its processes was ended from outside.
    """
    pool: Executor
    if workers:
        context = get_context("spawn")  # with nothing of this process inside: what is imported here may be large
        ends, turn = context.RawArray("q", list(starts)), context.RawArray("q", 1)
        turns = Turns(files, starts, condition=context.Condition(), ends=ends, turn=turn)
        shared = (turns, form, ids)
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_process, initargs=shared)
    else:
        turns = Turns(files, starts, condition=Condition(), ends=list(starts), turn=[0])
        pool = ThreadPoolExecutor(1, initializer=_prepare, initargs=(turns, form, ids))
    try:
        yield pool, turns
    except BrokenExecutor:
        raise StorageError("a process that merges was ended from outside: is there enough memory?") from None
    finally:
        pool.shutdown(cancel_futures=True)
        _here.pop(ids, None)


def _prepare_process(turns: Turns, form: Form, ids: Path) -> None:
    begin_table_work()
    gc.disable()  # it would look at millions of values that hold no cycles
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # memory that is free is kept: the system takes longer to clear it than we to fill it
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            libc.mallopt(parameter, _KEPT)
    _prepare(turns, form, ids)


def _prepare(turns: Turns, form: Form, ids: Path) -> None:
    _here[ids] = Writer(turns, form)


def _save(path: Path, ids: Ids) -> None:
    try:
        with path.open("wb") as file:
            np.save(file, ids)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None


def cut_ids(ids: Ids, saved: Path, reading: Reading, inputs: Sequence[Input], count: int) -> list[Stretch]:
    """Return `count` ranges, or as many as there are ids, of about as many ids each; together they are all numbers."""
    cuts = np.unique(np.linspace(0, len(ids), count + 1, dtype=np.int64)).tolist()
    given: list[Role] = [role for role in ("ids", *COLUMNS) if any(role in source.roles for source in inputs)]
    spills = {role: reading.find(role) for role in given}
    stretches = []
    for number, (start, stop) in enumerate(pairwise(cuts)):
        low = int(ids[start]) if start else 0
        high = int(ids[stop]) if stop < len(ids) else None
        inside = {role: tuple(one for one in found if _meets(one, low, high)) for role, found in spills.items()}
        stretches.append(Stretch(number=number, low=low, high=high, ids=saved, start=start, stop=stop, spills=inside))
    return stretches


def _meets(spill: Spill, low: int, high: int | None) -> bool:
    return spill.high >= low and (high is None or spill.low < high)


def _merge_all(stretches: Sequence[Stretch], pool: Executor, progress: Progress) -> Tally:
    tally = Tally()
    progress.start("merging", stretches[-1].stop, "ids")
    futures = [pool.submit(_merge, stretch) for stretch in stretches]
    for future in futures:
        found = future.result()
        tally.add(found)
        progress.advance(found.ids)
    progress.finish()
    return tally


def _merge(stretch: Stretch) -> Tally:
    return _here[stretch.ids].merge(stretch)
