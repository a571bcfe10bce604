import io
from typing import Any

import pytest
from rich.console import Console

from dataset_assets.freshness import Verdict
from dataset_assets.posts.summary import RecordSummary
from dataset_assets.progress import Lines
from dataset_assets.status import NearSummary, Summary
from dataset_assets.terminal import (
    Bars,
    print_metadata,
    print_records,
    print_status,
    print_summary,
    show_line,
    show_progress,
)
from dataset_assets.trainer.output.summary import MetadataSummary

ODD = "[bold]odd[/] name [/red]"  # valid nowhere, but no reason to crash or to lose a letter


def console(width: int = 200, *, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


def printed(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def letters(text: str) -> str:
    """Return what a text says outside of tables, then what each of their columns says, without spaces: a name that was
    broken over several lines is whole again."""
    lines = text.splitlines()
    rows = [line.split("│")[1:-1] for line in lines if line.startswith("│")]
    columns = ["".join(row[number] for row in rows if number < len(row)) for number in range(4)]
    return "".join(" ".join(["\n".join(line for line in lines if not line.startswith("│")), *columns]).split())


def summary(**changes: Any) -> Summary:
    fields: dict[str, Any] = {
        "export": "/data/export",
        "export_id": "0123456789abcdef",
        "counts": {"images_seen": 2_000, "images_exported": 1_500, "skipped_too_small": 499, "decode_errors": 1},
        "buckets": {
            "p832x1216": {"w": 416, "h": 608, "count": 1_400, "shards": 2},
            "p1024x1024": {"w": 512, "h": 512, "count": 100, "shards": 1},
        },
        "captions": {"caption_sidecar": {"ok": 1_200, "missing": 300}},
        "left": {},
        "near": None,
        "bytes": 123_456_789,
        "shards": 3,
    }
    return Summary(**fields | changes)


def test_a_summary_says_where_near_duplicates_are_named() -> None:
    near = NearSummary(images=1_200, groups=34, report=f"/data/{ODD}/near.parquet")
    there, without = console(), console()

    print_summary(there, summary(near=near))
    print_summary(without, summary())

    assert f"near duplicates: 1,200 images in 34 groups, see /data/{ODD}/near.parquet\n" in printed(there)
    assert "near" not in printed(without)


def test_a_summary_shows_every_number() -> None:
    to = console()

    print_summary(to, summary())

    said = printed(to)
    assert "1,500 of 2,000 images in 3 shards, 123.5 MB, export id 0123456789abcdef" in said
    rows = [line.split("│")[1:-1] for line in said.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["p832x1216", "416×608", "1,400", "2"],
        ["p1024x1024", "512×512", "100", "1"],
        ["skipped_too_small", "499"],
        ["decode_errors", "1"],
        ["caption_sidecar", "ok", "1,200"],
        ["caption_sidecar", "missing", "300"],
    ]


def cells(said: str) -> list[list[str]]:
    rows = [line.split("│")[1:-1] for line in said.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row] for row in rows]


def test_what_became_of_records_shows_every_number() -> None:
    to = console()

    print_records(
        to,
        RecordSummary(
            files=3,
            rows=12_345,
            records=12_300,
            dropped={"not_json": 45},
            noted={"repeated_id": 100, "bom": 2},
            listed=f"/data/{ODD}/*.faults.jsonl",
            ids=12_200,
            sources={"summary": 12_000, "tags": 150, "empty": 50},
            tars={"captions": 12_150, "tags": 9_000},
            folder=f"/data/{ODD}/export_1k",
            bytes=123_456_789,
        ),
    )

    assert cells(printed(to)) == [
        ["read", "12,345", "of 3 files"],
        ["records", "12,300", "of 12,200 ids"],
        ["not_json", "45", "dropped"],
        ["repeated_id", "100", "a later one counts"],
        ["bom", "2", "kept"],
        ["summary", "12,000"],
        ["tags", "150"],
        ["empty", "50"],
        ["captions", "12,150"],
        ["tags", "9,000"],
    ]
    lines = f"rows listed    /data/{ODD}/*.faults.jsonl\ntars           /data/{ODD}/export_1k, 123.5 MB\n"
    assert printed(to).endswith(lines)


def test_what_trainers_get_shows_every_number() -> None:
    to = console()
    log = "ids: 12000, missing tags: 0, missing caption: 20, missing latent: 7"

    print_metadata(
        to,
        MetadataSummary(
            folder=f"/data/{ODD}/trainer",
            files={"meta_cap.json": 1_000_000, "report.md": 500_000},
            ids=12_000,
            missing={"tags": 0, "caption": 20, "latent": 7},
            sources={"summary": 11_980, "none": 20},
            findings={"newline": 0, "{": 3},
            log=log,
        ),
    )

    assert cells(printed(to)) == [["summary", "11,980"], ["none", "20"], ["{", "3"]]
    assert printed(to).endswith(f"{log}\ntrainer        /data/{ODD}/trainer, 1.5 MB\n")


def test_nothing_left_out_is_said() -> None:
    to = console()

    print_summary(to, summary(counts={"images_seen": 5, "images_exported": 5}, captions={}))

    assert "nothing" in printed(to)
    assert "captions" not in printed(to)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("width", [40, 200])
def test_brackets_in_names_are_no_markup(width: int, terminal: bool) -> None:
    to = console(width, terminal=terminal)
    verdicts = {
        (f"captions/{ODD}", ODD): Verdict("stale", f"export/{ODD}.tar: No such file"),
        ("manifest", ""): Verdict("missing", "not made yet"),
    }

    print_summary(
        to,
        summary(buckets={ODD: {"w": 1, "h": 1, "count": 1, "shards": 1}}, captions={ODD: {ODD: 1}}, export_id=ODD),
    )
    print_status(to, verdicts)

    assert letters(printed(to)).count(letters(ODD)) == 8
    assert f"captions/{ODD} {ODD}: stale, export/{ODD}.tar: No such file\n" in printed(to)


def test_in_a_narrow_terminal_names_are_broken_and_nothing_is_hidden() -> None:
    to = console(40, terminal=True)
    name = "caption_of_a_model_with_a_very_long_name_indeed"

    print_summary(to, summary(captions={name: {"missing": 12_345_678}}))
    print_status(to, {(f"captions/{name}", "p832x1216_000000-000015"): Verdict("stale", "changed: settings")})

    said = printed(to)
    assert letters(said).count(name) == 3
    assert "…" not in said
    assert "12,345,678" in said
    assert f"captions/{name} p832x1216_000000-000015: stale, changed: settings\n" in said  # whole: it can be copied
    assert all(len(line) <= 40 for line in said.splitlines() if "│" in line)


def test_status_counts_by_stage_and_says_what_is_not_fresh() -> None:
    to = console()
    verdicts = {("shards", f"p{n}"): Verdict("stale", "interrupted") for n in range(25)}
    verdicts |= {("raw_images", ""): Verdict("fresh"), ("manifest", ""): Verdict("missing", "not made yet")}

    print_status(to, verdicts)

    said = printed(to)
    assert said.count("stale, interrupted") == 20
    assert "… and 6 more; --json lists all" in said
    assert [line.split("│")[1:-1] for line in said.splitlines() if line.startswith("│ shards")] == [
        [" shards     ", "       ", "    25 ", "         "]
    ]


def test_progress_is_lines_where_no_terminal_is() -> None:
    to = console(40)

    with show_progress(to) as progress:
        assert isinstance(progress, Lines)
        progress._say(f"{ODD} " * 5)

    assert printed(to) == f"{ODD} " * 5 + "\n"


def test_progress_is_bars_in_a_terminal() -> None:
    to = console(120, terminal=True)

    with show_progress(to) as progress:
        assert isinstance(progress, Bars)
        progress.start(ODD, 1_000, "images")
        progress.advance(1_000)
        progress.finish()

    assert ODD in printed(to)
    assert "1000/1000" in printed(to)


def test_a_bar_goes_on_over_several_starts_and_knows_what_comes_later() -> None:
    to = console(120, terminal=True)

    with show_progress(to) as progress:
        assert isinstance(progress, Bars)
        progress.advance(5)  # before any start: of nothing
        progress.expect("crops", 30)
        progress.start("crops", 10, "images")
        (task,) = progress._progress.tasks
        assert task.total == 40
        progress.advance(10)
        progress.expect("crops", 0)
        progress.start("crops", 30, "images")
        assert (task.completed, task.total) == (10, 40)
        progress.advance(30)
        progress.start("listing", None, "files")
        progress.advance(7)
        progress.finish()

        assert [(one.completed, one.total) for one in progress._progress.tasks] == [(40, 40), (7, 7)]


@pytest.mark.parametrize("control", ["\n", "\x1b", "\x9b", "\u202e", "\u2066", "\u2029"])
def test_nothing_in_a_text_steers_the_terminal(control: str) -> None:
    assert show_line(f"a{control}b שלום") == "a b שלום"
