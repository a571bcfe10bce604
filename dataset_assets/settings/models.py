"""The tables of dataset.toml as frozen models: every key, its default and what is allowed. No file is read here.

[automation] is in automation.py, [captions] in captions.py, [[sources]] in sources.py, [records] and [trainer] in
records.py.
"""

import os
import re
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from dataset_assets.settings.automation import AutomationSettings
from dataset_assets.settings.base import Model, show
from dataset_assets.settings.captions import CaptionSettings
from dataset_assets.settings.records import RecordSettings, TrainerSettings
from dataset_assets.settings.sources import FilePath, FolderSettings, SourceSettings
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.location import Location, check_location, is_local, make_location

LOCAL_FOLDER = ".dataset_assets"  # beside the settings file: Dagster's records and locks, of roots in object stores

_DIGITS = 16  # of the hash of such a root, which names its folder there

_OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")  # what Dagster takes for one
_DATABASE = re.compile(r"postgresql(\+psycopg)?://|sqlite:////[^/]")


def _corners(corners: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(corners)) != len(corners):
        raise ValueError("each corner once")
    return corners


def _owner(name: str) -> str:
    if not _OWNER.fullmatch(name):
        raise ValueError('an e-mail address, or "team:NAME"')
    return name


def _database(url: str) -> str:
    if url and not _DATABASE.match(url):
        raise ValueError('"postgresql://user@host/database", "sqlite:////absolute/path", or "" for a file in the root')
    return url


def _withhold(_: str) -> str:
    """Leave out where the catalog is: it shapes nothing that is made, and there may be a password in it."""
    return ""


Corner = Annotated[int, Field(ge=0, le=3)]


class DatasetSettings(Model):
    """What the dataset is called, and where everything made from it goes."""

    name: Annotated[str, Field(min_length=1, max_length=96)] = "my-dataset"
    root: FilePath = "data"
    catalog: Annotated[str, AfterValidator(_database), PlainSerializer(_withhold), Field(repr=False)] = ""
    license: Annotated[str, Field(min_length=1)] = "other"
    description: str = ""
    language: str = "en"
    owners: tuple[Annotated[str, AfterValidator(_owner)], ...] = ()  # whom Dagster names


