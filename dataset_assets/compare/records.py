"""What a comparison says, field by field. The JSON of the command and the page's data are these; docs/compare.md too.

Texts are as they are in the data, however hostile. `a` is the first export, `b` the second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TEXT_LIMIT = 20_000  # characters of a caption in an example
EXAMPLES = 12  # of each kind, where nothing else is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One export."""

    path: str  # of its folder, as it was given
    export_id: str  # this and the next two are "" where its manifest does not say
    created_at: str
    format: str
    samples: int
    tars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Samples. a = same + changed + removed, b = same + changed + added."""

    a: int
    b: int
    same: int  # JPEG, caption and fields are the same
    changed: int
    added: int
    removed: int
    moved: int  # of those in both, changed or not: in a tar of another path
    not_read: int  # of those that are the same: in tars with the same path and hash, which were not opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """The changed samples by what changed; one can be in `image` and in `caption` or `variant`."""

    image: int  # the JPEG, or what its fields say of how it was made
    caption: int  # the text
    variant: int  # the text is the same, and of another variant
    record: int  # nothing but other fields of the JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """The changed samples that have just these kinds. Over all combinations they add up to `changed`."""

    kinds: Sequence[str]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The samples of the kind `image` by what is different; one can be in several."""

    bucket: int  # another bucket, or another target
    crop: int  # another crop box, scale or corner
    encoding: int  # another quality, subsampling or mode
    source: int  # made of a file with other content, or of another size
    bytes_only: int  # none of these, and yet other bytes
    same_bytes: int  # some of these, and yet the same bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketCounts:
    """One bucket. a = same + changed + removed + went, b = same + changed + added + came."""

    id: str  # with its base resolution where only that makes it clear
    a: int
    b: int
    same: int
    changed: int  # and in this bucket in both
    added: int
    removed: int
    came: int  # from other buckets
    went: int  # to other buckets


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Samples that are `a` in the first export and `b` in the second; None is of those that are not there."""

    a: str | None
    b: str | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A value of the manifests that differs; None where one has no such key."""

    key: str
    a: object
    b: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Caption sources: ways in which captions were made, told apart by backend, model and prompts."""

    both: int  # both exports have
    a: int  # only the first has
    b: int  # only the second has


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture beside the page."""

    path: str  # from the page's folder
    w: int  # pixels
    h: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A sample as it is in one export."""

    tar: str  # path in the export
    bucket: str
    variant: str
    caption: str  # at most TEXT_LIMIT characters
    length: int  # of the whole caption, characters
    bytes: int  # of the JPEG
    sha256: str  # of the JPEG
    picture: Picture | None  # None without a page, and where the JPEG cannot be decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A part of a caption."""

    text: str
    same: bool  # whether the other caption has it, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One sample that is not the same."""

    key: str
    image_id: str  # "" where the JSON does not say
    kinds: Sequence[str]  # fields of Kinds; none for one that is only in one export or only moved
    reasons: Sequence[str]  # "bucket", "crop", "encoding", "source", "bytes": what is different of the image
    a: Side | None  # None for an added one
    b: Side | None  # None for a removed one
    fields: Sequence[Difference]  # of the JSON, those that differ
    words_a: Sequence[Words]  # the captions in parts; none where they are the same
    words_b: Sequence[Words]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is different between two exports."""

    equal: bool  # nothing is added, removed or changed
    a: Summary
    b: Summary
    counts: Counts
    kinds: Kinds
    combinations: Sequence[Combined]  # the most frequent first
    images: Images
    buckets: Sequence[BucketCounts]  # by id
    bucket_moves: Sequence[Flow]  # to other buckets, the largest first
    variants: Sequence[Flow]  # of all samples that were read, the largest first; "" is no caption
    sources: Sources
    settings: Sequence[Difference]
    drops: Sequence[Difference]  # images by reason, where either export left some out
    fields: Sequence[Difference]  # of the JSON: those that only one export has, which are not compared
    examples: Mapping[
        str, Sequence[Example]
    ]  # by "added", "removed", a field of Kinds, or "moved": smallest keys first
    bytes_read: int  # of tars
