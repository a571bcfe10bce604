"""Reports of the stages as metadata that Dagster shows. No counting here."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from dataset_assets.work import Outcome

_MARKUP = "\\`*_{}[]<>()#+!|&$~"

_HIDDEN = {"inputs", "digests", "sight", "order", "listing"}
_COUNTED = {"files": "bytes"}  # what a table counts, where it is not what the others of its report count

# What the first column of a table of counts is called.
_COLUMNS = {
    "drops": "reason",
    "buckets": "bucket",
    "statuses": "status",
    "selected": "selector",
    "summary": "counter",
    "findings": "finding",
    "largest": "first image",
    "faults": "fault",
    "by_source": "made of",
    "members": "tars of",
}


def make_table(counts: Mapping[str, int], name: str, count: str) -> dg.MetadataValue[Any]:
    """Return counts as a table of two columns, the largest first."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: key, count: value}) for key, value in rows],
        schema=dg.TableSchema([dg.TableColumn(name, "string"), dg.TableColumn(count, "int")]),
    )


def describe(outcome: Outcome, *, counted: str = "images") -> dict[str, Any]:
    """Return a report's numbers as they are, its counts by name as tables; what only fingerprints need is left out.

    `counted` is what the tables count.
    """
    shown: dict[str, Any] = {"reused": outcome.reused}
    for name, value in outcome.report.items():
        if name in _HIDDEN or isinstance(value, list):
            continue
        if not isinstance(value, dict):
            shown[name] = value
        elif all(isinstance(count, int) for count in value.values()):
            shown[name] = make_table(value, _COLUMNS.get(name, name), _COUNTED.get(name, counted))
        else:
            shown[name] = dg.MetadataValue.json(value)
    return shown


def as_cell(text: str) -> str:
    """Return a text as it stands in a cell of a Markdown table: one line, and nothing in it is markup."""
    escaped = "".join(f"&#{ord(character)};" if character in _MARKUP else character for character in text)
    return " ".join(escaped.split())
