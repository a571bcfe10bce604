"""What the command on two exports prints, as tables and lines. No work and no decision here."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from dataset_assets.compare.records import Comparison, Difference, Example, Flow, Images, Summary
from dataset_assets.counts import count_noun
from dataset_assets.terminal import count_table, say, show_line

_LISTED = 20  # rows of a table; --json has all
_SHOWN = 3  # examples of each kind
_LONGEST = 300  # characters of a text
_KINDS = {  # what fields of Counts, Kinds and Images are called
    "image": "re-cropped",
    "caption": "re-captioned",
    "variant": "same caption of another variant",
    "record": "only other fields",
    "moved": "in another tar",
}
_REASONS = {
    "bucket": "another bucket",
    "crop": "another crop",
    "encoding": "another encoding",
    "source": "another source",
    "bytes": "other bytes",
    "bytes_only": "other bytes, all else alike",
    "same_bytes": "the same bytes, made otherwise",
}
_NOTHING = "–"


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print in what two exports differ, and the first examples of each kind."""
    for name, export in (("A", comparison.a), ("B", comparison.b)):
        say(console, f"{name}  {_describe(export)}")
    _print_counts(console, comparison)
    _print_images(console, comparison.images)
    _print_buckets(console, comparison)
    _print_flows(console, "moved between buckets", comparison.bucket_moves, "bucket")
    if any(flow.a != flow.b for flow in comparison.variants):
        _print_flows(console, "captions by variant", comparison.variants, "variant", comparison.counts.not_read)
    if comparison.sources.a or comparison.sources.b:
        sources = comparison.sources
        say(console, f"caption sources: {sources.both:,} in both, {sources.a:,} only in A, {sources.b:,} only in B")
    _print_differences(console, "settings that differ", "setting", comparison.settings)
    if any(one.a != one.b for one in comparison.drops):
        _print_differences(console, "left out", "reason", comparison.drops)
    for one in comparison.fields:
        say(console, f"only {'A' if one.a else 'B'} has the field {show_line(one.key)}: it is not compared")
    for kind, examples in comparison.examples.items():
        for example in examples[:_SHOWN]:
            _print_example(console, kind, example)
    say(console, "\nthe samples are the same" if comparison.equal else "\nthe samples differ")


def _describe(export: Summary) -> str:
    named = f", export id {export.export_id}" if export.export_id else ""
    counts = f"{count_noun(export.samples, 'sample')} in {count_noun(export.tars, 'tar')}"
    return show_line(f"{export.path}: {counts}, {export.format}{named}")


def _print_counts(console: Console, comparison: Comparison) -> None:
    counts = comparison.counts
    table = count_table("samples", "", "A", "B")
    for name, a, b in (
        ("the same", counts.same, counts.same),
        ("changed", counts.changed, counts.changed),
        *((f"  {_KINDS[name]}", count, count) for name, count in asdict(comparison.kinds).items() if count),
        ("removed", counts.removed, None),
        ("added", None, counts.added),
        ("in all", counts.a, counts.b),
    ):
        table.add_row(name, *("" if number is None else f"{number:,}" for number in (a, b)))
    console.print(table)
    if both := sum(one.count for one in comparison.combinations if len(one.kinds) > 1):
        say(console, f"both another image and another caption or variant: {both:,}")
    if counts.moved:
        say(console, f"in another tar, changed or not: {counts.moved:,}")
    if counts.not_read:
        say(console, f"the same, in tars with the same hash, which were not opened: {counts.not_read:,}")


def _print_images(console: Console, images: Images) -> None:
    found = {name: count for name, count in asdict(images).items() if count}
    if found:
        table = count_table("re-cropped", "what differs", "samples")
        for name, count in found.items():
            table.add_row(_REASONS[name], f"{count:,}")
        console.print(table)
        if len(found) > 1:
            say(console, "one sample can be in several of these rows")


def _print_buckets(console: Console, comparison: Comparison) -> None:
    other = [one for one in comparison.buckets if one.same < max(one.a, one.b)]
    if not other:
        return
    columns = ("A", "B", "same", "changed", "added", "removed", "came", "went")
    table = count_table("buckets", "bucket", *columns)
    for one in other[:_LISTED]:
        numbers = (one.a, one.b, one.same, one.changed, one.added, one.removed, one.came, one.went)
        table.add_row(Text(show_line(one.id)), *(f"{number:,}" if number else "" for number in numbers))
    console.print(table)
    _say_rest(console, len(other))


def _print_flows(console: Console, title: str, flows: Sequence[Flow], what: str, not_read: int = 0) -> None:
    if not flows:
        return
    table = count_table(title, f"{what} in A", f"{what} in B", "samples")
    table.columns[1].justify = "left"
    for flow in flows[:_LISTED]:
        table.add_row(_name(flow.a), _name(flow.b), f"{flow.count:,}")
    if not_read:
        table.add_row("in tars not opened", "the same", f"{not_read:,}")
    console.print(table)
    _say_rest(console, len(flows))


def _name(value: str | None) -> Text:
    return Text(_NOTHING if value is None else show_line(value)[:_LONGEST] or "no caption")


def _print_differences(console: Console, title: str, what: str, differences: Sequence[Difference]) -> None:
    if not differences:
        return
    table = count_table(title, what, "A", "B")
    for one in differences[:_LISTED]:
        table.add_row(Text(_show(one.key)), Text(_show(one.a)), Text(_show(one.b)))
    console.print(table)
    _say_rest(console, len(differences))


def _say_rest(console: Console, rows: int) -> None:
    if rows > _LISTED:
        say(console, f"… and {rows - _LISTED:,} more; --json lists all")


def _show(value: object) -> str:
    """Return a value as one line: numbers as people write them, lists as JSON."""
    if value is None:
        return _NOTHING
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = show_line(text)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _print_example(console: Console, kind: str, example: Example) -> None:
    reasons = [reason for reason in example.reasons if reason != "bytes"] or example.reasons
    what = [_KINDS.get(kind, kind), *(_REASONS[reason] for reason in reasons if kind == "image")]
    say(console, Text(f"\n{', '.join(what)}: {_show(example.image_id or example.key)}", "bold"))
    say(console, f"  key {example.key}")
    first = example.a or example.b
    for mark, side in (("A", example.a), ("B", example.b)):
        if side:
            facts = f"{side.tar}, {side.bytes:,} bytes, {side.variant or 'no caption'}"
            say(console, f"  {mark}   {show_line(facts)}")
            if side.caption and (side is first or example.words_b):
                say(console, f"      {_show(side.caption)}")
    for one in example.fields:
        say(console, f"  {_show(one.key)}: {_show(one.a)} → {_show(one.b)}")
