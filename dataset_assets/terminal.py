"""What the command line shows: progress bars, and tables of a dataset's state. No work and no decision here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from dataset_assets.counts import count_noun
from dataset_assets.errors import DropReason
from dataset_assets.freshness import Verdict
from dataset_assets.progress import Lines
from dataset_assets.status import Summary, count_by_stage

if TYPE_CHECKING:
    from dataset_assets.buckets.repack import Repacked  # and with it pandas, a quarter of the time of `status`
    from dataset_assets.posts.summary import RecordSummary
    from dataset_assets.trainer.output.summary import MetadataSummary

# A name or a caption is a stranger's text: it does not steer the terminal, nor turn round the direction of what is
# beside it.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
_STYLES = {"fresh": "green", "stale": "yellow", "missing": "red"}
_LISTED = 20  # stages that are not fresh


class _Rate(ProgressColumn):
    """Units a second, over the last half minute."""

    def render(self, task: Task) -> Text:
        """Return the rate, once there is one."""
        rate = task.finished_speed or task.speed
        return Text(f"{rate:,.1f} {task.fields['unit']}/s" if rate else "", style="progress.data.speed")


class Bars:
    """Progress as bars, one a stage; a stage that is started again goes on with its bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._later: dict[str, int] = {}
        self._current: TaskID | None = None

    def expect(self, stage: str, later: int) -> None:
        """Make the stage's bar so much longer."""
        self._later[stage] = later

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Begin or go on with the stage's bar."""
        task = self._tasks.get(stage)
        if task is None:
            task = self._tasks[stage] = self._progress.add_task(stage, total=None, unit=unit, note="")
        done = self._progress.tasks[task].completed
        later = self._later.get(stage, 0)
        self._progress.update(task, total=None if total is None else done + total + later)
        self._current = task

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._current is not None:
            self._progress.advance(self._current, count)

    def note(self, text: str) -> None:
        """Show a text behind the bar."""
        if self._current is not None:
            self._progress.update(self._current, note=text)

    def finish(self) -> None:
        """Close a bar whose length was not known."""
        if self._current is not None and self._progress.tasks[self._current].total is None:
            self._progress.update(self._current, total=self._progress.tasks[self._current].completed)


@contextmanager
def show_progress(console: Console) -> Iterator[Bars | Lines]:
    """Yield progress: bars where the console is a terminal, now and then a line where it is a file or a pipe."""
    if not console.is_terminal:
        yield Lines(lambda line: say(console, line))
        return
    with Progress(
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    ) as display:
        yield Bars(display)


def print_summary(console: Console, summary: Summary) -> None:
    """Print what an export holds: its buckets, what was left out and why, its captions, and where it is."""
    console.print(_bucket_table(summary))
    console.print(_drop_table(summary))
    if summary.captions:
        console.print(_caption_table(summary))
    seen, exported = summary.counts["images_seen"], summary.counts["images_exported"]
    say(
        console,
        f"{exported:,} of {count_noun(seen, 'image')} in {count_noun(summary.shards, 'shard')}, "
        f"{summary.bytes / 1e6:,.1f} MB, export id {summary.export_id}",
    )
    if near := summary.near:
        found = f"{count_noun(near.images, 'image')} in {count_noun(near.groups, 'group')}"
        say(console, f"near duplicates: {found}, see {near.report}")


def print_records(console: Console, summary: "RecordSummary") -> None:
    """Print what was read and what was wrong with it, where the captions come from, and which tars there are."""
    table = count_table("records", "rows", "count", "what becomes of them")
    table.add_row("read", f"{summary.rows:,}", f"of {count_noun(summary.files, 'file')}")
    table.add_row("records", f"{summary.records:,}", f"of {count_noun(summary.ids, 'id')}")
    fates = {"repeated_id": "a later one counts", **dict.fromkeys(summary.dropped, "dropped")}
    for fault, count in {**summary.dropped, **summary.noted}.items():
        table.add_row(fault, f"{count:,}", fates.get(fault, "kept"))
    console.print(table)
    _print_counts(console, "captions", ("made of", "ids"), summary.sources)
    _print_counts(console, "tars", ("kind", "members"), summary.tars)
    if summary.dropped or summary.noted:
        say(console, f"rows listed    {summary.listed}")
    say(console, f"tars           {summary.folder}, {summary.bytes / 1e6:,.1f} MB")


