"""All captions of images, and which of them won and why: what the selection stage would say now.

The choice is the stage's own, by the same functions; why.py puts it into words.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from dataset_assets.buckets.admit import explain_refused
from dataset_assets.captions.reports.find import find_image
from dataset_assets.captions.reports.why import Heard, tell_why
from dataset_assets.captions.select import tabulate_selection
from dataset_assets.captions.sources import live_sources
from dataset_assets.captions.view import View, load_view
from dataset_assets.captions.waterfall import rank_sources
from dataset_assets.catalog.captions import list_sources
from dataset_assets.catalog.lookup import NamedImage, SavedCaption, captions_of, images_alike
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
    key: str  # docs/format.md, Samples
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


def explain_image(dataset: Dataset, name: str, *, also: str = "") -> Explanation:
    """Return what there is to say of the captions of the image that `name` means; `also` as for `find_image`.

    Raises DatasetError where `name` means no image or several, and StorageError as `explain_images` does.
    """
    (explanation,) = explain_images(dataset, [find_image(dataset, name, also=also)])
    return explanation


def explain_images(dataset: Dataset, images: Sequence[NamedImage]) -> list[Explanation]:
    """Return what there is to say of the captions of each image, in their order; each partition is looked at once.

    It is what a selection would choose now: the export may be older. Raises StorageError where the plan or the crops of
    a partition cannot be read.
    """
    explainer = _Explainer(dataset, [image.id for image in images])
    partitions: dict[str, list[NamedImage]] = {}
    for image in images:
        partitions.setdefault(_find_partition(dataset, image).key if image.slot >= 0 else "", []).append(image)
    told = {image.id: explainer.explain_unseated(image) for image in partitions.pop("", [])}
    for key, seated in partitions.items():
        told |= explainer.explain_seated(key, seated)
    return [told[image.id] for image in images]


class _Explainer:
    """Explains some images of a dataset."""

    def __init__(self, dataset: Dataset, rows: Collection[int]) -> None:
        self._dataset = dataset
        captions = dataset.settings.captions
        with dataset.catalog.reading() as connection:
            self._said = captions_of(connection, rows)
            self._sources = {one.id: one for one in list_sources(connection)}
            self._live = {one.id for one in live_sources(connection, captions)}
            self._states = load_states(connection, [""])
        live = (one for one in self._sources.values() if one.id in self._live)
        self._ranks = rank_sources(live, captions.priority)

    def explain_unseated(self, image: NamedImage) -> Explanation:
        """Explain an image without a slot."""
        return self._refuse(image, None, self._explain_no_slot(image))

    def explain_seated(self, key: str, images: Iterable[NamedImage]) -> dict[int, Explanation]:
        """Explain images of one partition, by row id."""
        view = _narrow(load_view(self._dataset, key), [image.slot for image in images])
        heard = _hear(view)
        choices = {row["slot"]: row for row in tabulate_selection(view).to_pylist()}
        details = self._read_details(key, [one.sample for one in heard.values()])
        told = {}
        for image in images:
            own = heard.get(image.slot)
            if own is None:
                explained = self._refuse(image, None, "the plan of its partition does not have it yet: build")
            elif own.sample["reason"]:
                explained = self._refuse(image, own, f"{own.sample['reason']}: {details[image.slot]}")
            else:
                choice = choices[image.slot]
                why = tell_why(self._dataset.settings.captions, view.ranks, own, choice)
                no_crop = _NOT_MADE if own.sample["shard"] < 0 else ""
                explained = self._put_together(image, own, no_crop, choice, why)
            told[image.id] = explained
        return told

    def _explain_no_slot(self, image: NamedImage) -> str:
        if image.removed:
            return "it was removed from its source"
        if image.reason:
            return f"{image.reason}: {image.detail}" if image.detail else image.reason
        verdict = judge_inputs(self._dataset.settings, self._states, Stage.BUCKET_ASSIGNMENTS)
        if verdict.fresh or verdict.retry:
            return self._tell_refused(image)
        return "it is in no bucket yet: build"

    def _tell_refused(self, image: NamedImage) -> str:
        with self._dataset.catalog.reading() as connection:
            alike = images_alike(connection, [image.id]).to_pandas()
        lost = explain_refused(alike, [one for one in alike["id"] if one != image.id], self._dataset.settings)
        (row,) = lost[lost["id"] == image.id].to_dict("records")
        return f"{row['reason']}: {row['detail']}"

    def _read_details(self, key: str, samples: Iterable[Mapping[str, Any]]) -> dict[int, str]:
        """Return, by slot, the details that the crops' files have of samples without a crop."""
        shards: dict[int, list[Mapping[str, Any]]] = {}
        for sample in samples:
            if sample["reason"]:
                shards.setdefault(int(sample["shard"]), []).append(sample)
        found: dict[int, str] = {}
        for shard, rows in shards.items():
            path = self._dataset.layout.crops(Partition.parse(key).bucket_id, shard)
            with condemning(self._dataset, (Stage.RESIZED_CROPS, key, shard), path):
                details = read_table(path, ["detail"])["detail"]
            found |= {row["slot"]: details[int(row["row"])].as_py() for row in rows}
        return found

    def _refuse(self, image: NamedImage, heard: Heard | None, no_crop: str) -> Explanation:
        """Explain an image that is not exported for want of a crop."""
        return self._put_together(image, heard, no_crop, _NO_CHOICE, f"it is not exported: {no_crop}")

    def _put_together(
        self, image: NamedImage, heard: Heard | None, no_crop: str, choice: Mapping[str, Any], why: str
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
            partition=_find_partition(self._dataset, image).key if seated else "",
            slot=image.slot,
            shard=image.slot // self._dataset.settings.shards.shard_size if seated else -1,
            no_crop=no_crop,
            captions=self._list_captions(image, heard, choice["caption_source"]),
            why=why,
            **{name: choice[name] for name in ("variant", "selector_index", "caption_source", "text", "drop")},
        )

    def _list_captions(self, image: NamedImage, heard: Heard | None, won: int) -> list[ShownCaption]:
        """Return every caption of the image: those that the waterfall comes to first, in its order."""
        current = {one["caption_source"]: one["current"] for one in heard.captions} if heard else {}
        findings: dict[int, list[ShownFinding]] = {}
        for one in heard.findings if heard else ():
            found = ShownFinding(finding=one["finding"], policy=one["policy"], detail=one["detail"])
            findings.setdefault(one["caption_source"], []).append(found)
        last = (len(self._dataset.settings.captions.priority), 0)
        said = sorted(
            self._said[image.id], key=lambda one: (*self._ranks.get(one.caption_source, last), one.caption_source)
        )
        return [
            ShownCaption(
                variant=self._sources[one.caption_source].variant,
                caption_source=one.caption_source,
                backend=self._sources[one.caption_source].backend,
                model=self._sources[one.caption_source].model,
                said=one,
                counts=one.caption_source in self._live,
                selector=self._ranks[one.caption_source][0] if one.caption_source in self._ranks else None,
                current=current.get(one.caption_source),
                findings=findings.get(one.caption_source, []),
                won=one.caption_source == won,
            )
            for one in said
        ]


def _find_partition(dataset: Dataset, image: NamedImage) -> Partition:
    shards = dataset.settings.shards
    return Partition.of(image.bucket_id, image.slot // slots_per_partition(shards), shards.shards_per_partition)


def _narrow(view: View, slots: Collection[int]) -> View:
    """Return the view of some slots. What is found in captions of many images was found before."""
    names = ("samples", "captions", "findings")
    tables = {name: table[table["slot"].isin(slots)] for name in names for table in [getattr(view, name)]}
    return replace(view, **{name: table.reset_index(drop=True) for name, table in tables.items()})


def _hear(view: View) -> dict[int, Heard]:
    """Return what a view has of each sample, by slot."""
    captions, findings = (_group(table) for table in (view.captions, view.findings))
    return {
        sample["slot"]: Heard(
            sample=sample, captions=captions.get(sample["slot"], ()), findings=findings.get(sample["slot"], ())
        )
        for sample in view.samples.to_dict("records")
    }


def _group(table: pd.DataFrame) -> dict[int, list[dict[Any, Any]]]:
    rows: dict[int, list[dict[Any, Any]]] = {}
    for row in table.to_dict("records"):
        rows.setdefault(row["slot"], []).append(row)
    return rows
