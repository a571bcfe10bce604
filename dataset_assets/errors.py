"""Every exception this project raises on purpose, as one tree.

    DatasetError                 something a person can act on; the command line prints it in one line, exit code 1
    ├── SettingsError            dataset.toml is missing, unreadable or says something that is not allowed
    ├── SourceError              a whole source cannot be read: a folder that is not there, no permission
    ├── CatalogError             the catalog is locked, damaged, or made by a newer version
    ├── StorageError             an artifact cannot be written or read: disk full, read-only, damaged
    │   └── DamagedError         a file of a stage is damaged or gone, and is made again by the next build
    ├── CaptionsStopped          a model cannot be asked any further: no key, no money, no such model, no answers
    ├── OrderError               a stage was asked for before the one that it needs
    ├── IncompleteError          counts that must add up do not, or an export would be incomplete
    └── SampleError              one image cannot be used; caught where images are worked on and counted

A SampleError carries one `DropReason`; it never stops a run. Every other one does. What is not in this tree is a defect
of the project and shows its traceback.
"""

from enum import StrEnum


class DatasetError(Exception):
    """Something a person can act on. The message says what is wrong and what to do, in one line.

    Several mistakes are as many arguments: a line each. There may be a line break in a name, so lines stay apart.
    """

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the message."""
        return tuple(str(line) for line in self.args)

    def __str__(self) -> str:
        """Return the message."""
        return "\n".join(self.lines)


class SettingsError(DatasetError):
    """The settings file is missing, unreadable, or holds a key, type or value that is not allowed."""


class SourceError(DatasetError):
    """A whole source cannot be read."""


class CatalogError(DatasetError):
    """The catalog is locked, damaged, unreachable, or was made by a newer version."""


class StorageError(DatasetError):
    """An artifact cannot be written or read."""


class DamagedError(StorageError):
    """A file of a stage is damaged or gone: the stage makes it again."""


class CaptionsStopped(DatasetError):  # noqa: N818 - it says what happened; nothing is wrong with what is there
    """A model cannot be asked any further for now; every answer so far is kept."""


class OrderError(DatasetError):
    """A stage was asked for before the stage whose results it needs."""


class IncompleteError(DatasetError):
    """Counts that must add up do not, or a manifest was asked for while shards are missing or stale."""


class DropReason(StrEnum):
    """Why an image is not in the export. The values are the counters' names in the manifest's summary.

    The first four are the published cards' words; the others are ours. Their order is the manifest's order
    (docs/format.md, Summary).
    """

    NO_CAPTION = "skipped_no_caption"
    TOO_SMALL = "skipped_too_small"
    DECODE_ERROR = "decode_errors"
    ENCODE_ERROR = "encode_errors"
    EMPTY_FILE = "skipped_empty_file"
    UNREADABLE = "skipped_unreadable"
    UNSUPPORTED_FORMAT = "skipped_unsupported_format"
    TOO_MANY_PIXELS = "skipped_too_many_pixels"
    SOURCE_CHANGED = "skipped_source_changed"
    DUPLICATE_ID = "skipped_duplicate_id"
    BLANK_IMAGE = "skipped_blank_image"
    PLACEHOLDER = "skipped_placeholder"
    IMAGE_UNAVAILABLE = "skipped_image_unavailable"
    CAPTION_REVIEW = "skipped_caption_review"
    NOT_JPEG = "not_jpeg"
    DUPLICATE = "skipped_duplicate"

    @property
    def passing(self) -> bool:
        """Whether the next build may find it gone, so that it is tried again."""
        return self in (DropReason.UNREADABLE, DropReason.SOURCE_CHANGED)


class SampleError(DatasetError):
    """One image cannot be used: `reason` is counted, `detail` is kept for the person who asks why."""

    def __init__(self, reason: DropReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["SampleError"], tuple[DropReason, str]]:
        """Let it cross process borders: BaseException would call the class with the message alone."""
        return type(self), (self.reason, self.detail)
