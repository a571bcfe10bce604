"""dataset.toml as frozen models: every key, its default and what is allowed. Touches no file but the settings file.

An error names the key as it is written in the file, what was given, and what is allowed, one line a mistake.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from dataset_assets.errors import SettingsError

CONFIG_VARIABLE = "DATASET_CONFIG"
DEFAULT_CONFIG = "dataset.toml"

_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_VARIANT_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _variant_name(name: str) -> str:
    if not _VARIANT_NAME.fullmatch(name):
        raise ValueError("lower-case letters, digits and _, starting with a letter")
    return name


def _corners(corners: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(corners)) != len(corners):
        raise ValueError("each corner once")
    return corners


def _path(path: str) -> str:
    if "\0" in path:
        raise ValueError("a path, which holds no NUL character")
    try:
        Path(path).expanduser()
    except RuntimeError:
        raise ValueError("a path; there is no user of this name whose home it could mean") from None
    return path


def _time_of_day(text: str) -> str:
    if text and not _TIME_OF_DAY.fullmatch(text):
        raise ValueError('a time of day such as "03:00", or "" for never')
    return text


VariantName = Annotated[str, AfterValidator(_variant_name)]
Corner = Annotated[int, Field(ge=0, le=3)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DatasetSettings(_Model):
    """What the dataset is called, and where everything made from it goes."""

    name: Annotated[str, Field(min_length=1, max_length=96)] = "my-dataset"
    root: Annotated[str, AfterValidator(_path)] = "data"
    catalog: str = ""
    license: Annotated[str, Field(min_length=1)] = "other"
    description: str = ""
    language: str = "en"


class SourceSettings(_Model):
    """One place where images come from."""

    kind: Literal["folder"] = "folder"
    path: Annotated[str, Field(min_length=1), AfterValidator(_path)] = "data/raw"
    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")] = "folder"
    prefix: str = ""


class BucketSettings(_Model):
    """Which sizes the crops are brought to (SPEC 1.2)."""

    base_resolutions: Annotated[
        tuple[Annotated[int, Field(ge=32, le=8192)], ...], Field(min_length=1, max_length=1)
    ] = (512,)
    divisible: Annotated[int, Field(ge=1, le=256)] = 32
    too_small_policy: Literal["drop"] = "drop"

    @model_validator(mode="after")
    def _targets_exist(self) -> Self:
        narrowest = min(self.base_resolutions) * 512 // 1024
        if narrowest < self.divisible:
            raise ValueError(
                f"base_resolutions: {_shown(self.base_resolutions)} given with divisible {self.divisible}, the "
                f"narrowest bucket would be 0 pixels wide; allowed: a base of {2 * self.divisible} or more"
            )
        return self


class CropSettings(_Model):
    """Which part of the resized image is kept."""

    strategy: Literal["corner", "center", "random"] = "corner"
    allowed_corners: Annotated[tuple[Corner, ...], Field(min_length=1, max_length=4), AfterValidator(_corners)] = (2, 3)
    corner_jitter: Annotated[int, Field(ge=0)] = 0


class ImageSettings(_Model):
    """How pixels become the stored JPEG (SPEC 1.3)."""

    mode: Literal["reencode_jpeg"] = "reencode_jpeg"
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    subsampling_policy: Literal["adaptive_scale", "444", "420"] = "adaptive_scale"
    adaptive_scale_threshold: Annotated[float, Field(ge=0, le=1)] = 0.85
    icc: Literal["srgb", "ignore"] = "srgb"
    max_pixels: Annotated[int, Field(ge=1, le=1 << 40)] = 178_956_970
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 120
    crop: CropSettings = CropSettings()


class ShardSettings(_Model):
    """How samples are cut into tars, and tars into partitions."""

    shard_size: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    shards_per_partition: Annotated[int, Field(ge=1, le=100_000)] = 16


class SelectorSettings(_Model):
    """One step of the waterfall: a variant, narrowed by backend and model where they are given."""

    variant: VariantName
    backend: str | None = None
    model: str | None = None


class VariantSettings(_Model):
    """One kind of caption and where it comes from."""

    name: VariantName
    backend: Literal["sidecar"] = "sidecar"
    extension: Literal["txt", "caption", "json"] | None = None
    field: str | None = None

    @model_validator(mode="after")
    def _field_needs_json(self) -> Self:
        if self.field is not None and self.extension in ("txt", "caption"):
            raise ValueError(
                f'field: "{self.field}" given, which reads photo.json, with extension "{self.extension}"; '
                "allowed: one of the two"
            )
        if self.field is None and self.extension == "json":
            raise ValueError(
                'extension: "json" given without field; allowed: with field, the name of the key that holds the caption'
            )
        return self


class CaptionSettings(_Model):
    """The waterfall (SPEC 1.5)."""

    priority: tuple[SelectorSettings, ...] = ()  # left out: the variants in their order
    missing_caption_policy: Literal["empty", "drop"] = "empty"
    variants: tuple[VariantSettings, ...] = (VariantSettings(name="caption_sidecar"),)

    @model_validator(mode="before")
    @classmethod
    def _fill_priority(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "priority" in data:
            return data
        variants = data.get("variants", ({"name": "caption_sidecar"},))
        named = [one.get("name") for one in variants if isinstance(one, dict)] if isinstance(variants, tuple) else []
        return {
            **data,
            "priority": tuple(
                {"variant": name} for name in named if isinstance(name, str) and _VARIANT_NAME.fullmatch(name)
            ),
        }

    @model_validator(mode="after")
    def _names_match(self) -> Self:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError(f"variants: names {_shown(tuple(names))} given; allowed: each name once")
        for index, selector in enumerate(self.priority):
            if selector.variant not in names:
                allowed = ", ".join(names) or "(no variant is configured)"
                raise ValueError(f'priority.{index}.variant: "{selector.variant}" given; allowed: {allowed}')
        return self


class WorkSettings(_Model):
    """How much of the machine is used. Nothing here changes a byte of the export."""

    workers: Annotated[int, Field(ge=0, le=1024)] = 0


class AutomationSettings(_Model):
    """What happens by itself while Dagster's daemon runs."""

    watch: bool = True
    interval_seconds: Annotated[int, Field(ge=5, le=86_400)] = 30
    settle_seconds: Annotated[float, Field(ge=0, le=86_400)] = 5
    nightly: Annotated[str, AfterValidator(_time_of_day)] = "03:00"


