import json
from pathlib import Path

import pytest

from dataset_assets.errors import DamagedError, StorageError
from dataset_assets.posts.faults import Faults, RowFault, read_list
from dataset_assets_tests import children


def test_faults_are_counted_and_listed_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "list"
    with Faults("a.jsonl", path) as faults:
        faults.add(RowFault.NOT_TEXT, 3, "tags is a list")
        faults.add(RowFault.DAMAGED_ROWS, 5, "x" * 1000, count=4)
        faults.add(RowFault.REPEATED_ID, 9, name="b.jsonl")

        assert faults.counts == {"not_text": 1, "damaged_rows": 4, "repeated_id": 1}
        assert faults.dropped == 4

    assert list(read_list(path)) == [
        {"file": "a.jsonl", "line": 3, "fault": "not_text", "detail": "tags is a list"},
        {"file": "a.jsonl", "line": 5, "fault": "damaged_rows", "detail": "x" * 200},
        {"file": "b.jsonl", "line": 9, "fault": "repeated_id", "detail": ""},
    ]


def test_without_faults_there_is_no_list_and_an_old_one_goes(tmp_path: Path) -> None:
    path, other = tmp_path / "list", tmp_path / "other"
    path.write_bytes(b"{}\n")
    other.touch()
    with Faults("a.jsonl", path):
        pass

    assert list(tmp_path.iterdir()) == [other]
    assert list(read_list(path)) == []


def test_an_exception_leaves_the_old_list(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b'{"line": 1}\n')
    with pytest.raises(ZeroDivisionError), Faults("a.jsonl", path) as faults:
        faults.add(RowFault.NO_ID, 1 // 0)

    assert list(read_list(path)) == [{"line": 1}]
    assert [one.name for one in tmp_path.iterdir()] == ["list"]


def test_any_text_can_be_listed(tmp_path: Path) -> None:
    with Faults("a\udcff.jsonl", tmp_path / "list") as faults:
        faults.add(RowFault.NOT_JSON, 1, "\ud800\n\u2028")

    (line,) = (tmp_path / "list").read_text("ascii").splitlines()
    assert json.loads(line)["detail"] == "\ud800\n\u2028"


def test_a_damaged_list_is_said(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b'{"line": 1}\n{"lin')

    with pytest.raises(DamagedError, match=r"list is damaged: .*; remove it and build again"):
        list(read_list(tmp_path / "list"))


def test_a_list_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"cannot read {tmp_path}: Is a directory"):
        list(read_list(tmp_path))


def test_a_list_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from dataset_assets.errors import StorageError
from dataset_assets.posts.faults import Faults, RowFault
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))  # the disk ends here
try:
    with Faults("a.jsonl", Path(sys.argv[1])) as faults:
        for line in range(10_000):
            faults.add(RowFault.NO_ID, line)
except StorageError as error:
    print(error)
"""
    assert children.run(code, tmp_path / "list") == f"cannot write {tmp_path}/list: File too large"
    assert list(tmp_path.iterdir()) == []


def test_what_costs_a_row_and_what_does_not() -> None:
    assert {fault.value for fault in RowFault if fault.dropped} == {
        "not_json",
        "not_an_object",
        "not_utf8",
        "no_id",
        "id_not_an_integer",
        "id_out_of_range",
        "blank_line",
        "line_too_long",
        "damaged_rows",
    }
