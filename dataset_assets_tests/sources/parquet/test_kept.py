from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_assets.errors import SourceError, StorageError
from dataset_assets.sources.parquet.columns import BY_NAME, ColumnRule
from dataset_assets.sources.parquet.kept import KeptRow, Line, forget_others, keep, make_key, recall
from dataset_assets.sources.parquet.rows import Row

ROWS = [
    Row("é", size=5, where="10-5", metadata=b'{"title": "one"}'),
    Row("", path="a%25.jpg"),
    Row("c", fault="no image in this row", metadata=b"{}"),
]
KEY = make_key("a.parquet", "1-2", BY_NAME)


def test_rows_are_recalled_as_they_were_kept(tmp_path: Path) -> None:
    keep(tmp_path / "kept", KEY, [ROWS[:2], ROWS[2:]])

    rows = list(recall(tmp_path / "kept", KEY) or ())

    assert rows == [
        KeptRow("é", 5, "10-5", "", "", 0, 16),
        KeptRow("", 0, "", "a%25.jpg", "", 17, 0),
        KeptRow("c", 0, "", "", "no image in this row", 17, 2),
    ]
    lines = [Line(KEY, row.start, row.length).read(tmp_path / "kept", 100) for row in rows]
    assert lines == [row.metadata for row in ROWS]
    assert Line(KEY, 0, 16).read(tmp_path / "kept", 8) == b'{"title"'
    assert (tmp_path / "kept" / f"{KEY}.jsonl").read_text() == '{"title": "one"}\n{}\n'


def test_a_file_without_rows_is_kept_too(tmp_path: Path) -> None:
    keep(tmp_path, KEY, [])

    assert list(recall(tmp_path, KEY) or "none") == []


def test_many_rows_come_back_in_order(tmp_path: Path) -> None:
    rows = [Row(str(number)) for number in range(25_000)]

    keep(tmp_path, KEY, [rows[start : start + 1000] for start in range(0, 25_000, 1000)])

    assert [int(row.image_id) for row in recall(tmp_path, KEY) or ()] == list(range(25_000))


def test_what_is_not_there_or_damaged_is_not_recalled(tmp_path: Path) -> None:
    assert recall(tmp_path, KEY) is None
    keep(tmp_path, KEY, [ROWS])
    (tmp_path / f"{KEY}.jsonl").unlink()
    assert recall(tmp_path, KEY) is None
    keep(tmp_path, KEY, [ROWS])
    (tmp_path / f"{KEY}.parquet").write_bytes(b"PAR1")
    assert recall(tmp_path, KEY) is None


def test_nothing_is_kept_of_rows_that_fail(tmp_path: Path) -> None:
    def fail() -> Iterator[list[Row]]:
        yield ROWS
        raise SourceError("no further")

    with pytest.raises(SourceError, match="no further"):
        keep(tmp_path, KEY, fail())

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="cannot write"):
        keep(tmp_path / "file", KEY, [ROWS])


def test_only_what_is_current_is_left(tmp_path: Path) -> None:
    other = make_key("b.parquet", "1-2", BY_NAME)
    for key in (KEY, other):
        keep(tmp_path, key, [ROWS])
    (tmp_path / ".being.written.parquet").write_text("by another process")

    forget_others(tmp_path, [other])

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".being.written.parquet",
        f"{other}.jsonl",
        f"{other}.parquet",
    ]
    assert recall(tmp_path, other) is not None


def test_forgetting_where_nothing_was_ever_kept(tmp_path: Path) -> None:
    forget_others(tmp_path / "nowhere", [])

    assert list(tmp_path.iterdir()) == []


def test_a_key_is_another_for_another_file_version_or_rule() -> None:
    keys = {
        KEY,
        make_key("b.parquet", "1-2", BY_NAME),
        make_key("a.parquet", "1-3", BY_NAME),
        make_key("a.parquet", "1-2", ColumnRule(id="id")),
        make_key("a.parquet", "1-2", ColumnRule(metadata=("title",))),
        make_key("a.parquet", "1-2", ColumnRule(metadata=("title", "n"))),
        make_key("\udcff.parquet", "1-2", BY_NAME),
    }

    assert len(keys) == 7
    assert make_key("a.parquet", "1-2", ColumnRule()) == KEY


def test_a_line_survives_being_text() -> None:
    assert Line.parse(str(Line(KEY, 12, 345))) == Line(KEY, 12, 345)
    for text in ("", "1-2", "a-b-c", "a-1-2-3"):
        with pytest.raises(ValueError, match=r"unpack|invalid literal"):
            Line.parse(text)
