"""One process's part of a merge: the ids of a range, joined with what the spills say of them, written in turn."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_assets.trainer.inputs.rows import Lack, Role
from dataset_assets.trainer.inputs.spill import Ids, Spill, align, find_respelled, gather
from dataset_assets.trainer.merge.tally import Tally
from dataset_assets.trainer.merge.turns import Block, Turns
from dataset_assets.trainer.output.merged import REASONS, Form, Rows, render

COLUMNS: Mapping[Role, tuple[str, ...]] = {
    "tags": ("tags", "tags_lack"),
    "captions": ("caption", "caption_lack", "marks", "tokens", "source"),
    "latents": ("width", "height", "latent_lack"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A range of ids, `high` not among them, which is None at the end; and the spills that have any of them."""

    number: int
    low: int
    high: int | None
    ids: Path  # of the whole list, as numpy saves it
    start: int  # of the range in the list
    stop: int
    spills: Mapping[Role, tuple[Spill, ...]]  # of the roles that anything was given for


class Writer:
    """What merges stretches in one process, and knows where they are written."""

    def __init__(self, turns: Turns, form: Form) -> None:
        self._turns = turns
        self._form = form

    def merge(self, stretch: Stretch) -> Tally:
        """Write the metadata of a stretch and return what is counted of it. Raises StorageError."""
        try:
            ids = np.load(stretch.ids, mmap_mode="r")[stretch.start : stretch.stop]
            rows, repeated, unused = _join(stretch, np.array(ids))
            tally = Tally()
            blocks: list[Block] = []
            if rows is not None:
                blocks, tally = render(rows, self._form)
            tally.repeated, tally.unused = repeated, unused
            self._turns.write(stretch.number, self._tell_respelled(stretch, blocks, tally))
        except BaseException:
            self._turns.fail()
            raise
        return tally

    def _tell_respelled(self, stretch: Stretch, blocks: list[Block], tally: Tally) -> list[Block]:
        """Count the ids that have several keys, and return the blocks with a line for each."""
        lines: list[str] = []
        for role, spills in stretch.spills.items():
            ids, count = find_respelled(spills, stretch.low, stretch.high)
            tally.respelled[role] += count
            lines += (f'{{"id": {number}, "fault": "another_spelling", "input": "{role}"}}\n' for number in ids)
        tally.respelled = +tally.respelled
        if not lines:
            return blocks
        file = self._form.find(REASONS)
        told = b"".join(bytes(block.data) for block in blocks if block.file == file)
        others = [block for block in blocks if block.file != file]
        return [*others, Block(file=file, data=told + "".join(lines).encode())]


def _join(stretch: Stretch, ids: Ids) -> tuple[Rows | None, Counter[str], Counter[str]]:
    """Return the rows of the ids, and for each role how many rows were repeated and how many are of other ids."""
    repeated: Counter[str] = Counter()
    unused: Counter[str] = Counter()
    columns: dict[str, Any] = {}
    if listed := stretch.spills.get("ids"):
        _, repeated["ids"] = gather(listed, stretch.low, stretch.high, ())
    for role, names in COLUMNS.items():
        found = None
        if role in stretch.spills:
            known, repeated[role] = gather(stretch.spills[role], stretch.low, stretch.high, names)
            found, used = align(known, ids)
            unused[role] = (0 if known is None else len(known)) - used
        columns |= _fill(found, role, len(ids), role in stretch.spills)
    if not len(ids):
        return None, +repeated, +unused
    return _make_rows(ids, columns), +repeated, +unused


def _fill(found: pa.Table | None, role: Role, count: int, given: bool) -> dict[str, Any]:
    """Return the columns of a role, null where the inputs have no row; why is in its lacks."""
    columns: dict[str, Any] = {}
    for name in COLUMNS[role]:
        column = found[name].combine_chunks() if found is not None and name in found.column_names else None
        columns[name] = pa.nulls(count) if column is None else column
    name = next(name for name in COLUMNS[role] if name.endswith("_lack"))
    lack = Lack.NO_ENTRY if given else Lack.NO_INPUT
    columns[name] = pc.fill_null(columns[name].cast(pa.int8()), int(lack)).to_numpy(False)
    return columns


def _make_rows(ids: Ids, columns: Mapping[str, Any]) -> Rows:
    return Rows(
        keys=pc.cast(pa.array(ids), pa.large_string()),
        ids=ids,
        tags=_texts(columns["tags"]),
        tags_lack=columns["tags_lack"],
        captions=_texts(columns["caption"]),
        captions_lack=columns["caption_lack"],
        marks=_numbers(columns["marks"]).astype(np.uint8),
        tokens=_numbers(columns["tokens"]),
        made_of=_texts(columns["source"]),
        width=columns["width"].cast(pa.int32()),
        height=columns["height"].cast(pa.int32()),
        latent_lack=columns["latent_lack"],
    )


def _texts(column: pa.Array) -> pa.LargeStringArray:
    return column.cast(pa.large_string())


def _numbers(column: pa.Array) -> npt.NDArray[np.int64]:
    numbers: npt.NDArray[np.int64] = pc.fill_null(column.cast(pa.int64()), 0).to_numpy(False)
    return numbers
