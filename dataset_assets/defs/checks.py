"""Asset checks: blocking where a bad export would follow, a warning where a person should look.

One of a partitioned asset is about all partitions that are made, whichever of them its run is about: a page shows its
newest verdict only.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import dagster as dg

from dataset_assets.catalog.captions import CaptionStatus, Spending, load_spending
from dataset_assets.catalog.state import load_pieces, load_states
from dataset_assets.dataset import Dataset
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import make_drops, make_table, show_faults
from dataset_assets.defs.texts import cut
from dataset_assets.defs.whole import list_keys, load_made
from dataset_assets.freshness import find_state, judge_inputs
from dataset_assets.progress import Progress
from dataset_assets.release.inspect import inspect_export, inspect_shards
from dataset_assets.settings import ChatSettings
from dataset_assets.stages import Stage, caption_stage
from dataset_assets.status import load_report

_MOST_DROPS = 0.5  # of the images seen: more is rarely meant
_MOST_REMOVED = 0.1  # of the images there were, since the scan before: likewise
_LEAST_COVERAGE = 0.9  # of the samples, and of a model's answers
_MOST_REFUSED = 0.05  # of a model's answers
_MOST_TRUNCATED = 0.02  # likewise
_NEARLY_SPENT = 0.9  # of the budget
_NAMED = 3  # faults in the description


@dg.asset_check(
    asset=Stage.RAW_IMAGES,
    description=(
        "Images were found and most of them can be used. When it fails: the table of drops says why, and what to do "
        "about each reason. A wrong path under [[sources]] is the usual reason for none at all, a disk that is not "
        "mounted one for many that were removed."
    ),
)
def images_usable(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Warn when there is nothing to build from, or little of what is there."""
    with failing():
        report = load_report(dataset, Stage.RAW_IMAGES)
    gone = (report["seen"] + report["removed"]) * _MOST_REMOVED
    return dg.AssetCheckResult(
        passed=report["usable"] > report["seen"] * (1 - _MOST_DROPS) and report["removed"] <= gone,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "seen": report["seen"],
            "usable": report["usable"],
            "removed": report["removed"],
            "drops": make_drops(report["drops"]),
        },
    )


@dg.asset_check(
    asset=Stage.BUCKET_ASSIGNMENTS,
    blocking=True,
    description=(
        "Every image seen is in a bucket or counted with the reason why not: none is lost without a word. A failure is "
        "a defect: report it."
    ),
)
def counts_add_up(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Compare what was assigned and dropped with what was seen."""
    with failing(), dataset.catalog.reading() as connection:
        states = load_states(connection, [""])
    seen = find_state(states, Stage.RAW_IMAGES).report["seen"]
    report = find_state(states, Stage.BUCKET_ASSIGNMENTS).report
    counted = report["assigned"] + sum(report["drops"].values())
    return dg.AssetCheckResult(
        passed=counted == seen,
        metadata={"seen": seen, "counted": counted, "drops": make_drops(report["drops"])},
    )


@dg.asset_check(
    asset=Stage.CAPTION_SELECTION,
    description=(
        "Most samples have a caption: a trainer learns little from those without. When it fails: look at the statuses "
        "of captions/<variant>, and whether the sidecars are named like the images."
    ),
)
def caption_coverage(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Warn when many samples have no caption."""
    with failing():
        reports = [state.report for state in load_made(dataset, Stage.CAPTION_SELECTION).values()]
    images, without = (sum(report[name] for report in reports) for name in ("images", "without"))
    coverage = 1 - without / images if images else 0.0
    return dg.AssetCheckResult(
        passed=coverage >= _LEAST_COVERAGE,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"images": images, "without_caption": without, "coverage": round(coverage, 4)},
    )


def make_model_checks(variant: ChatSettings) -> list[dg.AssetChecksDefinition]:
    """Return the checks of the captions that a model makes: each warns, and a person decides."""
    status = CaptionStatus
    return [
        _make_rate_check(
            variant,
            "coverage",
            set(status) - {status.OK},
            1 - _LEAST_COVERAGE,
            "Most images that the model was asked about have a caption. When it fails: look at the statuses and at "
            "`dataset-assets captions status`; the next selector gets what this one leaves.",
        ),
        _make_rate_check(
            variant,
            "refusals",
            {status.REFUSED, status.FILTERED},
            _MOST_REFUSED,
            "The model seldom refuses. When it fails: another prompt, model or provider; or a fallback that does not.",
        ),
        _make_rate_check(
            variant,
            "truncations",
            {status.TRUNCATED},
            _MOST_TRUNCATED,
            "The model seldom runs out of tokens. When it fails: raise max_tokens, or ask for less in the prompt.",
        ),
        _make_budget_check(variant),
    ]


