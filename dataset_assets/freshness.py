"""Which stage of which partition is fresh, stale or missing, and why: the one answer for assets, status and build.

A stage is fresh when the fingerprint of its inputs equals the recorded one and its files are there with their sizes.
Its inputs are what the stages before it made (their `output` digests), the settings that matter to it, and the version
of its algorithm. Nothing is made here and no artifact is opened.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Literal

from dataset_assets.catalog.state import Piece, StageState, States
from dataset_assets.errors import OrderError
from dataset_assets.settings import Settings
from dataset_assets.storage.layout import Layout

# Raise a number when the stage would make something else of the same inputs: what it made before is then stale.
VERSIONS = {
    "raw_images": 1,
    "bucket_assignments": 1,
    "shard_plans": 1,
    "resized_crops": 1,
    "captions": 1,
    "caption_selection": 1,
    "shards": 1,
    "shards_intact": 1,
    "manifest": 1,
    "dataset_card": 1,
    "contact_sheet": 1,
}

MODIFIED = "modified_ns"  # a piece's fact: the time of its file, for those in the export, which others may write to

Inputs = dict[str, str]  # what a stage is made from: name of the input → its digest


class Stage:
    """The stages, named as their assets; `caption_stage` names those of the variants.

    Plain strings: Dagster takes no enumeration of ours for a name.
    """

    RAW_IMAGES: Final = "raw_images"
    BUCKET_ASSIGNMENTS: Final = "bucket_assignments"
    SHARD_PLANS: Final = "shard_plans"
    RESIZED_CROPS: Final = "resized_crops"
    CAPTION_SELECTION: Final = "caption_selection"
    SHARDS: Final = "shards"
    SHARDS_INTACT: Final = "shards_intact"  # an asset check: every tar was read again
    MANIFEST: Final = "manifest"
    DATASET_CARD: Final = "dataset_card"
    CONTACT_SHEET: Final = "contact_sheet"  # no asset and no part of the export: `build` draws it at its end


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a stage of a partition is, and why where it is not fresh."""

    state: Literal["fresh", "stale", "missing"]
    reason: str = ""
    retry: bool = False  # stale only because some files are to be tried again: what was made of the others holds

    @property
    def fresh(self) -> bool:
        """Whether nothing needs to be done."""
        return self.state == "fresh"


FRESH = Verdict("fresh")


def fingerprint(*parts: Any) -> str:
    """Return the sha256, in hex, of parts that JSON can hold."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def caption_stage(variant: str) -> str:
    """Return the name of the stage, and asset, that makes a variant's captions."""
    return f"captions/{variant}"


def partition_stages(settings: Settings) -> tuple[str, ...]:
    """Return the stages that every partition goes through, in order."""
    before = (Stage.SHARD_PLANS, Stage.RESIZED_CROPS, *_caption_stages(settings), Stage.CAPTION_SELECTION)
    return (*before, Stage.SHARDS, Stage.SHARDS_INTACT)


def upstream(settings: Settings, stage: str) -> tuple[str, ...]:
    """Return the stages whose results a stage is made from."""
    match stage:
        case Stage.RAW_IMAGES:
            return ()
        case Stage.BUCKET_ASSIGNMENTS:
            return (Stage.RAW_IMAGES,)
        case Stage.SHARD_PLANS:
            return (Stage.BUCKET_ASSIGNMENTS,)
        case Stage.CAPTION_SELECTION:
            return _caption_stages(settings)
        case Stage.SHARDS:
            return (Stage.RESIZED_CROPS, Stage.CAPTION_SELECTION)
        case Stage.SHARDS_INTACT:
            return (Stage.SHARDS,)
        case Stage.MANIFEST:
            return (Stage.SHARDS, Stage.SHARDS_INTACT)
        case Stage.DATASET_CARD | Stage.CONTACT_SHEET:
            return (Stage.MANIFEST,)
        case _:  # resized_crops and the captions that come with the data
            return (Stage.SHARD_PLANS,)


def find_state(states: States, stage: str, partition: str = "", *, needed_by: str = "") -> StageState:
    """Return the record of a finished stage. Raises OrderError when there is none."""
    state = states.get((stage, partition))
    if state is None or state.interrupted:
        of, before = f" of {partition}" if partition else "", f" before {needed_by}" if needed_by else ""
        what = "was interrupted" if state else "has not been made yet"
        raise OrderError(f"{stage}{of} {what}: materialize it{before}, or run `dataset-assets build`")
    return state


def list_inputs(settings: Settings, states: States, stage: str, partition: str = "") -> Inputs:
    """Return what a stage would be made from now. Raises OrderError when a stage before it has not run yet."""

    def output(name: str) -> str:
        return find_state(states, name, partition, needed_by=stage).output

    def plan(digest: str) -> str:
        return str(find_state(states, Stage.SHARD_PLANS, partition, needed_by=stage).report["digests"][digest])

    said = {"settings": fingerprint_settings(settings, stage)}
    match stage:
        case Stage.RAW_IMAGES:
            return said
        case Stage.BUCKET_ASSIGNMENTS:
            raw = find_state(states, Stage.RAW_IMAGES, needed_by=stage)
            return said | {Stage.RAW_IMAGES: raw.output}
        case Stage.SHARD_PLANS:
            return {Stage.BUCKET_ASSIGNMENTS: output(Stage.SHARD_PLANS)}  # which records what the plan must be
        case Stage.RESIZED_CROPS:
            return said | {"images": plan("pixels"), "shard_size": str(settings.shards.shard_size)}
        case Stage.CAPTION_SELECTION:
            variants = dict.fromkeys(caption_stage(one.variant) for one in settings.captions.priority)
            return said | {"slots": plan("seats")} | {name: output(name) for name in variants}
        case Stage.SHARDS | Stage.SHARDS_INTACT:
            return said | {name: output(name) for name in upstream(settings, stage)}
        case Stage.MANIFEST:
            made = {key: state.output for (name, key), state in sorted(states.items()) if name == Stage.SHARDS}
            counts = find_state(states, Stage.BUCKET_ASSIGNMENTS, needed_by=stage).report["drops"]
            return said | {Stage.SHARDS: fingerprint(made), "drops": fingerprint(counts)}
        case Stage.DATASET_CARD:
            captions = {f"{name} {key}": state.output for (name, key), state in sorted(states.items()) if "/" in name}
            return said | {Stage.MANIFEST: output(Stage.MANIFEST), "captions": fingerprint(captions)}
        case Stage.CONTACT_SHEET:
            return said | {Stage.MANIFEST: output(Stage.MANIFEST)}
        case _:
            return said | {"sidecars": plan("sidecars")}


