from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dataset_assets.posts import parse
from dataset_assets.posts.faults import read_list
from dataset_assets.posts.parse import ParseTask, parse_file
from dataset_assets_tests import children
from dataset_assets_tests.posts.given import post, settings_for, to_lines, write, write_posts

FULL = """
import resource, sys
from pathlib import Path
from dataset_assets.errors import StorageError
from dataset_assets.posts.parse import parse_file
from dataset_assets_tests.posts.test_parse import make_task

resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))  # the disk ends here
try:
    parse_file(make_task(Path(sys.argv[1])))
except StorageError as error:
    print(error)
"""


def make_task(path: Path) -> ParseTask:
    records = settings_for(path.parent).records
    assert records is not None
    out = path.parent / "out"
    return ParseTask(
        number=1,
        name=path.name,
        path=path,
        size=path.stat().st_size,
        stamp=path.stat().st_mtime_ns,
        parsed=out / "some.parquet",
        faults=out / "some.faults.jsonl",
        settings=records,
    )


def test_rows_lie_by_tar_and_id_and_those_of_one_id_in_their_order(tmp_path: Path) -> None:
    ids = [21, 1, 10, 0, 11, 1, 30]
    task = make_task(write_posts(tmp_path / "a.jsonl", [post(number, f"text {number}") for number in ids]))

    parsed = parse_file(task)

    table = pq.read_table(task.parsed)
    assert table.column_names == ["id", "line", "tar", "text_summary", "status_summary", "text_tags", "status_tags"]
    assert list(zip(*(table[name].to_pylist() for name in ("tar", "id", "line")), strict=True)) == [
        (0, 0, 4),
        (0, 10, 3),
        (0, 30, 7),
        (1, 1, 2),
        (1, 1, 6),
        (1, 11, 5),
        (1, 21, 1),
    ]
    assert (parsed.rows, parsed.records, parsed.faults, parsed.retry) == (7, 7, {}, False)
    assert list(parsed.ranges) == ["00-01"]


@pytest.mark.parametrize(("group", "groups"), [(1, 10), (1 << 30, 1)])
def test_a_row_group_has_some_whole_tars_and_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int, groups: int
) -> None:
    monkeypatch.setattr(parse, "_GROUP", group)
    task = make_task(write_posts(tmp_path / "a.jsonl", [post(number, "text") for number in range(100)]))

    parsed = parse_file(task)

    metadata = pq.read_metadata(task.parsed)
    ranges = [metadata.row_group(number).column(2).statistics for number in range(metadata.num_row_groups)]
    assert [(one.min, one.max) for one in ranges] == [(first, last) for first, last, _ in parsed.groups]
    assert len(parsed.groups) == groups
    assert all(size > 0 for _, _, size in parsed.groups)


def test_large_files_are_written_chunk_by_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "_CHUNK", 3 << 20)
    monkeypatch.setattr(parse, "_GROUP", 1 << 30)
    records = [post(number, "x" * 100_000) for number in range(100)]
    task = make_task(write_posts(tmp_path / "a.jsonl", records))

    parsed = parse_file(task)

    lines = pq.ParquetFile(task.parsed)
    found = [set(lines.read_row_group(group)["line"].to_pylist()) for group in range(lines.num_row_groups)]
    lines.close()
    assert [first for first, _, _ in parsed.groups] == [0] * len(found)
    assert 2 <= len(found) <= 4
    assert set.union(*found) == set(range(1, 101))
    assert all(max(one) < min(other) for one, other in pairwise(found))


def test_a_file_that_changed_since_it_was_listed_is_to_be_read_again(tmp_path: Path) -> None:
    task = make_task(write_posts(tmp_path / "a.jsonl", [post(1, "a")]))

    assert not parse_file(task).retry
    assert parse_file(replace(task, size=task.size - 1)).retry
    assert parse_file(replace(task, stamp=task.stamp - 1)).retry


def test_a_file_that_is_not_there_has_no_rows_and_says_why(tmp_path: Path) -> None:
    path = write_posts(tmp_path / "a.jsonl", [post(1, "a")])
    task = make_task(path)
    path.unlink()

    parsed = parse_file(task)

    assert (parsed.rows, parsed.records, parsed.retry) == (0, 0, True)
    assert [(one["line"], one["fault"], one["detail"]) for one in read_list(task.faults)] == [
        (0, "unreadable_file", "No such file or directory")
    ]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_no_row_of_an_archive_whose_check_fails_is_a_record(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.jsonl{ending}", b"[]\n" + to_lines(post(one, "a") for one in range(50)))
    task = make_task(path)
    whole = parse_file(task)
    packed = path.read_bytes()
    more = write(tmp_path / "more.gz", to_lines([post(60, "a")])).read_bytes()
    path.write_bytes(packed + (flip(more) if ending == ".gz" else b"something else"))

    parsed = parse_file(make_task(path))

    assert (whole.rows, whole.records, whole.faults) == (51, 50, {"not_an_object": 1})
    assert (parsed.rows, parsed.records, parsed.ranges, parsed.groups, parsed.retry) == (51, 0, {}, (), False)
    assert parsed.faults == {"damaged_rows": 51, "archive_damaged": 1}
    assert pq.read_table(task.parsed).num_rows == 0
    listed = [(one["line"], one["fault"], one["detail"]) for one in read_list(task.faults)]
    assert listed[0] == (1, "damaged_rows", "51 rows are of a damaged archive")
    assert [one[:2] for one in listed[1:]] == [(52, "archive_damaged")]


def flip(packed: bytes) -> bytes:
    """Return a gzip file with another bit in its checksum: what comes out is as long as it was."""
    return packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]


def test_a_full_disk_is_no_fault_of_the_file(tmp_path: Path) -> None:
    path = write_posts(tmp_path / "a.jsonl", [post(number, f"{number**9} " * 50) for number in range(500)])

    said = children.run(FULL, path)

    assert said.startswith(f"cannot write {tmp_path}/out/some.parquet: ")
    assert list((tmp_path / "out").iterdir()) == []


def test_ids_above_31_bits_are_listed_and_kept(tmp_path: Path) -> None:
    ids = [2**31 - 1, 2**31, 2**63 - 1]
    task = make_task(write_posts(tmp_path / "a.jsonl", [post(number) for number in ids]))

    parsed = parse_file(task)

    assert (parsed.records, parsed.faults) == (3, {"large_id": 2})
    assert [(one["line"], one["detail"]) for one in read_list(task.faults)] == [(2, str(ids[1])), (3, str(ids[2]))]
