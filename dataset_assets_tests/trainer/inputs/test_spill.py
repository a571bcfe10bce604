from pathlib import Path

import numpy as np
import pyarrow as pa

from dataset_assets.trainer.inputs.spill import Spill, align, gather, read_ids, write_spill


def spill(folder: Path, number: int, **texts: str) -> Spill:
    """Write a spill of texts by id, `_5="a"`, in this order."""
    ids = [int(name.strip("_")) for name in texts]
    table = pa.table({"id": ids, "text": list(texts.values()), "other": ids})
    return write_spill(folder / f"{number}", table)


def test_rows_come_sorted_from_the_range_that_is_asked_for(tmp_path: Path) -> None:
    spills = [spill(tmp_path, 0, _9="i", _1="a", _5="e"), spill(tmp_path, 1, _3="c", _7="g")]
    assert [(one.low, one.high, one.rows) for one in spills] == [(1, 9, 3), (3, 7, 2)]
    assert read_ids(spills).tolist() == [1, 3, 5, 7, 9]
    for low, high, expected in ((0, None, "acegi"), (3, 7, "ce"), (4, 5, ""), (7, None, "gi"), (10, None, "")):
        table, repeated = gather(spills, low, high, ("text",))
        assert ("".join(table["text"].to_pylist()) if table else "", repeated) == (expected, 0)
        assert table is None or table.column_names == ["id", "text"]


def test_of_one_id_the_last_row_counts_and_the_others_are_counted(tmp_path: Path) -> None:
    first = spill(tmp_path, 0, _2="a", _1="b", __2="c")
    later = spill(tmp_path, 1, _3="d", _1="e")
    table, repeated = gather([first, later], 0, None, ("text",))
    assert table is not None
    assert (table["id"].to_pylist(), table["text"].to_pylist(), repeated) == ([1, 2, 3], ["e", "c", "d"], 2)


def test_rows_are_laid_beside_ids(tmp_path: Path) -> None:
    table, _ = gather([spill(tmp_path, 0, _1="a", _3="c", _9="i")], 0, None, ("text",))
    aligned, used = align(table, np.array([0, 3, 4, 9, 10]))
    assert aligned is not None
    assert (aligned["text"].to_pylist(), used) == ([None, "c", None, "i", None], 2)
    assert align(None, np.array([1])) == (None, 0)
    assert read_ids([]).tolist() == []
