from pathlib import Path
from threading import Condition

import numpy as np
import pyarrow as pa
import pytest

from dataset_assets.errors import StorageError
from dataset_assets.trainer.inputs.rows import Lack
from dataset_assets.trainer.inputs.spill import write_spill
from dataset_assets.trainer.merge.stretch import Stretch, Writer
from dataset_assets.trainer.merge.turns import Turns
from dataset_assets.trainer.output.merged import Form


def open_writer(folder: Path) -> tuple[Writer, Turns, Path]:
    form = Form(archive=False)
    paths = [folder / name for name in form.names]
    for path in paths:
        path.write_bytes(b"")
    starts = [0] * len(paths)
    turns = Turns(paths, starts, condition=Condition(), ends=list(starts), turn=[0])
    np.save(folder / "ids.npy", np.array([1, 5, 9]))
    return Writer(turns, form), turns, paths[0]


def test_a_stretch_writes_its_ids_and_counts_the_rows_of_others(tmp_path: Path) -> None:
    writer, _, merged = open_writer(tmp_path)
    table = pa.table(
        {"id": [5, 6, 9], "tags": ['"a"', '"b"', None], "tags_lack": pa.array([0, 0, Lack.EMPTY], pa.int8())}
    )
    spill = write_spill(tmp_path / "spill", table)
    one = Stretch(number=0, low=5, high=9, ids=tmp_path / "ids.npy", start=1, stop=2, spills={"tags": (spill,)})
    tally = writer.merge(one)
    assert merged.read_bytes() == b'"5": {"tags": "a", "caption": "a"}'
    assert (tally.ids, tally.unused, tally.sources) == (1, {"tags": 1}, {"tags": 1})
    rest = Stretch(number=1, low=9, high=None, ids=tmp_path / "ids.npy", start=2, stop=3, spills={"tags": (spill,)})
    assert writer.merge(rest).reasons["tags"] == {"empty": 1}
    assert merged.read_bytes().endswith(b', "9": {"tags": "", "caption": ""}')


def test_a_stretch_that_fails_lets_nobody_wait_for_it(tmp_path: Path) -> None:
    writer, turns, _ = open_writer(tmp_path)
    with pytest.raises(FileNotFoundError):
        writer.merge(Stretch(number=0, low=0, high=None, ids=tmp_path / "gone", start=0, stop=1, spills={}))
    with pytest.raises(StorageError, match=r"could not be written"):
        turns.write(1, [])
