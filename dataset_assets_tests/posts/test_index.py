import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.catalog.state import load_pieces, load_states
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import SourceError
from dataset_assets.posts import index
from dataset_assets.posts.faults import RowFault
from dataset_assets.posts.index import find_changes, index_records, list_faults
from dataset_assets.posts.parse import Parsed, ParseTask
from dataset_assets.posts.workers import parse_here
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import on_disk
from dataset_assets_tests.posts.given import choose_all, post, settings_for, to_lines, write, write_posts

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst")
BAD_LINES = [
    (b'{"id": 1, "tags": "tru', "not_json"),
    (b"[]", "not_an_object"),
    (b'{"id": 1, "tags": "\xff"}', "not_utf8"),
    (b'{"tags": "a"}', "no_id"),
    (b'{"id": null}', "no_id"),
    (b'{"id": "1"}', "id_not_an_integer"),
    (b'{"id": -1}', "id_out_of_range"),
    (b"", "blank_line"),
]
ODD_LINES = [
    (b'\xef\xbb\xbf{"id": 10, "tags": "a"}', "bom"),
    (b'{"id": 11, "tags": ["a"]}', "not_text"),
    (b'{"id": 12, "tags": "\\ud800"}', "lone_surrogate"),
    (b'{"id": 2147483648, "tags": "a"}', "large_id"),
]


def digests_of(settings: Settings) -> dict[str, str]:
    with open_dataset(settings) as dataset:
        return dict(index_records(dataset).report["digests"])


def times_of(dataset: Dataset) -> dict[str, int]:
    """Return when each parsed file was written."""
    with dataset.catalog.reading() as connection:
        pieces = load_pieces(connection, Stage.CAPTION_RECORDS)
    return {piece.facts["file"]: (dataset.layout.root / piece.path).stat().st_mtime_ns for piece in pieces}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_bad_row_is_counted_and_listed_and_none_stops_the_run(tmp_path: Path, ending: str) -> None:
    lines = [line for line, _ in BAD_LINES + ODD_LINES] + [b'{"id": 2, "tags": "a"}\r']
    write(tmp_path / f"a{ending}", b"\n".join(lines) + b"\n")
    write_posts(tmp_path / f"b{ending}", [post(3, "a")])

    with open_dataset(settings_for(tmp_path, f"*{ending}")) as dataset:
        report = index_records(dataset).report
        listed = [(one["file"], one["line"], one["fault"]) for one in list_faults(dataset)]

    said = [(f"a{ending}", line, fault) for line, (_, fault) in enumerate(BAD_LINES + ODD_LINES, start=1)]
    assert sorted(listed) == sorted([*said, (f"a{ending}", len(lines), "crlf")])
    assert (report["files"], report["rows"], report["records"], report["dropped"]) == (2, 14, 6, 8)
    counts = Counter(fault for _, _, fault in listed)
    assert report["faults"] == counts
    assert list(report["faults"]) == [fault.value for fault in RowFault if fault.value in counts]


def test_a_parquet_file_is_one_of_the_files(tmp_path: Path) -> None:
    rows: list[Any] = [post(1, "a"), post(None, "b"), post(-3, "c"), post(4, "d")]
    write_posts(tmp_path / "a.parquet", rows)
    write_posts(tmp_path / "b.jsonl", [post(5)])

    with open_dataset(settings_for(tmp_path, "*.parquet", "*.jsonl")) as dataset:
        report = index_records(dataset).report
        listed = [(one["file"], one["line"], one["fault"]) for one in list_faults(dataset)]

    assert listed == [("a.parquet", 2, "no_id"), ("a.parquet", 3, "id_out_of_range")]
    assert (report["rows"], report["records"], report["dropped"]) == (5, 3, 2)


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("a.parquet", b"no table at all", "unreadable_file"),
        ("a.parquet", b"", "unreadable_file"),
        ("a.jsonl.gz", b"no archive at all", "archive_damaged"),
        ("a.jsonl.zst", b"no archive at all", "archive_damaged"),
        ("a.jsonl.zst", b"", "archive_cut_short"),
    ],
)
def test_a_file_that_is_none_of_its_kind_is_listed(tmp_path: Path, name: str, data: bytes, fault: str) -> None:
    (tmp_path / name).write_bytes(data)
    write_posts(tmp_path / "b.jsonl", [post(1, "a")])

    with open_dataset(settings_for(tmp_path, name, "b.jsonl")) as dataset:
        report = index_records(dataset).report
        again = index_records(dataset)

    assert report["faults"] == {fault: 1}
    assert (report["files"], report["rows"], report["records"]) == (2, 1, 1)
    assert again.reused


