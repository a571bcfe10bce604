"""[records] and [trainer]: captions that come as records without images, and the metadata that trainers read."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dataset_assets.settings.base import Model, VariantName, show
from dataset_assets.settings.sources import FilePath, SourcePath
from dataset_assets.storage.location import check_location, check_pattern

_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
# What reports call ids by that have no variant of theirs, and what tars of chosen captions are called.
_TAKEN = frozenset(("caption", "captions", "empty", "none"))
_PARTS = frozenset((".", ".."))

FieldName = Annotated[str, Field(min_length=1)]


def _prefix(text: str) -> str:
    if text and (not _PREFIX.fullmatch(text) or _PARTS.intersection(text.split("/"))):
        raise ValueError('"", or a folder such as "e621": letters, digits and _ . - / inside')
    return text


def _own_name(name: str) -> str:
    if name in _TAKEN:
        raise ValueError(
            f"others than {', '.join(sorted(_TAKEN))}, which reports and tars have a meaning of their own for"
        )
    return name


class ConditionSettings(Model):
    """When a record has a variant's text: one of its fields is just this text."""

    field: FieldName
    equals: str


class RecordVariantSettings(Model):
    """A caption that is made of some fields of a record."""

    name: Annotated[VariantName, AfterValidator(_own_name)]
    join: Annotated[tuple[FieldName, ...], Field(min_length=1)]  # those that are not empty, joined by one space
    when: ConditionSettings | None = None  # None: always


_SUMMARY = RecordVariantSettings(
    name="summary",
    join=("regular_summary", "brief_summary"),
    when=ConditionSettings(field="response_finish_reason", equals="STOP"),
)
_TAGS = RecordVariantSettings(name="tags", join=("tags",))


class RecordSettings(Model):
    """Where records are and what is made of them (docs/records.md, Other record sets)."""

    paths: Annotated[tuple[SourcePath, ...], Field(min_length=1)]  # or URLs, or patterns such as captions/*.jsonl
    mode: Literal["careful", "faithful"] = "careful"
    id: FieldName = "id"
    variants: Annotated[tuple[RecordVariantSettings, ...], Field(min_length=1, max_length=100)] = (_SUMMARY, _TAGS)
    priority: tuple[VariantName, ...] = ()  # left out: the variants as they are listed
    modulus: Annotated[int, Field(ge=1, le=10_000)] = 1000  # how many tars; the tar of an id is id % modulus
    padding: Annotated[int, Field(ge=1, le=9)] = 4  # digits of a tar's name
    tars_per_partition: Annotated[int, Field(ge=1, le=10_000)] = 100
    text_tars: tuple[VariantName, ...] = ()  # variants that get tars of their own, of .txt files

    @model_validator(mode="after")
    def _paths_are_possible(self) -> Self:
        if fault := next(filter(None, map(check_pattern, self.paths)), ""):  # of the table: a password is not shown
            raise ValueError(f"paths: allowed: paths, patterns, or {fault}")
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError(f"variants: names {show(tuple(names))} given; allowed: each name once")
        for key in ("priority", "text_tars"):
            given = getattr(self, key)
            if len(set(given)) != len(given) or not set(given) <= set(names):
                raise ValueError(f"{key}: {show(given)} given; allowed: each once of {', '.join(names)}")
        if 10**self.padding < self.modulus:
            raise ValueError(
                f"padding: {self.padding} given; allowed: as many digits as {self.modulus - 1} has, or more"
            )
        return self

    @property
    def selectors(self) -> tuple[RecordVariantSettings, ...]:
        """The variants in the order of the waterfall; one that the priority leaves out is never selected."""
        by_name = {variant.name: variant for variant in self.variants}
        return tuple(by_name[name] for name in self.priority or by_name)

    @property
    def ranges(self) -> dict[str, range]:
        """The partitions: key → the numbers of its tars."""
        step = self.tars_per_partition
        cuts = (range(start, min(start + step, self.modulus)) for start in range(0, self.modulus, step))
        return {f"{cut[0]:0{self.padding}d}-{cut[-1]:0{self.padding}d}": cut for cut in cuts}


class TrainerSettings(Model):
    """What trainer metadata is made of and looks like (docs/records.md, What is merged).

    A path or URL is that of a JSON object by id, a .jsonl file, or Parquet; "" is the dataset itself: its records, or
    its export.
    """

    ids: FilePath = ""
    tags: FilePath = ""
    captions: FilePath = ""
    latents: FilePath = ""
    key_prefix: Annotated[str, AfterValidator(_prefix)] = ""
    dialect: Literal["json", "jsonl"] = "json"
    split: Annotated[int, Field(ge=1, le=10_000)] = 1  # files of merged metadata: id % split
    archives: bool = True  # meta_cap.tar.gz beside the files

    @model_validator(mode="after")
    def _paths_are_possible(self) -> Self:
        for key in ("ids", "tags", "captions", "latents"):
            if fault := check_location(getattr(self, key)):
                raise ValueError(f"{key}: allowed: a path, or {fault}")
        return self