@lru_cache(maxsize=256)
def fingerprint_settings(settings: Settings, stage: str) -> str:
    """Return the fingerprint of the settings that change what a stage makes, and of its algorithm's version."""
    said = settings.model_dump(mode="json")
    images = {name: value for name, value in said["images"].items() if name != "timeout_seconds"}
    shaping = {
        Stage.RAW_IMAGES: [said["sources"], settings.images.max_pixels],
        Stage.BUCKET_ASSIGNMENTS: [said["buckets"], said["shards"]],
        Stage.SHARD_PLANS: [],
        Stage.RESIZED_CROPS: [{name: value for name, value in images.items() if name != "max_pixels"}],  # the scan's
        Stage.CAPTION_SELECTION: [said["captions"]["priority"]],
        Stage.SHARDS: [said["captions"]["missing_caption_policy"], settings.images.mode],
        Stage.SHARDS_INTACT: [],
        Stage.MANIFEST: [said["buckets"], images, said["shards"], said["captions"]],
        Stage.DATASET_CARD: [said["dataset"]],
        Stage.CONTACT_SHEET: [settings.dataset.name],
    }
    variants = {caption_stage(variant["name"]): [variant] for variant in said["captions"]["variants"]}
    return fingerprint(VERSIONS.get(stage, VERSIONS["captions"]), *(shaping | variants)[stage])


def judge(
    settings: Settings, layout: Layout, states: States, pieces: Iterable[Piece]
) -> dict[tuple[str, str], Verdict]:
    """Return the verdict on every (stage, partition), in the order in which they are made.

    A stage is stale, too, when one that it is made from is not fresh; not for files that are only to be tried again.
    """
    damage = {(piece.stage, piece.partition): found for piece in pieces if (found := _find_damage(layout, piece))}
    partitions = sorted(partition for stage, partition in states if stage == Stage.SHARD_PLANS)
    order = [
        *((stage, "") for stage in (Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS)),
        *((stage, partition) for stage in partition_stages(settings) for partition in partitions),
        *((stage, "") for stage in (Stage.MANIFEST, Stage.DATASET_CARD)),
    ]
    verdicts: dict[tuple[str, str], Verdict] = {}
    for stage, partition in order:
        verdict = judge_inputs(settings, states, stage, partition)
        for name in upstream(settings, stage):
            before = [key for key in ((name, partition), (name, "")) if key in verdicts][:1]
            for key in before or [(name, one) for one in partitions]:
                if verdict.fresh and not (verdicts[key].fresh or verdicts[key].retry):
                    verdict = Verdict("stale", f"{name} is {verdicts[key].state}")
        if (verdict.fresh or verdict.retry) and (stage, partition) in damage:
            verdict = Verdict("stale", damage[stage, partition])
        verdicts[stage, partition] = verdict
    return verdicts


def judge_inputs(settings: Settings, states: States, stage: str, partition: str = "") -> Verdict:
    """Return the verdict on one stage by its inputs as they are recorded, whatever they in turn are made from."""
    state = states.get((stage, partition))
    if state is None:
        return Verdict("missing", "not made yet")
    if state.interrupted:
        return Verdict("stale", "interrupted")
    try:
        inputs = list_inputs(settings, states, stage, partition)
    except OrderError as error:
        return Verdict("stale", str(error))
    if state.fingerprint != fingerprint(inputs):
        recorded = state.report.get("inputs", {})
        changed = [name for name, digest in inputs.items() if digest != recorded.get(name)]
        return Verdict("stale", f"changed: {', '.join(changed)}")
    if state.report.get("timeout", 0) not in (0, settings.images.timeout_seconds):
        return Verdict("stale", "changed: timeout_seconds, which was not enough for some images")
    if retry := state.report.get("retry", 0):
        return Verdict("stale", f"{retry} files could not be read last time", retry=True)
    return FRESH


def is_whole(layout: Layout, piece: Piece) -> bool:
    """Return whether a piece's file is there with its size, and untouched where the piece knows its time."""
    return not _find_damage(layout, piece)


def _find_damage(layout: Layout, piece: Piece) -> str:
    if not piece.path:
        return ""
    try:
        status = (layout.root / piece.path).stat()
    except OSError as error:
        return f"{piece.path}: {error.strerror}"
    if status.st_size != piece.bytes:
        return f"{piece.path}: {status.st_size} bytes, {piece.bytes} were written"
    return f"{piece.path}: touched since" if piece.facts.get(MODIFIED, status.st_mtime_ns) != status.st_mtime_ns else ""


def _caption_stages(settings: Settings) -> tuple[str, ...]:
    return tuple(caption_stage(variant.name) for variant in settings.captions.variants)
