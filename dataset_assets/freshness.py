"""Which stage of which partition is fresh, stale or missing, and why: the one answer for assets, status and build.

A stage is fresh when the fingerprint of its inputs equals the recorded one and its files are there with their sizes.
Its inputs are what the stages before it made (their `output` digests), the settings that matter to it, and the version
of its algorithm. Nothing is made here and no artifact is opened.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal

from dataset_assets.catalog.state import Piece, StageState, States
from dataset_assets.damage import INDEX_VERSION, find_damage, survey
from dataset_assets.errors import OrderError, SourceError
from dataset_assets.settings import ChatSettings, ImportedSettings, Settings, VariantSettings
from dataset_assets.sources.named import pin
from dataset_assets.stages import Stage, caption_stage, caption_stages, edits_stage, find_variant, list_stages, upstream
from dataset_assets.storage.layout import Layout

# Raise a number when the stage would make something else of the same inputs: what it made before is then stale.
VERSIONS = {
    "raw_images": 1,
    "bucket_assignments": 1,
    "shard_plans": 1,
    "resized_crops": 2,
    "captions": 1,
    "caption_selection": 1,
    "shards": 1,
    "shards_intact": 1,
    "webshart": 1,  # of `manifest`: its indexes beside the tars
    "near_duplicates": 1,
    "manifest": 1,
    "dataset_card": 1,
    "contact_sheet": 1,
    "gallery": 2,
    "charts": 2,  # of `manifest`: the pictures beside the tars
    "caption_records": 2,
    "record_captions": 2,
    "captions_1ktar": 1,
    "trainer_metadata": 1,
}

# Settings of a model's variant that say how it is asked: another value of these makes no caption another one.
_HOW_ASKED = {
    "base_url", "api_key_env", "provider", "concurrency", "requests_per_minute", "budget_usd", "timeout_seconds",
    "max_retries", "stop_after_errors", "prices", "image_tokens", "system_prompt_file", "user_prompt_file",
}  # fmt: skip

Inputs = dict[str, str]  # what a stage is made from: name of the input → its digest


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


def find_state(states: States, stage: str, partition: str = "", *, needed_by: str = "") -> StageState:
    """Return the record of a finished stage. Raises OrderError when there is none."""
    state = states.get((stage, partition))
    if state is None or state.interrupted:
        of, before = f" of {partition}" if partition else "", f" before {needed_by}" if needed_by else ""
        what = "was interrupted" if state else "has not been made yet"
        raise OrderError(f"{stage}{of} {what}: materialize it{before}, or run `dataset-assets build`")
    return state


def list_inputs(settings: Settings, states: States, stage: str, partition: str = "") -> Inputs:  # noqa: PLR0912
    """Return what a stage would be made from now. Raises OrderError when a stage before it has not run yet."""

    def output(name: str) -> str:
        return find_state(states, name, partition, needed_by=stage).output

    def outputs(name: str) -> str:
        return fingerprint({key: state.output for (made, key), state in states.items() if made == name})

    def plan(digest: str) -> str:
        return str(find_state(states, Stage.SHARD_PLANS, partition, needed_by=stage).report["digests"][digest])

    said = {"settings": fingerprint_settings(settings, stage)}
    match stage:
        case Stage.RAW_IMAGES | Stage.CAPTION_RECORDS:
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
            crops = find_state(states, Stage.RESIZED_CROPS, partition, needed_by=stage)
            seats = {"slots": plan("seats"), Stage.RESIZED_CROPS: _sight(crops)}
            return said | seats | {name: output(name) for name in variants}
        case Stage.SHARDS | Stage.SHARDS_INTACT | Stage.CAPTIONS_1KTAR:
            return said | {name: output(name) for name in upstream(settings, stage)}
        case Stage.NEAR_DUPLICATES:
            find_state(states, Stage.BUCKET_ASSIGNMENTS, needed_by=stage)
            return said | {Stage.RESIZED_CROPS: outputs(Stage.RESIZED_CROPS)}
        case Stage.MANIFEST:
            counts = find_state(states, Stage.BUCKET_ASSIGNMENTS, needed_by=stage).report["drops"]
            return said | {Stage.SHARDS: outputs(Stage.SHARDS), "drops": fingerprint(counts)}
        case Stage.DATASET_CARD:
            stages = caption_stages(settings)
            captions = {f"{name} {key}": made.output for (name, key), made in sorted(states.items()) if name in stages}
            return said | {Stage.MANIFEST: output(Stage.MANIFEST), "captions": fingerprint(captions)}
        case Stage.GALLERY:  # which shows what was left out, and what was not selected, too
            shown = (Stage.RAW_IMAGES, *caption_stages(settings), Stage.CAPTION_SELECTION, *upstream(settings, stage))
            return (
                said
                | {name: outputs(name) for name in shown if name != Stage.MANIFEST}
                | {Stage.MANIFEST: output(Stage.MANIFEST)}
            )
        case Stage.CONTACT_SHEET:
            return said | {Stage.MANIFEST: output(Stage.MANIFEST)}
        case Stage.RECORD_CAPTIONS:
            files = find_state(states, Stage.CAPTION_RECORDS, needed_by=stage).report["digests"]
            return said | {Stage.CAPTION_RECORDS: str(files.get(partition, ""))}
        case Stage.TRAINER_METADATA:
            digest = outputs if settings.records else output
            made = {name: digest(name) for name in upstream(settings, stage)}
            return said | made | {"files": _look_at_files(settings)}
        case _:
            return said | _list_caption_inputs(settings, states, stage, partition)


def _list_caption_inputs(settings: Settings, states: States, stage: str, partition: str) -> Inputs:
    """Return what a variant's captions are made from, settings apart."""

    def find(name: str) -> StageState:
        return find_state(states, name, partition, needed_by=stage)

    variant = find_variant(settings, stage)
    assert variant is not None
    plan = find(Stage.SHARD_PLANS).report["digests"]
    named = {variant.name}
    if isinstance(variant, ChatSettings) and (rank := settings.captions.rank_of(variant)) is not None:
        named |= {selector.variant for selector in settings.captions.priority[:rank]}
    edits = [(name, states.get((edits_stage(name), partition))) for name in sorted(named)]
    inputs = {edits_stage(name): edited.output for name, edited in edits if edited}
    match variant:
        case ChatSettings():
            _, *before = upstream(settings, stage)
            samples = {"samples": str(plan["rows"])} if variant.prompt_fields else {}
            inputs |= samples | {Stage.RESIZED_CROPS: _sight(find(Stage.RESIZED_CROPS))}
            return inputs | {name: find(name).output for name in before}
        case ImportedSettings():
            return inputs | {"slots": str(plan["seats"])}
        case _:
            return inputs | {"sidecars": str(plan["sidecars"])}


