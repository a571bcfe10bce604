"""Asset checks of group `records`: blocking where something would be lost, a warning where a person should look."""

from collections.abc import Iterator
from typing import BinaryIO

import dagster as dg

from dataset_assets.catalog.state import load_pieces, load_states
from dataset_assets.dataset import Dataset
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import make_table, show_faults
from dataset_assets.defs.whole import find_severity, load_made
from dataset_assets.freshness import judge_inputs
from dataset_assets.posts.choose import EMPTY
from dataset_assets.posts.form import CAPTIONS as KIND
from dataset_assets.posts.index import list_faults
from dataset_assets.stages import Stage
from dataset_assets.status import load_report
from dataset_assets.storage.location import Location
from dataset_assets.storage.parquet import open_table
from dataset_assets.trainer.output.merged import CAPTIONS

_MOST_DROPPED = 0.01  # of the rows: more is rarely meant
_MOST_MISSING = 0.05  # of the ids
_CAPTION = b'": {"caption": "'  # how a caption begins; inside of one a quotation mark has a backslash
_PIECE = 1 << 24  # bytes


@dg.asset_check(
    asset=Stage.CAPTION_RECORDS,
    description=(
        "Nearly all rows are records. When it fails: look at the faults; a wrong [records] id, a file that was cut off "
        "while it was copied, or one of another kind are the usual reasons."
    ),
)
def records_read(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Warn when many rows could not be used."""
    with failing():
        report = load_report(dataset, Stage.CAPTION_RECORDS)
    faults = (
        f"{fault['file']}, line {fault['line']}: {fault['fault']}: {fault['detail']}" for fault in list_faults(dataset)
    )
    return dg.AssetCheckResult(
        passed=report["records"] > 0 and report["dropped"] <= report["rows"] * _MOST_DROPPED,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "rows": report["rows"],
            "dropped": report["dropped"],
            "faults": make_table(report["faults"], "fault", "rows"),
            **show_faults(faults),
        },
    )


@dg.asset_check(
    asset=Stage.CAPTION_RECORDS,
    blocking=True,
    description=(
        "The files that were made of the records have as many rows as were read and not dropped. When it fails: the "
        "disk lost something; materialize caption_records with force."
    ),
)
def records_add_up(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Compare the rows of the parsed files with the records that were counted while they were read."""
    with failing():
        report = load_report(dataset, Stage.CAPTION_RECORDS)
        with dataset.catalog.reading() as connection:
            pieces = load_pieces(connection, Stage.CAPTION_RECORDS, "")
        there = sum(_count_rows(dataset.layout.root / piece.path) for piece in pieces if piece.path)
    counted = report["rows"] - report["dropped"]
    return dg.AssetCheckResult(passed=there == counted, metadata={"records": there, "counted": counted})


def _count_rows(path: Location) -> int:
    with open_table(path) as file:
        return int(file.metadata.num_rows)


@dg.asset_check(
    asset=Stage.CAPTIONS_1KTAR,
    blocking=True,
    description=(
        "The tars have a member for every id that has a caption, and none for others. When it fails: materialize the "
        "range again with force; if it fails again, it is a defect: report it."
    ),
)
def members_add_up(context: dg.AssetCheckExecutionContext, dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Compare the members of the tars with the captions that were chosen; tars of earlier captions are left out."""
    with failing():
        made = load_made(dataset, Stage.CAPTIONS_1KTAR)
        with dataset.catalog.reading() as connection:
            states = load_states(connection)
    keys = [key for key in made if judge_inputs(dataset.settings, states, Stage.CAPTIONS_1KTAR, key).fresh]
    chosen = {key: states[Stage.RECORD_CAPTIONS, key].report["by_source"] for key in keys}
    captions = {key: sum(chosen[key].values()) - chosen[key].get(EMPTY, 0) for key in keys}
    members = {key: made[key].report["members"].get(KIND, 0) for key in keys}
    unlike = {key for key in keys if captions[key] != members[key]}
    return dg.AssetCheckResult(
        passed=not unlike,
        severity=find_severity(context, unlike),
        metadata={"captions": sum(captions.values()), "members": sum(members.values())},
    )


@dg.asset_check(
    asset=Stage.TRAINER_METADATA,
    description=(
        "Few ids lack a caption, tags or a size, and few captions trip a trainer up. When it fails: report.md says "
        "which and why; missing_reasons.jsonl names every id."
    ),
)
def metadata_complete(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Warn when much is missing."""
    with failing():
        report = load_report(dataset, Stage.TRAINER_METADATA)
    given = {name: count for name, count in report["missing"].items() if name not in report.get("not_given", ())}
    return dg.AssetCheckResult(
        passed=all(count <= report["ids"] * _MOST_MISSING for count in given.values()),
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
    description=(
        "The metadata has as many captions as its report counts. When it fails: materialize it again with force; if it "
        "fails again, it is a defect: report it."
    ),
)
def captions_add_up(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Compare the captions in meta_cap.json with the ids that have one."""
    with failing():
        report = load_report(dataset, Stage.TRAINER_METADATA)
    with (dataset.layout.trainer / CAPTIONS).open("rb") as file:
        there = sum(chunk.count(_CAPTION) for chunk in _overlap(file))
    counted = report["ids"] - report["missing"]["caption"]
    return dg.AssetCheckResult(passed=there == counted, metadata={"captions": there, "counted": counted})


def _overlap(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file in pieces, each with so much of the one before that nothing is cut in two."""
    rest = b""
    while data := file.read(_PIECE):
        yield rest + data
        rest = (rest + data)[1 - len(_CAPTION) :]


RECORD_CHECKS: tuple[dg.AssetChecksDefinition, ...] = (records_read, records_add_up, members_add_up)
TRAINER_CHECKS: tuple[dg.AssetChecksDefinition, ...] = (metadata_complete, captions_add_up)
