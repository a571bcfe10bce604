"""Reports of the stages as metadata that Dagster shows. No counting here."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from dataset_assets.work import Outcome


def make_table(counts: Mapping[str, int], name: str, count: str) -> dg.MetadataValue[Any]:
    """Return counts as a table of two columns, the largest first."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: key, count: value}) for key, value in rows],
        schema=dg.TableSchema([dg.TableColumn(name, "string"), dg.TableColumn(count, "int")]),
    )


def describe(outcome: Outcome) -> dict[str, Any]:
    """Return a report's numbers as they are, its counts by name as tables; what only fingerprints need is left out."""
    shown: dict[str, Any] = {"reused": outcome.reused}
    for name, value in outcome.report.items():
        if name in ("inputs", "digests", "sources"):
            continue
        shown[name] = make_table(value, name.removesuffix("s"), "images") if isinstance(value, dict) else value
    if outcome.report.get("seconds") and not outcome.reused:
        done = outcome.report.get("encoded", outcome.report.get("samples", 0))
        shown["images_per_second"] = round(done / outcome.report["seconds"], 1)
    return shown
