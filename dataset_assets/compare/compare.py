"""Two exports side by side: what was added, removed and changed, counted so that it adds up, with examples.

Needs nothing but the two folders. Tars that have the same path and hash in both manifests are not opened.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dataset_assets.compare.counts import (
    Names,
    count_buckets,
    count_combinations,
    count_images,
    count_kinds,
    count_samples,
    count_variants,
    number_tars,
)
from dataset_assets.compare.examples import Sketch, read_examples
from dataset_assets.compare.export import Export, find_equal, open_export
from dataset_assets.compare.gather import Gathered, gather_rows
from dataset_assets.compare.manifests import compare_drops, compare_settings, compare_sources
from dataset_assets.compare.match import Kind, Matched, match_rows, name_of
from dataset_assets.compare.records import EXAMPLES, Comparison, Difference, Example, Summary
from dataset_assets.progress import Progress

EXAMPLE_KINDS = ("added", "removed", *(name_of(kind) for kind in Kind), "moved")

Jpegs = Mapping[tuple[str, int], bytes]  # by the sample's key, and 0 for the first export, 1 for the second


class Compared(NamedTuple):
    """A comparison, and the JPEGs of its examples."""

    comparison: Comparison
    jpegs: Jpegs


def compare_exports(
    first: Path, second: Path, *, examples: int = EXAMPLES, workers: int = 0, progress: Progress
) -> Compared:
    """Return in what two exports differ, after reading their tars with `workers` at a time, 0 for one a core.

    Raises StorageError for a folder that is no bucketed export, and for a tar that is damaged or not as its manifest
    says.
    """
    a, b = open_export(first), open_export(second)
    equal = find_equal(a, b)
    gathered = gather_rows(a, b, equal, workers=workers, progress=progress)
    names = number_tars(a, b)
    matched = match_rows(*gathered.rows, *names.tars)
    found: dict[str, list[Example]] = {kind: [] for kind in EXAMPLE_KINDS}
    jpegs: dict[tuple[str, int], bytes] = {}
    for kind, sketch in read_examples((a, b), gathered, matched, examples):
        found[kind].append(sketch.example)
        jpegs |= _keep(sketch)
    return Compared(_sum_up((a, b), equal, gathered, matched, names, found), jpegs)


def _keep(sketch: Sketch) -> dict[tuple[str, int], bytes]:
    return {(sketch.example.key, number): jpeg for number, jpeg in enumerate(sketch.jpegs) if jpeg}


def _sum_up(
    exports: tuple[Export, Export],
    equal: Mapping[str, int],
    gathered: Gathered,
    matched: Matched,
    names: Names,
    examples: Mapping[str, Sequence[Example]],
) -> Comparison:
    a, b = exports
    counts = count_samples(matched, sum(equal.values()))
    unread: Counter[str] = Counter()
    for tar, number in zip(a.tars, names.tars[0].buckets, strict=True):
        unread[names.buckets[number]] += equal.get(tar.path, 0)
    buckets, moves = count_buckets(names, gathered, matched, unread)
    return Comparison(
        equal=not (counts.changed or counts.added or counts.removed),
        a=_describe(a, counts.a),
        b=_describe(b, counts.b),
        counts=counts,
        kinds=count_kinds(matched),
        combinations=count_combinations(matched),
        images=count_images(matched),
        buckets=buckets,
        bucket_moves=moves,
        variants=count_variants(gathered, matched),
        sources=compare_sources(a.manifest, b.manifest),
        settings=compare_settings(a.manifest, b.manifest),
        drops=compare_drops(a.manifest, b.manifest),
        fields=list(_compare_fields(*gathered.fields)),
        examples=examples,
        bytes_read=gathered.bytes,
    )


def _describe(export: Export, samples: int) -> Summary:
    return Summary(
        path=str(export.folder),
        export_id=export.say("export_id"),
        created_at=export.say("created_at"),
        format=export.say("format"),
        samples=samples,
        tars=len(export.tars),
    )


def _compare_fields(a: frozenset[str], b: frozenset[str]) -> Iterator[Difference]:
    """Yield the fields that the JSON of only one export has; none where no tar of one was read."""
    if a and b:
        for name in sorted(a ^ b):
            yield Difference(key=name, a=name in a or None, b=name in b or None)