def test_a_file_that_cannot_be_opened_is_tried_again_each_time(tmp_path: Path) -> None:
    link = tmp_path / "a.jsonl"
    link.symlink_to(tmp_path / "gone")
    write_posts(tmp_path / "b.jsonl", [post(1, "a")])

    with open_dataset(settings_for(tmp_path)) as dataset:
        first = index_records(dataset)
        listed = list(list_faults(dataset))
        second = index_records(dataset)
        write(tmp_path / "gone", to_lines([post(2, "b")]))
        third = index_records(dataset)

    assert listed == [{"file": "a.jsonl", "line": 0, "fault": "unreadable_file", "detail": "No such file or directory"}]
    assert (first.report["retry"], first.report["records"]) == (1, 1)
    assert not second.reused
    assert (third.report["retry"], third.report["records"], third.report["faults"]) == (0, 2, {})


def test_nothing_is_read_again_that_is_as_it_was(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(1, "a")])
    write_posts(tmp_path / "b.jsonl", [post(2, "b")])

    with open_dataset(settings_for(tmp_path)) as dataset:
        assert not index_records(dataset).reused
        assert find_changes(dataset) == ""
        assert index_records(dataset).reused
        before = times_of(dataset)
        write_posts(tmp_path / "c.jsonl", [post(3, "c")])
        assert find_changes(dataset)
        outcome = index_records(dataset)
        after = times_of(dataset)

    assert outcome.report["records"] == 3
    assert {name: after[name] for name in before} == before
    assert sorted(after) == ["a.jsonl", "b.jsonl", "c.jsonl"]


def test_a_build_that_was_killed_goes_on_with_the_next_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        write_posts(tmp_path / f"{name}.jsonl", [post(ord(name), name * (1 + ord("c") - ord(name)))])

    def parse_two(tasks: Sequence[ParseTask], _workers: int) -> Iterator[tuple[ParseTask, Parsed]]:
        yield from parse_here(tasks[:2])
        raise KeyboardInterrupt

    with open_dataset(settings_for(tmp_path)) as dataset:
        with monkeypatch.context() as patch:
            patch.setattr(index, "_parse", parse_two)
            with pytest.raises(KeyboardInterrupt):
                index_records(dataset)
        before = times_of(dataset)
        report = index_records(dataset).report
        after = times_of(dataset)

    assert sorted(before) == ["a.jsonl", "b.jsonl"]  # the largest come first
    assert {name: after[name] for name in before} == before
    assert (report["files"], report["records"]) == (3, 3)


@pytest.mark.parametrize("lost", ["table", "faults"])
def test_what_is_lost_of_a_file_is_read_again_and_nothing_else(tmp_path: Path, lost: str) -> None:
    write(tmp_path / "a.jsonl", b"\n" + to_lines([post(1, "a")]))
    write(tmp_path / "b.jsonl", b"\n" + to_lines([post(2, "b")]))

    with open_dataset(settings_for(tmp_path)) as dataset:
        index_records(dataset)
        before = times_of(dataset)
        faults = list(list_faults(dataset))
        with dataset.catalog.reading() as connection:
            piece = next(
                one for one in load_pieces(connection, Stage.CAPTION_RECORDS) if one.facts["file"] == "a.jsonl"
            )
        table = dataset.layout.root / piece.path
        if lost == "table":
            on_disk(table).unlink()
        else:
            on_disk(table.with_suffix(".faults.jsonl")).unlink()
            write_posts(tmp_path / "c.jsonl", [])
        index_records(dataset)
        after = times_of(dataset)
        assert list(list_faults(dataset)) == faults

    assert after["a.jsonl"] != before["a.jsonl"]
    assert after["b.jsonl"] == before["b.jsonl"]


