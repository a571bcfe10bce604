from pathlib import Path

import pytest

from dataset_assets.errors import SourceError, StorageError
from dataset_assets.storage.atomic import sweep
from dataset_assets.trainer.inputs.portions import parse_portion, plan_portions
from dataset_assets_tests.children import run
from dataset_assets_tests.trainer.metas import source, write_json, write_lines, write_parquet


def test_portions_are_numbered_over_all_inputs_and_cover_them(tmp_path: Path) -> None:
    rows = [{"id": number, "tags": "x" * 50} for number in range(10)]
    inputs = [
        source(write_lines(tmp_path / "a.jsonl", rows), "ids"),
        source(write_parquet(tmp_path / "b.parquet", rows, group=3), "tags"),
    ]
    portions = plan_portions(inputs, tmp_path, 7, 300)
    assert [portion.number for portion in portions] == list(range(len(portions)))
    for one in inputs:
        cuts = [(portion.start, portion.stop) for portion in portions if portion.source == one]
        assert [start for start, _ in cuts] == [0, *(stop for _, stop in cuts[:-1])]
    assert sum(parse_portion(portion).rows for portion in portions) == 20
    assert portions[3].name_spill(2) == tmp_path / ".spill-000003-0002.7.writing"


def test_spills_of_a_process_that_is_gone_are_swept(tmp_path: Path) -> None:
    gone = int(run("import os; print(os.getpid())"))
    (portion,) = plan_portions([source(write_json(tmp_path / "a.json", {"1": {}}), "ids")], tmp_path, gone, 1000)
    (spill,) = parse_portion(portion).spills
    assert spill.path.exists()
    assert sweep([tmp_path]) == 1


def test_an_input_without_a_row_leaves_no_spill(tmp_path: Path) -> None:
    (portion,) = plan_portions(
        [source(write_json(tmp_path / "a.json", {}), "ids", "tags", "latents")], tmp_path, 1, 1000
    )
    parsed = parse_portion(portion)
    assert (parsed.spills, parsed.rows, parsed.broken) == ((), 0, "")
    assert plan_portions([source(write_lines(tmp_path / "a.jsonl", []), "ids")], tmp_path, 1, 1000) == []


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    for name, message in (("a.parquet", r"a\.parquet"), ("a.csv", "it has to end in one of .json, .jsonl")):
        (tmp_path / name).write_text("id,tags\n1,a\n")
        with pytest.raises((SourceError, StorageError), match=message):
            plan_portions([source(tmp_path / name, "ids")], tmp_path, 1, 1000)


def test_a_spill_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", {"1": {}})
    (portion,) = plan_portions([source(path, "ids")], tmp_path / "gone", 1, 1000)
    with pytest.raises(StorageError, match=r"cannot write .*gone.*No such file"):
        parse_portion(portion)