def _look_at_files(settings: Settings) -> str:
    """Return the digest of what their folders or stores say of the files that trainer metadata is made of."""
    trainer = settings.trainer
    assert trainer is not None
    looks = []
    for path in (trainer.ids, trainer.tags, trainer.captions, trainer.latents):
        try:
            look = pin(settings.resolve(path)).stat() if path else None
        except OSError:
            look = None  # the stage says what is wrong with it
        except SourceError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise  # a store that does not answer makes nothing stale
            look = None
        looks.append([path, look and [look.st_size, look.st_mtime_ns]])
    return fingerprint(looks)


def _sight(crops: StageState) -> str:
    """Return the digest of what the crops of a partition show, however they are encoded."""
    return str(crops.report.get("sight", ""))


@lru_cache(maxsize=256)
def fingerprint_settings(settings: Settings, stage: str) -> str:
    """Return the fingerprint of the settings that change what a stage makes, and of its algorithm's version."""
    said = settings.model_dump(mode="json")
    images = {name: value for name, value in said["images"].items() if name != "timeout_seconds"}
    shaping = {
        Stage.RAW_IMAGES: [said["sources"], settings.images.max_pixels],
        Stage.BUCKET_ASSIGNMENTS: [said["buckets"], said["shards"], settings.images.mode, settings.duplicates.exact],
        Stage.SHARD_PLANS: [],
        Stage.RESIZED_CROPS: [{name: value for name, value in images.items() if name != "max_pixels"}],  # the scan's
        Stage.CAPTION_SELECTION: [said["captions"]["priority"], said["captions"]["review"]],
        Stage.SHARDS: [said["captions"]["missing_caption_policy"], settings.images.mode],
        Stage.SHARDS_INTACT: [],
        Stage.NEAR_DUPLICATES: [settings.duplicates.near_distance],
        Stage.MANIFEST: [
            said["buckets"],
            images,
            said["shards"],
            [said["captions"][name] for name in ("priority", "missing_caption_policy")],
            [
                said["release"],
                INDEX_VERSION,
                *(VERSIONS[name] for name in ("webshart", "charts") if said["release"][name]),
            ],
        ],
        Stage.DATASET_CARD: [said["dataset"][name] for name in ("name", "license", "language", "description")],
        Stage.CONTACT_SHEET: [settings.dataset.name],
        # What the review finds is on the page whether or not another caption is selected for it.
        Stage.GALLERY: [
            settings.dataset.name,
            said["gallery"],
            *(said["captions"][name] for name in ("priority", "review")),
        ],
        Stage.TRAINER_METADATA: [said["trainer"]],
    }
    if records := settings.records:
        cut = [records.modulus, records.padding, records.tars_per_partition]
        shaping |= {
            Stage.CAPTION_RECORDS: [*cut, *(said["records"][name] for name in ("paths", "mode", "id", "variants"))],
            Stage.RECORD_CAPTIONS: [*cut, records.mode, [one.name for one in records.selectors], records.text_tars],
            Stage.CAPTIONS_1KTAR: [*cut, said["records"]["text_tars"]],
        }
    variant = find_variant(settings, stage)
    shape = shaping[stage] if variant is None else _shape_captions(settings, variant)
    return fingerprint(VERSIONS.get(stage, VERSIONS["captions"]), *shape)


