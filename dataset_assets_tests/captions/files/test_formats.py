import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dataset_assets.captions.files.formats import Read, read_rows
from dataset_assets.errors import SettingsError, SourceError

REQUIRED = ("image_id", "text")


def read(path: Path) -> list[Read]:
    return list(read_rows(path, REQUIRED))


def write(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("name", ["captions.csv", "captions", "captions.json", "captions.parquet.gz", "jsonl"])
def test_another_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"\*\.parquet, \*\.jsonl, \*\.jsonl\.gz$"):
        read(tmp_path / name)


@pytest.mark.parametrize("pack", [False, True])
def test_lines_are_numbered_as_an_editor_shows_them(tmp_path: Path, pack: bool) -> None:
    data = b'\xef\xbb\xbf{"text": "a"}\r\n\n  \n{"text": "b\\nc \\u2028"}\n{"other": "\xe2\x80\xa8"}'
    path = tmp_path / ("Rows.JSONL" + ".gz" * pack)
    path.write_bytes(gzip.compress(data) if pack else data)

    assert read(path) == [(1, {"text": "a"}), (4, {"text": "b\nc \u2028"}), (5, {"other": "\u2028"})]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"text": "cut', "not JSON: "),
        (b'{"text": "caf\xe9"}', "not UTF-8: invalid continuation byte at byte 13"),
        (b'["a"]', "of type list, not a JSON object"),
        (b"7", "of type int, not a JSON object"),
        (b"null", "of type NoneType, not a JSON object"),
        (b"[" * 100_000, "not JSON: "),
        (b"9" * 10_000, "not JSON: "),
        (b"\0", "not JSON: "),
        (b'{"text": "' + b"x" * (17 << 20) + b'"}', "a line of more than 16,777,216 bytes"),
        (b" " * (40 << 20), "a line of more than 16,777,216 bytes"),
    ],
)
def test_a_bad_line_costs_no_other(tmp_path: Path, line: bytes, why: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"b": 2}\n')

    (_, first), (number, said), (last, second) = read(path)

    assert (first, second) == ({"a": 1}, {"b": 2})
    assert (number, last) == (2, 3)
    assert isinstance(said, str)
    assert said.startswith(why)
    assert len(said) < 200


def test_rows_of_parquet_are_counted_through_its_row_groups(tmp_path: Path) -> None:
    numbers = list(range(2500))
    table = pa.table({"more": numbers, "text": [f"t{n}" for n in numbers], "image_id": [f"i{n}" for n in numbers]})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=700)

    rows = read(tmp_path / "rows.parquet")

    assert rows == [(n + 1, {"image_id": f"i{n}", "text": f"t{n}"}) for n in numbers]


def test_columns_of_every_kind_are_read_or_stand_out(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows.parquet",
        image_id=pa.array(["a", None]).dictionary_encode(),
        text=pa.array(["b", None], pa.large_string()),
        status=pa.array([None, None]),
        attempts=pa.array([3, None], pa.uint8()),
        cost=pa.array([0.5, None], pa.float32()),
        latency=pa.array([True, False]),
        detail=pa.array([["x"], None]),
        created_at=pa.array([1, None], pa.timestamp("s")),
    )

    (_, one), (_, two) = read(path)
    assert not isinstance(one, str)
    assert not isinstance(two, str)

    assert {name: one[name] for name in one if name not in ("detail", "created_at")} == {
        "image_id": "a",
        "text": "b",
        "status": None,
        "attempts": 3,
        "cost": 0.5,
        "latency": True,
    }
    assert isinstance(one["detail"], pa.DataType)
    assert isinstance(one["created_at"], pa.DataType)
    assert {name for name, value in two.items() if value is None} == two.keys() - {"latency"}


def test_a_text_that_is_no_utf8_is_marked_by_lone_surrogates(tmp_path: Path) -> None:
    bad = pc.cast(pa.array([b"fine", b"caf\xe9", None]), options=pc.CastOptions(pa.string(), allow_invalid_utf8=True))
    path = write(tmp_path / "rows.parquet", image_id=["a", "b", "c"], text=bad)

    assert [row["text"] for _, row in read(path) if not isinstance(row, str)] == ["fine", "caf\udce9", None]


def test_parquet_without_a_required_column(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", source=["a"])

    with pytest.raises(SourceError, match=r"rows\.parquet has no column image_id and no column text$"):
        read(path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.parquet", b'{"image_id": "a", "text": "b"}\n'),
        ("rows.parquet", b""),
        ("rows.jsonl.gz", b'{"image_id": "a", "text": "b"}\n'),
        ("rows.jsonl.gz", gzip.compress(b'{"image_id": "a", "text": "b"}\n' * 1000)[:-20]),
        ("rows.jsonl.gz", gzip.compress(b"abc\n")[:12] + b"\xff" * 20),
    ],
    ids=["no Parquet", "empty", "no gzip", "cut off", "damaged"],
)
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(SourceError, match=rf"^cannot read \S+/{name}: [^\n]+$"):
        read(path)


def test_damage_inside_of_parquet_is_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    rows = pa.table({"image_id": [str(n) for n in range(5000)], "text": ["some text"] * 5000})
    pq.write_table(rows, path, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[200:220] = bytes(20)
    path.write_bytes(data)

    with pytest.raises(SourceError, match="cannot read"):
        read(path)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl", "rows.jsonl.gz"])
def test_a_file_that_is_not_there_or_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=rf"{name}: No such file or directory$"):
        read(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(SourceError, match=f"cannot read .*{name}: "):
        read(tmp_path / name)
