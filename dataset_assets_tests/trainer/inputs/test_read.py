import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dataset_assets.errors import SourceError
from dataset_assets.progress import Silence
from dataset_assets.trainer.inputs.portions import plan_portions
from dataset_assets.trainer.inputs.read import Reading, read_inputs
from dataset_assets.trainer.inputs.rows import Input
from dataset_assets.trainer.inputs.spill import gather, read_ids
from dataset_assets_tests.trainer.metas import source, write_json


def read(inputs: list[Input], folder: Path, step: int) -> Reading:
    with ThreadPoolExecutor(1) as pool, (folder / "faults").open("wb") as faults:
        return read_inputs(plan_portions(inputs, folder, 1, step), pool, Silence(), faults)


def test_cuts_that_are_none_are_found_out_and_the_parts_read_as_one(tmp_path: Path) -> None:
    inner = {str(number): {"tags": "inner"} for number in range(5)}
    meta = {"10": {"tags": "a", "more": inner}, "11": {"tags": "b"}, "12": {"more": {"x": inner}, "tags": "c"}}
    inputs = [source(write_json(tmp_path / "a.json", meta), "ids", "tags")]
    assert len(plan_portions(inputs, tmp_path, 1, 1)) == 11
    for step in (1, 30, 60, 100, 1000):
        reading = read(inputs, tmp_path, step)
        table, repeated = gather(reading.find("tags"), 0, None, ("tags",))
        assert table is not None
        assert table.to_pydict() == {"id": [10, 11, 12], "tags": ['"a"', '"b"', '"c"']}
        assert (repeated, reading.rows) == (0, {inputs[0].path: 3})


def test_a_file_that_is_damaged_in_its_middle_is_refused_with_the_place(tmp_path: Path) -> None:
    meta = {str(number): {"tags": "x" * 50} for number in range(40)}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(meta).replace('"20": {', '"20": {,'))
    with pytest.raises(SourceError, match=r"a\.json is damaged between bytes 1,[0-9]{3} and"):
        read([source(path, "tags")], tmp_path, 300)


def test_spills_are_found_by_role_the_later_input_last(tmp_path: Path) -> None:
    one = source(write_json(tmp_path / "a.json", {"1": {"tags": "a"}, "3": {"tags": "c"}}), "ids", "tags")
    other = source(write_json(tmp_path / "b.json", {"1": {"tags": "b"}}), "tags")
    reading = read([one, other], tmp_path, 1000)
    assert read_ids(reading.find("ids")).tolist() == [1, 3]
    table, repeated = gather(reading.find("tags"), 0, None, ("tags",))
    assert table is not None
    assert (table["tags"].to_pylist(), repeated) == (['"b"', '"c"'], 1)
    assert reading.find("captions") == []
    assert reading.bytes == sum(path.stat().st_size for path in tmp_path.glob(".spill-*"))


def test_faults_are_counted_and_listed_with_their_file(tmp_path: Path) -> None:
    reading = read([source(write_json(tmp_path / "a.json", {"x": {}, "1": {}, "y": {}}), "ids")], tmp_path, 1)
    assert reading.faults == {"no_id": 2}
    assert [json.loads(line)["key"] for line in (tmp_path / "faults").read_text().splitlines()] == ["x", "y"]
