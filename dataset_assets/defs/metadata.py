"""Reports of the stages as metadata that Dagster shows. No counting here."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import dagster as dg

from dataset_assets.defs.texts import cut, quote
from dataset_assets.overview.captions import name_selected
from dataset_assets.overview.reasons import explain_reason
from dataset_assets.settings import Settings
from dataset_assets.storage.location import Location
from dataset_assets.work import Outcome

ROWS, PARTITION_ROWS = "dagster/row_count", "dagster/partition_row_count"  # which Dagster plots over time

_NO_CAPTION = "no caption"
_FAULTS = 20  # that are shown of those of a check
_HIDDEN = {"inputs", "digests", "sight", "order", "listing"}
# Of the run that made it: a later one does not say them again.
_OF_THE_RUN = {
    "images_per_second", "captions_per_second", "asked", "copied", "prompt_tokens", "completion_tokens", "cost",
}  # fmt: skip
_COUNTED = {"files": "bytes"}  # what a table counts, where it is not what the others of its report count

# What the first column of a table of counts is called.
_COLUMNS = {
    "buckets": "bucket",
    "statuses": "status",
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


def make_drops(drops: Mapping[str, int]) -> dg.MetadataValue[Any]:
    """Return images by the reason for which they were left out, with what each means and what to do about it."""
    rows = [(reason, count) for reason, count in drops.items() if count]
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord({"reason": reason, "images": count, "meaning": explain_reason(reason)})
            for reason, count in sorted(rows, key=lambda row: (-row[1], row[0]))
        ],
        schema=dg.TableSchema(
            [dg.TableColumn("reason"), dg.TableColumn("images", "int"), dg.TableColumn("meaning", "string")]
        ),
    )


def tell_selected(settings: Settings, report: Mapping[str, Any], samples: int) -> dict[str, Any]:
    """Return a report's samples by the variant whose caption they have, and the share of those that have one."""
    variants = [selector.variant for selector in settings.captions.priority]
    named = name_selected(report["selected"], variants, samples)
    without = named.pop("", 0)
    counts = named | ({_NO_CAPTION: without} if without else {})
    share = {"captioned_share": round(1 - without / samples, 4)} if samples else {}
    return {"selected": make_table(counts, "variant", "samples"), **share}


def show_faults(faults: Iterable[str]) -> dict[str, Any]:
    """Return the first of some faults as an entry of metadata, as text; no entry where there is none."""
    shown = "".join(quote(cut(fault) for fault in islice(faults, _FAULTS)))
    return {"first_faults": dg.MetadataValue.md(shown)} if shown else {}


def show_path(path: Location) -> dg.MetadataValue[Any]:
    """Return where a file or folder is."""
    return dg.MetadataValue.path(str(path))


def describe(outcome: Outcome, *, counted: str = "images") -> dict[str, Any]:
    """Return a report's numbers as they are, its counts by name as tables; what only fingerprints need is left out.

    `counted` is what the tables count.
    """
    shown: dict[str, Any] = {"reused": outcome.reused}
    for name, value in outcome.report.items():
        if name in _HIDDEN or isinstance(value, list) or (outcome.reused and name in _OF_THE_RUN):
            continue
        if not isinstance(value, dict):
            shown[name] = value
        elif name == "drops":
            shown |= {"drops": make_drops(value), "dropped": sum(value.values())}
        elif all(isinstance(count, int) for count in value.values()):
            shown[name] = make_table(value, _COLUMNS.get(name, name), _COUNTED.get(name, counted))
        else:
            shown[name] = dg.MetadataValue.json(value)
    return shown


def as_result(outcome: Outcome, metadata: Mapping[str, Any]) -> dg.MaterializeResult[Any]:
    """Return what an asset returns of an outcome: its data version is the digest of what was made."""
    return dg.MaterializeResult(data_version=dg.DataVersion(outcome.state.output), metadata=metadata)
