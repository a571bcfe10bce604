"""What a person wants to know of trainer metadata: how complete it is, and where it lies."""

from collections.abc import Mapping
from dataclasses import dataclass

from dataset_assets.dataset import Dataset
from dataset_assets.stages import Stage
from dataset_assets.status import load_report


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataSummary:
    """What is merged, and what is missing."""

    folder: str
    files: Mapping[str, int]  # bytes by name
    ids: int
    missing: Mapping[str, int]  # ids without tags, a caption, a latent's size
    sources: Mapping[str, int]  # ids by what their captions are made of
    findings: Mapping[str, int]  # captions that a trainer may stumble over
    log: str  # the line of the published cards


def summarize_metadata(dataset: Dataset) -> MetadataSummary:
    """Return the summary of the trainer metadata as it was made last. Raises OrderError where that was never."""
    report = load_report(dataset, Stage.TRAINER_METADATA)
    kept = {name: report[name] for name in ("files", "ids", "missing", "sources", "findings", "log")}
    return MetadataSummary(folder=str(dataset.layout.trainer), **kept)