class Settings(_Model):
    """Everything dataset.toml says. Relative paths are resolved against the folder the file is in."""

    dataset: DatasetSettings = DatasetSettings()
    sources: Annotated[tuple[SourceSettings, ...], Field(min_length=1)] = (SourceSettings(),)
    buckets: BucketSettings = BucketSettings()
    images: ImageSettings = ImageSettings()
    shards: ShardSettings = ShardSettings()
    captions: CaptionSettings = CaptionSettings()
    work: WorkSettings = WorkSettings()
    automation: AutomationSettings = AutomationSettings()
    folder: Annotated[Path, Field(exclude=True)] = Path()

    @model_validator(mode="after")
    def _sources_differ(self) -> Self:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"sources: names {_shown(tuple(names))} given; allowed: each name once")
        return self

    @property
    def root(self) -> Path:
        """The folder every artifact goes under, absolute."""
        return self.resolve(self.dataset.root)

    @property
    def workers(self) -> int:
        """How many worker processes: the setting, or one a core that this process may use."""
        return self.work.workers or count_cores()

    def resolve(self, path: str) -> Path:
        """Return `path` from the file as an absolute path."""
        return (self.folder / Path(path).expanduser()).absolute()


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_config(config: str | Path | None = None) -> Path:
    """Return the settings file: the one given, else $DATASET_CONFIG, else ./dataset.toml."""
    return Path(config or os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def load_settings(config: str | Path | None = None) -> Settings:
    """Read the settings file. Raises SettingsError, with one line a mistake."""
    path = find_config(config)
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: there is no such file; `dataset-assets init DIR --source PATH` writes one, "
            f"--config or {CONFIG_VARIABLE} names another"
        ) from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8: {error.reason} at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from None
    return parse_settings(data, folder=path.parent, name=str(path))


def parse_settings(data: Mapping[str, Any], *, folder: Path, name: str = DEFAULT_CONFIG) -> Settings:
    """Return `data`, the parsed file, as Settings; `folder` is what its relative paths are relative to."""
    if "folder" in data:
        raise SettingsError(f"{name}: folder: there is no such key; allowed: {_keys_of(Settings)}")
    try:
        return Settings.model_validate(_tuples(data) | {"folder": folder.absolute()})
    except ValidationError as error:
        lines = [f"{name}: {_line(dict(fault))}" for fault in error.errors() if not _follows(dict(fault))]
        raise SettingsError("\n".join(lines)) from None


def _tuples(value: Any) -> Any:
    """Return TOML's lists as tuples, which is what strict frozen models take."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _follows(fault: dict[str, Any]) -> bool:
    """Return whether a fault only follows from another: of a list, pydantic counts the items that are right."""
    return fault["type"] == "too_short" and bool(fault["input"])


def _line(fault: dict[str, Any]) -> str:
    """Return one validation fault as `key: what was given; what is allowed`."""
    where, given = ".".join(str(part) for part in fault["loc"]), fault["input"]
    match fault["type"]:
        case "extra_forbidden":
            return f"{where}: there is no such key; allowed: {_keys_of(_model_at(fault['loc'][:-1]))}"
        case "missing":
            return f"{where}: is missing"
        case "value_error" if isinstance(given, dict | BaseModel):
            return ".".join((*filter(None, [where]), str(fault["ctx"]["error"])))
        case "value_error":
            return f"{where}: {_shown(given)} given; allowed: {fault['ctx']['error']}"
        case "model_type":
            return f"{where}: {_shown(given)} given; allowed: a table"
        case "tuple_type":
            tables = f" of tables, each under [[{where}]]" if isinstance(given, dict) else ""
            return f"{where}: {_shown(given)} given; allowed: a list{tables}"
        case _:
            rule = re.sub(r"^(Input|Tuple|String) should | after validation, not \d+$", "", fault["msg"])
            return f"{where}: {_shown(given)} given; should {rule}"


def _shown(value: Any) -> str:
    """Return a value from the file about as it was written there."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_shown(item)}" for key, item in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _model_at(where: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model that the keys `where` lead to."""
    model: type[BaseModel] = Settings
    for part in where:
        if isinstance(part, str):
            default = model.model_fields[part]
            model = _model_in(default.annotation)
    return model


def _model_in(annotation: Any) -> type[BaseModel]:
    """Return the model an annotation is, or is a tuple of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return _model_in(annotation.__args__[0])


def _keys_of(model: type[BaseModel]) -> str:
    return ", ".join(name for name, field in model.model_fields.items() if not field.exclude)