def test_a_file_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", b"\n" + to_lines([post(1, "a")]))
    write_posts(tmp_path / "b.jsonl", [post(2, "b")])

    with open_dataset(settings_for(tmp_path)) as dataset:
        index_records(dataset)
        assert len(list(dataset.layout.parsed.iterdir())) == 3
        (tmp_path / "a.jsonl").unlink()
        report = index_records(dataset).report

        assert (report["files"], report["records"], report["faults"]) == (1, 1, {})
        assert len(list(dataset.layout.parsed.iterdir())) == 1


def test_a_fault_that_is_mended_leaves_no_list(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", b"\n" + to_lines([post(1, "a")]))

    with open_dataset(settings_for(tmp_path)) as dataset:
        index_records(dataset)
        write_posts(tmp_path / "a.jsonl", [post(1, "a")])
        index_records(dataset)

        assert list(list_faults(dataset)) == []
        assert [path.suffix for path in dataset.layout.parsed.iterdir()] == [".parquet"]


def test_only_the_ranges_change_that_new_rows_are_in(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    write_posts(tmp_path / "a.jsonl", [post(number, "a") for number in (0, 2, 4, 6, 8, 10)])
    first = digests_of(settings)
    write_posts(tmp_path / "b.jsonl", [post(number, "b") for number in (13, 22)])
    added = digests_of(settings)
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(to_lines([post(109, "a")]))
    grown = digests_of(settings)
    (tmp_path / "b.jsonl").unlink()
    gone = digests_of(settings)

    def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
        return sorted(key for key in one | other if one.get(key) != other.get(key))

    assert sorted(first) == ["00-01", "02-03", "04-05", "06-07", "08-09"]
    assert differing(first, added) == ["02-03"]
    assert differing(added, grown) == ["08-09"]
    assert differing(grown, gone) == ["02-03"]
    assert gone["02-03"] == first["02-03"]


def test_the_order_of_files_and_a_new_name_change_what_a_range_has(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(0, "a")])
    write_posts(tmp_path / "b.jsonl", [post(0, "b"), post(3, "b")])

    one, other = (digests_of(settings_for(tmp_path, *paths)) for paths in (("*.jsonl",), ("b.jsonl", "a.jsonl")))
    (tmp_path / "a.jsonl").rename(tmp_path / "c.jsonl")
    renamed = digests_of(settings_for(tmp_path, "b.jsonl", "c.jsonl"))

    assert len({one["00-01"], other["00-01"], renamed["00-01"]}) == 3
    assert one["02-03"] == other["02-03"] == renamed["02-03"]


def test_settings_that_matter_are_read_anew(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(1, " a ")])

    assert digests_of(settings_for(tmp_path)) != digests_of(settings_for(tmp_path, mode="faithful"))
    assert digests_of(settings_for(tmp_path)) == digests_of(settings_for(tmp_path, priority=["tags", "summary"]))


@pytest.mark.parametrize("together", [False, True])
def test_the_same_bytes_come_out_here_and_in_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    monkeypatch.setattr(index, "_WORTH_PROCESSES", 0 if together else 1 << 40)
    for name in "abc":
        write(tmp_path / f"{name}.jsonl", b"\n" + to_lines(post(number, f"{name} {number}") for number in range(50)))
    settings = settings_for(tmp_path)

    with open_dataset(settings) as dataset:
        report = index_records(dataset).report
        made = {path.name: path.read_bytes() for path in dataset.layout.parsed.iterdir()}
        index_records(dataset, force=True)
        again = {path.name: path.read_bytes() for path in dataset.layout.parsed.iterdir()}

    assert (report["rows"], report["records"], report["faults"]) == (153, 150, {"blank_line": 3})
    assert made == again
    assert len(made) == 6


def test_a_pattern_without_files_changes_nothing(tmp_path: Path) -> None:
    path = write_posts(tmp_path / "a.jsonl", [post(1, "a")])

    with open_dataset(settings_for(tmp_path)) as dataset:
        index_records(dataset)
        data = path.read_bytes()
        stat = path.stat()
        path.unlink()
        with pytest.raises(SourceError, match="matches no file"):
            index_records(dataset)
        path.write_bytes(data)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

        assert index_records(dataset).reused


