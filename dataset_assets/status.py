"""What a person wants to know of a dataset: what is fresh, and what the export holds. Reads, and changes nothing."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from dataset_assets.catalog.state import States, load_pieces, load_states
from dataset_assets.dataset import Dataset
from dataset_assets.errors import IncompleteError
from dataset_assets.freshness import Verdict, find_state, judge
from dataset_assets.overview.captions import count_statuses
from dataset_assets.release.manifest import load_manifest
from dataset_assets.stages import Stage, caption_stage

_NAMED = 3  # stale partitions that a message names


def judge_all(dataset: Dataset) -> dict[tuple[str, str], Verdict]:
    """Return the verdict on every (stage, partition) of the dataset, in the order in which they are made."""
    with dataset.catalog.reading() as connection:
        states, pieces = load_states(connection), load_pieces(connection)
    return judge(dataset.settings, dataset.layout, states, pieces)


def load_report(dataset: Dataset, stage: str) -> Mapping[str, Any]:
    """Return the counts of a stage of the whole dataset as it was made last. Raises OrderError where it was not."""
    with dataset.catalog.reading() as connection:
        return find_state(load_states(connection, [""]), stage).report


def require_fresh(dataset: Dataset, stages: Collection[str], what: str) -> None:
    """Raise IncompleteError unless these stages of every partition are made of what is there now.

    Some files may be to be tried again. `what` is wrong otherwise, as the message says.
    """
    faults = [
        f"{f'{stage} {partition}'.rstrip()}: {verdict.state}, {verdict.reason}"
        for (stage, partition), verdict in judge_all(dataset).items()
        if stage in stages and not (verdict.fresh or verdict.retry)
    ]
    if faults:
        more = f" (and {len(faults) - _NAMED} more)" if len(faults) > _NAMED else ""
        raise IncompleteError(
            f"{what}: {'; '.join(faults[:_NAMED])}{more}. Materialize these first, or run `dataset-assets build`"
        )


def count_by_stage(verdicts: Mapping[tuple[str, str], Verdict]) -> dict[str, Counter[str]]:
    """Return how many partitions of each stage are fresh, stale and missing."""
    counts: dict[str, Counter[str]] = {}
    for (stage, _), verdict in verdicts.items():
        counts.setdefault(stage, Counter())[verdict.state] += 1
    return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class NearSummary:
    """How many images look alike, in how many groups, and the file that names them."""

    images: int
    groups: int
    report: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What an export holds and what was left out."""

    export: str  # its folder
    export_id: str
    counts: Mapping[str, int]  # the manifest's summary
    buckets: Mapping[str, Mapping[str, int]]  # by id: width, height, count, shards
    captions: Mapping[str, Mapping[str, int]]  # by variant: images by status
    left: Mapping[str, int]  # by variant: images that its model was not asked about for want of its key
    near: NearSummary | None  # None where nobody looks for them
    bytes: int
    shards: int


def summarize(dataset: Dataset) -> Summary:
    """Return the summary of the export as its manifest has it. Raises StorageError where there is none."""
    manifest: dict[str, Any] = load_manifest(dataset.layout.manifest)
    with dataset.catalog.reading() as connection:
        states = load_states(connection)
    stages = {caption_stage(variant.name): variant.name for variant in dataset.settings.captions.chats}
    left: Counter[str] = Counter()
    for (stage, _), state in states.items():
        if stage in stages:
            left[stages[stage]] += state.report.get("left", 0)
    buckets = manifest["buckets"]
    return Summary(
        export=str(dataset.layout.export),
        export_id=manifest["export_id"],
        counts=manifest["summary"],
        buckets={
            name: {**bucket["scaled"], "count": bucket["count"], "shards": len(bucket["shards"])}
            for name, bucket in buckets.items()
        },
        captions=count_statuses(dataset),
        left=dict(+left),
        near=_summarize_near(dataset, states),
        bytes=sum(shard["bytes"] for bucket in buckets.values() for shard in bucket["shards"]),
        shards=sum(len(bucket["shards"]) for bucket in buckets.values()),
    )


def _summarize_near(dataset: Dataset, states: States) -> NearSummary | None:
    state = states.get((Stage.NEAR_DUPLICATES, ""))
    if state is None or not dataset.settings.duplicates.near:
        return None
    return NearSummary(
        images=state.report["images_in_groups"],
        groups=state.report["groups"],
        report=str(dataset.layout.near_duplicates),
    )
