"""What a person wants to know of the records: what was read, what is wrong with it, where the captions come from."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import find_state
from dataset_assets.posts.faults import LISTED, RowFault
from dataset_assets.stages import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSummary:
    """What was read, and what became of it."""

    files: int
    rows: int
    records: int  # rows that have an id
    dropped: Mapping[str, int]  # by fault: the other rows
    noted: Mapping[str, int]  # by fault: what is wrong with records, or with files
    listed: str  # a pattern of the lists of these, a line of JSON a fault
    ids: int  # different ones
    sources: Mapping[str, int]  # ids by what their captions are made of
    tars: Mapping[str, int]  # members by kind of tar
    folder: str  # of the tars, a folder a kind in it
    bytes: int  # of the tars


def summarize_records(dataset: Dataset) -> RecordSummary:
    """Return the summary of the records as they were read last. Raises OrderError where that was never."""
    with dataset.catalog.reading() as connection:
        states = load_states(connection)
    read = find_state(states, Stage.CAPTION_RECORDS).report
    ranges = dataset.settings.records.ranges if dataset.settings.records else ()
    chosen = [find_state(states, Stage.RECORD_CAPTIONS, key).report for key in ranges]
    written = [find_state(states, Stage.CAPTIONS_1KTAR, key).report for key in ranges]
    faults = Counter(read["faults"]) + _add([one["faults"] for one in chosen])
    return RecordSummary(
        files=read["files"],
        rows=read["rows"],
        records=read["records"],
        dropped={name: count for name, count in faults.items() if RowFault(name).dropped},
        noted={name: count for name, count in faults.items() if not RowFault(name).dropped},
        listed=str(dataset.layout.parsed.parent / "*" / f"*{LISTED}"),
        ids=sum(one["records"] for one in chosen),
        sources=dict(_add([one["by_source"] for one in chosen]).most_common()),
        tars=dict(_add([one["members"] for one in written])),
        folder=str(dataset.layout.numbered_tars),
        bytes=sum(one["bytes"] for one in written),
    )


def _add(counts: list[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total