def _make_rate_check(
    variant: ChatSettings, name: str, statuses: Collection[CaptionStatus], most: float, description: str
) -> dg.AssetChecksDefinition:
    """Return the check that no more than `most` of the answers have one of these statuses."""
    stage = caption_stage(variant.name)

    @dg.asset_check(name=name, asset=stage.split("/"), description=description)
    def rate(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
        with failing():
            made = load_made(dataset, stage)
        counts = sum((Counter(state.report["statuses"]) for state in made.values()), Counter[str]())
        share = sum(counts[one.value] for one in statuses) / counts.total() if counts else 0.0
        return dg.AssetCheckResult(
            passed=share <= most,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "answers": counts.total(),
                "share": round(share, 4),
                "statuses": make_table(counts, "status", "images"),
            },
        )

    return rate


def _make_budget_check(variant: ChatSettings) -> dg.AssetChecksDefinition:
    """Return the check that the budget will not be spent soon."""

    @dg.asset_check(
        name="budget",
        asset=caption_stage(variant.name).split("/"),
        description="The budget is not nearly spent. When it fails: raise budget_usd, or let it stop the captions.",
    )
    def budget(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
        with failing(), dataset.catalog.reading() as connection:
            spent = load_spending(connection).get(variant.name, Spending())
        return dg.AssetCheckResult(
            passed=not variant.budget_usd or spent.cost < variant.budget_usd * _NEARLY_SPENT,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"cost_usd": round(spent.cost, 6), "budget_usd": variant.budget_usd, "requests": spent.requests},
        )

    return budget


@dg.asset_check(
    asset=Stage.SHARDS,
    blocking=True,
    description=(
        "Every tar that is new or was touched is read again: three members a sample, images of the bucket's size, "
        "count and hash as recorded. It passes when all tars were read and none is damaged; for tars of other "
        "partitions than the run's it only warns. When it fails: the disk lost something; run a build, which writes "
        "the tar again."
    ),
)
def shards_intact(
    context: dg.AssetCheckExecutionContext,
    dataset: dg.ResourceParam[Dataset],
    progress: dg.ResourceParam[Progress],
) -> dg.AssetCheckResult:
    """Stop a manifest from being written over damaged tars."""
    with failing():
        keys = list_keys(context, load_made(dataset, Stage.SHARDS))
        report = inspect_shards(dataset, keys, progress=progress)
        counts, unread = _look_at_others(dataset, keys)
    for name, count in (("shards", report.files), ("samples", report.samples), ("bytes", report.bytes)):
        counts[name] += count
    severity = dg.AssetCheckSeverity.ERROR if report.faults else dg.AssetCheckSeverity.WARN
    return _judge([*report.faults, *unread], dict(counts), severity=severity)


def _look_at_others(dataset: Dataset, read: Collection[str]) -> tuple[Counter[str], list[str]]:
    """Return the counts of the tars of the other partitions, and which of those are not known to be intact.

    No tar is opened. They are no reason to stop a run that writes others: the manifest waits for them by itself.
    """
    with dataset.catalog.reading() as connection:
        states = load_states(connection)
        pieces = load_pieces(connection, Stage.SHARDS)
    others = {key: state for (stage, key), state in sorted(states.items()) if stage == Stage.SHARDS and key not in read}
    counts = Counter(shards=0, samples=0, bytes=0)
    for piece in pieces:
        if piece.path and piece.partition in others:
            counts.update(shards=1, samples=piece.facts["count"], bytes=piece.bytes)
    unread = []
    for key, state in others.items():
        if state.interrupted:
            unread.append(f"{key}: tars of it are to be written again")
        elif not judge_inputs(dataset.settings, states, Stage.SHARDS_INTACT, key).fresh:
            unread.append(f"{key}: its tars were not read since they were written")
    return counts, unread


@dg.asset_check(
    asset=Stage.MANIFEST,
    blocking=True,
    description=(
        "The manifest's counts and hashes are those of the tars, all of them are there and nothing else is, no key "
        "occurs twice. When it fails: it names the files; remove what is too many and materialize what is missing."
    ),
)
def export_complete(dataset: dg.ResourceParam[Dataset]) -> dg.AssetCheckResult:
    """Stop a card from being written for an export that is not what it says."""
    with failing():
        faults = inspect_export(dataset)
    return _judge(faults, {})


def _judge(
    faults: Sequence[object],
    counts: Mapping[str, int],
    *,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Return a check's result; the first faults are shown, all are counted."""
    more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    return dg.AssetCheckResult(
        passed=not faults,
        severity=severity,
        description="; ".join(cut(str(fault)) for fault in faults[:_NAMED]) + more if faults else None,
        metadata={**counts, "faults": len(faults), **show_faults(map(str, faults))},
    )


CHECKS: tuple[dg.AssetChecksDefinition, ...] = (
    images_usable,
    counts_add_up,
    caption_coverage,
    shards_intact,
    export_complete,
)