def print_metadata(console: Console, summary: "MetadataSummary") -> None:
    """Print what the texts that trainers get are made of, what they may stumble over, and the cards' line."""
    _print_counts(console, "trainer metadata", ("made of", "ids"), summary.sources)
    found = {name: count for name, count in summary.findings.items() if count}
    if found:
        _print_counts(console, "findings", ("finding", "captions"), found)
    say(console, f"{summary.log}\ntrainer        {summary.folder}, {sum(summary.files.values()) / 1e6:,.1f} MB")


def _print_counts(console: Console, title: str, columns: tuple[str, str], counts: Mapping[str, int]) -> None:
    table = count_table(title, *columns)
    for name, count in counts.items():
        table.add_row(Text(name), f"{count:,}")
    console.print(table)


def print_status(console: Console, verdicts: Mapping[tuple[str, str], Verdict]) -> None:
    """Print how many partitions of each stage are fresh, and every one that is not, with the reason."""
    table = count_table("status", "stage", *_STYLES)
    for stage, counts in count_by_stage(verdicts).items():
        cells = (Text(f"{counts[state]:,}" if counts[state] else "", style) for state, style in _STYLES.items())
        table.add_row(Text(stage), *cells)
    console.print(table)
    others = [(key, verdict) for key, verdict in verdicts.items() if not verdict.fresh]
    for (stage, partition), verdict in others[:_LISTED]:
        name = Text(f"{stage} {partition}".rstrip(), _STYLES[verdict.state])
        say(console, Text.assemble(name, f": {verdict.state}, {verdict.reason}"))
    if len(others) > _LISTED:
        say(console, f"… and {len(others) - _LISTED:,} more; --json lists all")


def print_repacked(console: Console, buckets: "Sequence[Repacked]") -> None:
    """Print what repacking moved."""
    table = count_table("repacked", "bucket", "images", "moved", "shards before", "shards after")
    for one in buckets:
        counts = (one.images, one.moved, one.shards_before, one.shards_after)
        table.add_row(Text(one.bucket_id), *(f"{count:,}" for count in counts))
    if table.row_count:
        console.print(table)
    else:
        say(console, "there were no gaps")


def say(console: Console, line: str | Text) -> None:
    """Print a line as it is: brackets in it are no markup, and where it is cut is the terminal's affair."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def show_line(text: str) -> str:
    """Return a text as one line in which nothing steers the terminal."""
    return _CONTROLS.sub(" ", text)


def _bucket_table(summary: Summary) -> Table:
    table = count_table("buckets", "bucket", "size", "images", "shards")
    for name, bucket in sorted(summary.buckets.items(), key=lambda item: (-item[1]["count"], item[0])):
        table.add_row(Text(name), f"{bucket['w']}×{bucket['h']}", f"{bucket['count']:,}", f"{bucket['shards']:,}")
    return table


def _drop_table(summary: Summary) -> Table:
    table = count_table("left out", "reason", "images")
    for reason in DropReason:
        if count := summary.counts.get(reason.value, 0):
            table.add_row(reason.value, f"{count:,}")
    if not table.row_count:
        table.add_row("nothing", "0")
    return table


def _caption_table(summary: Summary) -> Table:
    table = count_table("captions", "variant", "status", "images")
    for variant, statuses in sorted(summary.captions.items()):
        for status, count in sorted(statuses.items(), key=lambda item: -item[1]):
            table.add_row(Text(variant), Text(status), f"{count:,}")
    return table


def count_table(title: str, *columns: str) -> Table:
    """Return a table whose columns after the first are numbers."""
    table = Table(title=title, title_justify="left")
    table.add_column(columns[0], overflow="fold")  # a narrow terminal breaks a name, and never hides a part of it
    for column in columns[1:]:
        table.add_column(column, justify="right", overflow="fold")
    return table