Proto = Annotated[str, Field(pattern=r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$")]  # width x height at the 1024 base


class BucketSettings(Model):
    """Which sizes the crops are brought to (docs/format.md, Buckets)."""

    base_resolutions: Annotated[
        tuple[Annotated[int, Field(ge=32, le=8192)], ...], Field(min_length=1, max_length=16)
    ] = (512,)
    divisible: Annotated[int, Field(ge=1, le=256)] = 32
    protos: Annotated[tuple[Proto, ...], Field(max_length=1000)] = ()  # left out: the 40 of SDXL
    too_small_policy: Literal["drop", "next_bucket"] = "drop"

    @model_validator(mode="after")
    def _targets_exist(self) -> Self:
        if len(set(self.base_resolutions)) != len(self.base_resolutions):
            raise ValueError(f"base_resolutions: {show(self.base_resolutions)} given; allowed: each base once")
        if len(set(self.protos)) != len(self.protos):
            raise ValueError(f"protos: {show(self.protos)} given; allowed: each proto once")
        sides = [int(side) for proto in self.protos for side in proto.split("x")] or [512]
        narrowest = min(self.base_resolutions) * min(sides) // 1024
        if narrowest < self.divisible:
            least = -(-1024 * self.divisible // min(sides))
            raise ValueError(
                f"base_resolutions: {show(self.base_resolutions)} given with divisible {self.divisible}, the "
                f"narrowest bucket would be 0 pixels wide; allowed: a base of {least} or more"
            )
        return self


class DuplicateSettings(Model):
    """What becomes of images that are there more than once."""

    exact: Literal["keep", "drop"] = "keep"  # the same content: of these the first by image_id stays
    near: bool = False  # look for images that look alike, and report them
    near_distance: Annotated[int, Field(ge=0, le=3)] = 3  # bits of 64 in which their hashes may differ


class CropSettings(Model):
    """Which part of the resized image is kept."""

    strategy: Literal["corner", "center", "random"] = "corner"
    allowed_corners: Annotated[tuple[Corner, ...], Field(min_length=1, max_length=4), AfterValidator(_corners)] = (2, 3)
    corner_jitter: Annotated[int, Field(ge=0)] = 0


class ImageSettings(Model):
    """How pixels become the stored JPEG (docs/format.md, Samples)."""

    mode: Literal["reencode_jpeg", "passthrough_jpeg"] = "reencode_jpeg"
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    subsampling_policy: Literal["adaptive_scale", "444", "420"] = "adaptive_scale"
    adaptive_scale_threshold: Annotated[float, Field(ge=0, le=1)] = 0.85
    icc: Literal["srgb", "ignore"] = "srgb"
    max_pixels: Annotated[int, Field(ge=1, le=1 << 40)] = 178_956_970
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 120
    crop: CropSettings = CropSettings()


class ShardSettings(Model):
    """How samples are cut into tars, and tars into partitions."""

    shard_size: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    shards_per_partition: Annotated[int, Field(ge=1, le=100_000)] = 16


class ReleaseSettings(Model):
    """What lies beside the tars. It repeats what the tars hold, for those who do not go through them."""

    samples: bool = True  # samples.parquet
    webshart: bool = False  # a JSON index beside each tar, for the package of that name
    charts: bool = True  # pictures of what is in the tars, which the dataset card shows


class GallerySettings(Model):
    """The page with which a person looks the dataset over. It is no part of the export."""

    enabled: bool = True
    images: Annotated[int, Field(ge=1, le=100_000)] = 240  # of a larger dataset a sample of every bucket
    drops: Annotated[int, Field(ge=0, le=10_000)] = 12  # examples of each reason for which images were left out


class WorkSettings(Model):
    """How much of the machine is used. Nothing here changes a byte of the export."""

    workers: Annotated[int, Field(ge=0, le=1024)] = 0


class Settings(Model):
    """Everything dataset.toml says. Relative paths are resolved against the folder the file is in."""

    dataset: DatasetSettings = DatasetSettings()
    sources: tuple[SourceSettings, ...] = (FolderSettings(),)
    buckets: BucketSettings = BucketSettings()
    duplicates: DuplicateSettings = DuplicateSettings()
    images: ImageSettings = ImageSettings()
    shards: ShardSettings = ShardSettings()
    release: ReleaseSettings = ReleaseSettings()
    gallery: GallerySettings = GallerySettings()
    captions: CaptionSettings = CaptionSettings()
    records: RecordSettings | None = None  # without [[sources]] the dataset has no images
    trainer: TrainerSettings | None = None
    work: WorkSettings = WorkSettings()
    automation: AutomationSettings = AutomationSettings()
    folder: Annotated[Path, Field(exclude=True)] = Path()

    @model_validator(mode="before")
    @classmethod
    def _records_need_no_images(cls, said: Any) -> Any:
        return {"sources": (), **said} if isinstance(said, dict) and ("records" in said or _names_ids(said)) else said

    @model_validator(mode="after")
    def _something_is_there(self) -> Self:
        if self.sources or self.records or (self.trainer and self.trainer.ids):
            return self
        if self.trainer:
            raise ValueError(
                'trainer.ids: "" given without [[sources]] and [records], there is nothing to make metadata of; '
                "allowed: a file"
            )
        raise ValueError("sources: [] given; allowed: at least one table, or [records]")

    @model_validator(mode="after")
    def _sources_differ(self) -> Self:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"sources: names {show(tuple(names))} given; allowed: each name once")
        return self

    @model_validator(mode="after")
    def _root_is_possible(self) -> Self:
        if fault := check_location(self.dataset.root):
            raise ValueError(f"dataset.root: allowed: a folder, or {fault}")
        if is_local(self.root):
            return self
        if not self.dataset.catalog:
            raise ValueError(
                'dataset.catalog: "" given, and a database cannot lie in the object store that dataset.root names; '
                'allowed: "postgresql://user@host/database", or "sqlite:////absolute/path" on this machine'
            )
        return self

    @property
    def root(self) -> Location:
        """The folder every artifact goes under, absolute."""
        return make_location(self.dataset.root, self.folder)

    @property
    def layout(self) -> Layout:
        """Where everything lies. What has to be on a local disk lies beside the file, where the root is not on one."""
        digest = sha256(str(self.root).encode()).hexdigest()[:_DIGITS]
        return Layout(self.root, None if is_local(self.root) else self.folder / LOCAL_FOLDER / digest)

    @property
    def workers(self) -> int:
        """How many worker processes: the setting, or one a core that this process may use."""
        return self.work.workers or count_cores()

    def resolve(self, path: str) -> Location:
        """Return what a path or a URL from the file means, a path as an absolute one."""
        return make_location(path, self.folder)


def _names_ids(said: dict[str, Any]) -> bool:
    """Return whether trainer metadata is made of a list of ids: it needs no images then."""
    trainer = said.get("trainer")
    return bool(isinstance(trainer, dict) and trainer.get("ids"))


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
