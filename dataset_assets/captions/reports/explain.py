"""All captions of one image, and which of them won and why: what the selection stage would say now.

The choice is the stage's own, by the same functions; why.py puts it into words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_assets.captions.reports.find import find_image
from dataset_assets.captions.reports.why import tell_why
from dataset_assets.captions.select import tabulate_selection
from dataset_assets.captions.sources import live_sources
from dataset_assets.captions.view import View, list_rows, load_view
from dataset_assets.captions.waterfall import rank_sources
from dataset_assets.catalog.captions import list_sources
from dataset_assets.catalog.lookup import NamedImage, SavedCaption, captions_of
from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import judge_inputs
from dataset_assets.records import sample_key
from dataset_assets.shards.partition import Partition, slots_per_partition
from dataset_assets.stages import Stage
from dataset_assets.storage.parquet import read_table
from dataset_assets.work import condemning

_NO_CHOICE: Mapping[str, Any] = {"variant": "", "selector_index": -1, "caption_source": -1, "text": "", "drop": ""}
_NOT_MADE = "it is not made yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFinding:
    """What the review found in a caption, and what is done about it."""

    finding: str
    policy: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCaption:
    """What one source says of the image."""

    variant: str
    caption_source: int
    backend: str
    model: str
    said: SavedCaption
    counts: bool  # whether it can be selected at all: not a file's that no variant reads any more
    selector: int | None  # the index of the selector that takes it
    current: bool | None  # whether it is of the image as it is now; None where that is not looked at
    findings: Sequence[ShownFinding]
    won: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """An image, all that was said of it, and what the waterfall makes of that."""

    image_id: str
    key: str  # SPEC 1.4
    source: str
    uri: str
    width: int  # of the source, pixels; 0 where it cannot be read
    height: int
    removed: bool
    bucket_id: str  # "" where it has no slot: then partition is "", too, slot and shard are -1
    partition: str
    slot: int
    shard: int
    no_crop: str  # why there is no crop; "" where there is one
    captions: Sequence[ShownCaption]
    variant: str  # of the caption that won, "" for none
    selector_index: int  # -1 for none
    caption_source: int  # -1 for none
    text: str
    drop: str  # a DropReason where the review leaves the image out, else ""
    why: str  # a sentence


def explain_image(dataset: Dataset, name: str) -> Explanation:
    """Return what there is to say of the captions of the image that `name` means (find.py).

    It is what a selection would choose now: the export may be older. Raises DatasetError where `name` means no image
    or several, and StorageError where the plan or the crops of its partition cannot be read.
    """
    image = find_image(dataset, name)
    if image.slot < 0:
        no_crop = _explain_no_slot(dataset, image)
        return _put_together(dataset, image, None, no_crop, _NO_CHOICE, f"it is not exported: {no_crop}")
    view = load_view(dataset, _find_partition(dataset, image).key)
    sample = next(iter(list_rows(view.samples, view.samples["slot"] == image.slot)), None)
    if sample is None:
        no_crop = "the plan of its partition does not have it yet: build"
        return _put_together(dataset, image, view, no_crop, _NO_CHOICE, f"it is not exported: {no_crop}")
    no_crop = _explain_no_crop(dataset, image, sample)
    if sample["reason"]:
        return _put_together(dataset, image, view, no_crop, _NO_CHOICE, f"it is not exported: {no_crop}")
    choice = next(row for row in tabulate_selection(view).to_pylist() if row["slot"] == image.slot)
    why = tell_why(dataset.settings.captions, view, sample, choice)
    return _put_together(dataset, image, view, no_crop, choice, why)


def _find_partition(dataset: Dataset, image: NamedImage) -> Partition:
    shards = dataset.settings.shards
    return Partition.of(image.bucket_id, image.slot // slots_per_partition(shards), shards.shards_per_partition)


def _explain_no_slot(dataset: Dataset, image: NamedImage) -> str:
    if image.removed:
        return "it was removed from its source"
    if image.reason:
        return f"{image.reason}: {image.detail}" if image.detail else image.reason
    with dataset.catalog.reading() as connection:
        states = load_states(connection, [""])
    if judge_inputs(dataset.settings, states, Stage.BUCKET_ASSIGNMENTS).fresh:
        return f"no bucket takes it: at {image.width}×{image.height} it is too small, or the settings leave it out"
    return "it is in no bucket yet: build"


def _explain_no_crop(dataset: Dataset, image: NamedImage, sample: Mapping[str, Any]) -> str:
    """Return why there is no crop, with the detail that the crops' file has; "" where there is one."""
    if sample["shard"] < 0:
        return _NOT_MADE
    if not sample["reason"]:
        return ""
    partition, shard = _find_partition(dataset, image), int(sample["shard"])
    path = dataset.layout.crops(partition.bucket_id, shard)
    with condemning(dataset, (Stage.RESIZED_CROPS, partition.key, shard), path):
        details = read_table(path, ["detail"])["detail"]
    return f"{sample['reason']}: {details[int(sample['row'])].as_py()}"


def _put_together(
    dataset: Dataset, image: NamedImage, view: View | None, no_crop: str, choice: Mapping[str, Any], why: str
) -> Explanation:
    seated = image.slot >= 0
    return Explanation(
        image_id=image.image_id,
        key=sample_key(image.image_id),
        source=image.source,
        uri=image.uri,
        width=image.width,
        height=image.height,
        removed=image.removed,
        bucket_id=image.bucket_id,
        partition=_find_partition(dataset, image).key if seated else "",
        slot=image.slot,
        shard=image.slot // dataset.settings.shards.shard_size if seated else -1,
        no_crop=no_crop,
        captions=_list_captions(dataset, image, view, choice["caption_source"]),
        why=why,
        **{name: choice[name] for name in ("variant", "selector_index", "caption_source", "text", "drop")},
    )


def _list_captions(dataset: Dataset, image: NamedImage, view: View | None, won: int) -> list[ShownCaption]:
    """Return every caption of the image: those that the waterfall comes to first, in its order."""
    captions = dataset.settings.captions
    with dataset.catalog.reading() as connection:
        said = captions_of(connection, image.id)
        sources = {one.id: one for one in list_sources(connection)}
        live = {one.id for one in live_sources(connection, captions)}
    ranks = rank_sources((one for one in sources.values() if one.id in live), captions.priority)
    current: dict[int, bool] = {}
    findings: dict[int, list[ShownFinding]] = {}
    if view is not None:
        own = view.captions[view.captions["slot"] == image.slot]
        current = dict(zip(own["caption_source"].tolist(), own["current"].tolist(), strict=True))
        for one in view.findings[view.findings["slot"] == image.slot].to_dict("records"):
            found = ShownFinding(finding=one["finding"], policy=one["policy"], detail=one["detail"])
            findings.setdefault(one["caption_source"], []).append(found)
    last = (len(captions.priority), 0)
    return [
        ShownCaption(
            variant=sources[number].variant,
            caption_source=number,
            backend=sources[number].backend,
            model=sources[number].model,
            said=one,
            counts=number in live,
            selector=ranks[number][0] if number in ranks else None,
            current=current.get(number),
            findings=findings.get(number, []),
            won=number == won,
        )
        for number, one in sorted(
            ((one.caption_source, one) for one in said), key=lambda pair: (*ranks.get(pair[0], last), pair[0])
        )
    ]