def test_records_that_are_all_gone_are_refused_and_nothing_made_of_them_is_lost(tmp_path: Path) -> None:
    posts = [post(number, "a") for number in range(20)]
    path = write_posts(tmp_path / "a.jsonl", posts)
    with open_dataset(settings_for(tmp_path)) as dataset:
        rows = choose_all(dataset)
        captions = dataset.layout.record_captions("00-01")
        made = captions.read_bytes()
        path.write_bytes(b"")
        for _ in range(2):  # what was refused is refused again
            with pytest.raises(SourceError) as said:
                index_records(dataset)
            assert str(said.value) == (
                "there were 20 records and there are none now (files: 1, rows: 0); were they cut off while they were "
                "written, or copied? If there are to be none: dataset-assets build --allow-empty"
            )
        assert captions.read_bytes() == made
        write_posts(path, posts)
        assert choose_all(dataset) == rows
        path.write_bytes(b"")
        assert index_records(dataset, allow_empty=True).report["records"] == 0
        write(path, b"[]\n")
        assert index_records(dataset).report["faults"] == {"not_an_object": 1}


@pytest.mark.parametrize(
    ("lines", "fault", "advice"),
    [
        (
            [post("a"), post(None), post("b")],
            "id_not_an_integer: 2, the first in b.jsonl:1",
            "does id under [records] ",
        ),
        ([[], 5, post("a")], "not_an_object: 2, the first in b.jsonl:1", "is every line of theirs a JSON object?"),
    ],
)
def test_rows_without_a_record_are_refused_the_first_time(
    tmp_path: Path, lines: list[Any], fault: str, advice: str
) -> None:
    write_posts(tmp_path / "a.jsonl", [])
    write_posts(tmp_path / "b.jsonl", lines)
    with open_dataset(settings_for(tmp_path)) as dataset:
        with pytest.raises(SourceError) as said:
            index_records(dataset)
        assert str(said.value).startswith(f"there are no records (files: 2, rows: 3, {fault}); {advice}")
        with dataset.catalog.reading() as connection:
            assert load_states(connection) == {}
        assert index_records(dataset, allow_empty=True).report["dropped"] == 3


def test_another_field_for_the_id_is_refused_where_no_row_has_one(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(number, tags=f"tag {number}") for number in range(20)])
    with open_dataset(settings_for(tmp_path)) as dataset:
        index_records(dataset)
    with (
        open_dataset(settings_for(tmp_path, id="tags")) as dataset,
        pytest.raises(
            SourceError, match=r"there were 20 records .* id_not_an_integer: 20, the first in a\.jsonl:1\); "
        ),
    ):
        index_records(dataset)


def test_a_damaged_archive_that_is_all_there_is_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b"no archive at all")
    with (
        open_dataset(settings_for(tmp_path, "*.gz")) as dataset,
        pytest.raises(SourceError, match=r"archive_damaged: 1, the first in a\.jsonl\.gz:1\); were they cut off"),
    ):
        index_records(dataset)


def test_files_without_rows_are_nothing_to_refuse(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [])
    with open_dataset(settings_for(tmp_path)) as dataset:
        assert index_records(dataset).report["rows"] == 0


def test_ranges_that_are_gone_leave_nothing(tmp_path: Path) -> None:
    posts = [post(number % 20, f"text {number}") for number in range(40)]
    write_posts(tmp_path / "a.jsonl", posts)
    with open_dataset(settings_for(tmp_path)) as dataset:
        choose_all(dataset)
        captions = dataset.layout.record_captions("00-01").parent
        assert len(list(captions.iterdir())) == 10  # of each range the captions, and the list of repeated ids

    with open_dataset(settings_for(tmp_path, tars_per_partition=6)) as dataset:
        index_records(dataset)

        assert not captions.exists()
        with dataset.catalog.reading() as connection:
            assert load_pieces(connection, Stage.RECORD_CAPTIONS) == []
            assert [stage for stage, _ in load_states(connection)] == [Stage.CAPTION_RECORDS]
        assert len(choose_all(dataset)) == 20
        assert {path.name for path in captions.glob("*.parquet")} == {"00-05.parquet", "06-09.parquet"}
