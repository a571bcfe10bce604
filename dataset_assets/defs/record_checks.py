"""Asset checks of group `records`: blocking where something would be lost, a warning where a person should look."""

from itertools import islice

import dagster as dg

from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import as_cell, make_table
from dataset_assets.freshness import Stage, find_state
from dataset_assets.posts.index import list_faults

_MOST_DROPPED = 0.01  # of the rows: more is rarely meant
_MOST_MISSING = 0.05  # of the ids
_LISTED = 20  # faults in the metadata


@dg.asset_check(
    asset=Stage.CAPTION_RECORDS,
    description=(
        "Nearly all rows are records. When it fails: look at the faults; a wrong [records] id, a file that was cut off "
        "while it was copied, or one of another kind are the usual reasons."
    ),
)
def records_read(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Warn when many rows could not be used."""
    with failing(), dataset.catalog.reading() as connection:
        report = find_state(load_states(connection, [""]), Stage.CAPTION_RECORDS).report
    rows = [
        f"| {as_cell(fault['file'])} | {fault['line']} | {fault['fault']} | {as_cell(fault['detail'])} |"
        for fault in islice(list_faults(dataset), _LISTED)
    ]
    listed = "\n".join(["| file | line | fault | detail |", "|---|--:|---|---|", *rows])
    return dg.AssetCheckResult(
        passed=report["records"] > 0 and report["dropped"] <= report["rows"] * _MOST_DROPPED,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "rows": report["rows"],
            "dropped": report["dropped"],
            "faults": make_table(report["faults"], "fault", "rows"),
            **({"first_faults": dg.MetadataValue.md(listed)} if rows else {}),
        },
    )


@dg.asset_check(
    asset=Stage.CAPTION_RECORDS,
    blocking=True,
    description="Every row is a record or counted with the reason why not. A failure is a defect: report it.",
)
def rows_add_up(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Compare what was read and dropped with the rows there are."""
    with failing(), dataset.catalog.reading() as connection:
        report = find_state(load_states(connection, [""]), Stage.CAPTION_RECORDS).report
    rows, counted = report["rows"], report["records"] + report["dropped"]
    return dg.AssetCheckResult(passed=rows == counted, metadata={"rows": rows, "counted": counted})


@dg.asset_check(
    asset=Stage.TRAINER_METADATA,
    description=(
        "Few ids lack a caption, tags or a size, and few captions trip a trainer up. When it fails: report.md says "
        "which and why; missing_reasons.jsonl names every id."
    ),
)
def metadata_complete(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Warn when much is missing."""
    with failing(), dataset.catalog.reading() as connection:
        report = find_state(load_states(connection, [""]), Stage.TRAINER_METADATA).report
    return dg.AssetCheckResult(
        passed=all(count <= report["ids"] * _MOST_MISSING for count in report["missing"].values()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "ids": report["ids"],
            "missing": make_table(report["missing"], "what", "ids"),
            "findings": make_table(report["findings"], "finding", "captions"),
        },
    )


@dg.asset_check(
    asset=Stage.TRAINER_METADATA,
    blocking=True,
    description="The sources of the texts add up to the ids. A failure is a defect: report it.",
)
def ids_add_up(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Compare the ids with what their texts are from."""
    with failing(), dataset.catalog.reading() as connection:
        report = find_state(load_states(connection, [""]), Stage.TRAINER_METADATA).report
    counted = sum(report["sources"].values())
    return dg.AssetCheckResult(passed=counted == report["ids"], metadata={"ids": report["ids"], "counted": counted})


RECORD_CHECKS: tuple[dg.AssetChecksDefinition, ...] = (records_read, rows_add_up)
TRAINER_CHECKS: tuple[dg.AssetChecksDefinition, ...] = (metadata_complete, ids_add_up)
