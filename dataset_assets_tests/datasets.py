"""Small datasets for tests: photographs in a folder, settings that suit their size, and the library's stages in order.

Nothing here is a stand-in: files, catalog and artifacts are real ones, under the folder that a test gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_assets.buckets.assign import Assignment, assign_buckets
from dataset_assets.captions.chat.ask import ask_captions
from dataset_assets.captions.select import select_captions
from dataset_assets.captions.sidecar import read_captions
from dataset_assets.captions.stage import collect_imported
from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset
from dataset_assets.gallery.stage import write_gallery
from dataset_assets.images.crops import make_crops
from dataset_assets.images.near import find_near_duplicates
from dataset_assets.progress import Silence
from dataset_assets.release.inspect import inspect_shards
from dataset_assets.release.publish import write_card, write_manifest
from dataset_assets.settings import ImportedSettings, Settings, SidecarSettings, VariantSettings, parse_settings
from dataset_assets.shards.plan import write_plan
from dataset_assets.shards.write import write_shards
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import Stage, caption_stage
from dataset_assets.status import judge_all
from dataset_assets.storage.location import Location
from dataset_assets.work import Outcome
from dataset_assets_tests.photos import jpeg

LANDSCAPE = (104, 72)  # each large enough for its bucket at base 64
PORTRAIT = (72, 104)
SQUARE = (80, 80)
TINY = (20, 20)  # too small for every bucket

_DEFAULTS: dict[str, dict[str, Any]] = {
    "dataset": {"root": "out"},
    "buckets": {"base_resolutions": [64], "divisible": 8},
    "shards": {"shard_size": 4, "shards_per_partition": 2},
    "gallery": {"enabled": False},  # it is no part of what most tests look at
    "work": {"workers": 1},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What every stage of one build said, from the scan to the card, and the gallery where the settings ask for it."""

    scan: Outcome
    assignment: Assignment
    partitions: Mapping[tuple[str, str], Outcome]  # by (stage, partition key)
    manifest: Outcome
    card: Outcome
    gallery: Outcome | None = None

    @property
    def remade(self) -> set[tuple[str, str]]:
        """The (stage, partition) pairs that were not found fresh; the partition of the others is ""."""
        alone = {
            Stage.RAW_IMAGES: self.scan,
            Stage.BUCKET_ASSIGNMENTS: self.assignment.outcome,
            Stage.MANIFEST: self.manifest,
            Stage.DATASET_CARD: self.card,
            **({Stage.GALLERY: self.gallery} if self.gallery else {}),
        }
        outcomes = {(str(stage), ""): outcome for stage, outcome in alone.items()} | dict(self.partitions)
        return {key for key, outcome in outcomes.items() if not outcome.reused}

    def count(self, name: str) -> int:
        """Return the sum of what the remade stages of the partitions report under a name: "encoded", "read"."""
        return sum(one.report.get(name, 0) for one in self.partitions.values() if not one.reused)


def settings_in(folder: Path, **sections: Any) -> Settings:
    """Return settings of a small dataset: images in `folder`/raw, artifacts in `folder`/out.

    `sections` are the settings file's tables: keys of a table are added to ours, lists of tables replace it.
    """
    data: dict[str, Any] = {**_DEFAULTS, "sources": [{"path": "raw"}]}
    for name, section in sections.items():
        data[name] = data.get(name, {}) | section if isinstance(section, dict) else section
    return parse_settings(data, folder=folder)


def add_photo(
    folder: Path, name: str, size: tuple[int, int] = LANDSCAPE, *, seed: int = 0, caption: str | None = None
) -> Path:
    """Write a JPEG below `folder`/raw, and its .txt where a caption is given; return its path."""
    path = folder / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(*size, seed))
    if caption is not None:
        path.with_suffix(".txt").write_text(caption)
    return path


def add_photos(folder: Path, count: int = 20) -> list[Path]:
    """Write `count` different photos of three shapes, every other one with a caption; return their paths."""
    shapes = (LANDSCAPE, PORTRAIT, LANDSCAPE, SQUARE)
    return [
        add_photo(
            folder,
            f"{seed:03d}.jpg",
            shapes[seed % len(shapes)],
            seed=seed,
            caption=f"photo number {seed}" if seed % 2 == 0 else None,
        )
        for seed in range(count)
    ]


def on_disk(location: Location) -> Path:
    """Return a location as the Path that it is where the root is on a disk."""
    assert isinstance(location, Path)
    return location


class Count(Silence):
    """Progress as two numbers."""

    total = done = 0

    def start(self, stage: str, total: int | None, unit: str) -> None:
        self.total += total or 0

    def advance(self, count: int) -> None:
        self.done += count


def partition_keys(dataset: Dataset) -> list[str]:
    """Return the keys of the partitions that have a plan, in order."""
    with dataset.catalog.reading() as connection:
        return sorted(partition for stage, partition in load_states(connection) if stage == Stage.SHARD_PLANS)


def build_library(dataset: Dataset, *, force: bool = False, checksum: bool = False) -> Built:
    """Run every stage of the library that the settings ask for, and return what each said.

    Near duplicates are looked for only where the gallery shows them.
    """
    scan = scan_sources(dataset, force=force, checksum=checksum)
    assignment = assign_buckets(dataset, force=force)
    partitions = build_partitions(dataset, force=force)
    manifest = write_manifest(dataset, force=force)
    card = write_card(dataset, force=force)
    gallery = None
    if dataset.settings.gallery.enabled:
        if dataset.settings.duplicates.near:
            find_near_duplicates(dataset, force=force)
        gallery = write_gallery(dataset, force=force)
    return Built(scan=scan, assignment=assignment, partitions=partitions, manifest=manifest, card=card, gallery=gallery)


def build_partitions(dataset: Dataset, *, force: bool = False) -> dict[tuple[str, str], Outcome]:
    """Run the stages that every partition goes through; return what each said, by (stage, partition key)."""
    keys = partition_keys(dataset)
    said: dict[tuple[str, str], Outcome] = {(Stage.SHARD_PLANS, key): write_plan(dataset, key) for key in keys}
    for key, outcome in make_crops(dataset, keys, force=force).items():
        said[str(Stage.RESIZED_CROPS), key] = outcome
    for key in keys:
        for variant in dataset.settings.captions.in_turn:
            said[caption_stage(variant.name), key] = caption(dataset, variant, key, force=force)
        said[str(Stage.CAPTION_SELECTION), key] = select_captions(dataset, key, force=force)
        said[str(Stage.SHARDS), key] = write_shards(dataset, [key], force=force)[key]
    inspect_shards(dataset, _uninspected(dataset))  # the asset check without which there is no manifest
    return said


def caption(dataset: Dataset, variant: VariantSettings, key: str, *, force: bool = False) -> Outcome:
    """Run the stage of one variant for one partition."""
    match variant:
        case SidecarSettings():
            return read_captions(dataset, variant, key, force=force)
        case ImportedSettings():
            return collect_imported(dataset, variant, key, force=force)
        case _:
            return ask_captions(dataset, variant, [key], force=force)[key]


def _uninspected(dataset: Dataset) -> list[str]:
    """Return the partitions whose tars were not read again since they were written."""
    verdicts = judge_all(dataset)
    return [key for key in partition_keys(dataset) if not verdicts[Stage.SHARDS_INTACT, key].fresh]