def _shape_captions(settings: Settings, variant: VariantSettings) -> list[Any]:
    """Return the settings that change a variant's captions, or who is asked for one."""
    if not isinstance(variant, ChatSettings):
        return [variant.model_dump(mode="json")]
    captions, review = settings.captions, settings.captions.review
    shape: list[Any] = [variant.model_dump(mode="json", exclude=_HOW_ASKED), review.blank_image, review.blank_spread]
    if variant.only_needed and (rank := captions.rank_of(variant)) is not None:
        selectors = captions.priority[: rank + 1]
        shape += [[one.model_dump() for one in selectors], review.model_dump(mode="json")]
    return shape


def judge(
    settings: Settings, layout: Layout, states: States, pieces: Sequence[Piece]
) -> dict[tuple[str, str], Verdict]:
    """Return the verdict on every (stage, partition), in the order in which they are made.

    A stage is stale, too, when one that it is made from is not fresh; not for files that are only to be tried again.
    """
    look = survey(layout, pieces)
    damage = {(one.stage, one.partition): found for one in pieces if (found := find_damage(layout, one, look))}
    partitions = [partition for stage, partition in states if stage == Stage.SHARD_PLANS]
    order = list(list_stages(settings, partitions))
    keys: dict[str, list[str]] = {}
    for stage, partition in order:
        keys.setdefault(stage, []).append(partition)
    verdicts: dict[tuple[str, str], Verdict] = {}
    for stage, partition in order:
        verdict = judge_inputs(settings, states, stage, partition)
        for name in upstream(settings, stage):
            before = [key for key in ((name, partition), (name, "")) if key in verdicts][:1]
            for key in before or [(name, one) for one in keys.get(name, [])]:
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
        gone = [name for name in recorded if name not in inputs]
        found = {"changed: ": changed, "no longer made from ": gone}
        return Verdict("stale", "; ".join(said + ", ".join(names) for said, names in found.items() if names))
    if state.report.get("timeout", 0) not in (0, settings.images.timeout_seconds):
        return Verdict("stale", "changed: timeout_seconds, which was not enough for some images")
    variant = find_variant(settings, stage)
    left = state.report.get("left", 0)  # images that a model was to be asked about and could not be
    if left and isinstance(variant, ChatSettings) and not variant.key_missing:
        return Verdict("stale", f"{left:,} images are still to be captioned")
    if retry := state.report.get("retry", 0):
        return Verdict("stale", f"{retry} files could not be read last time", retry=True)
    return FRESH
