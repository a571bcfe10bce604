"""What a person wants to know of trainer metadata: how complete it is, and where it lies."""

from collections.abc import Mapping
from dataclasses import dataclass

from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset
from dataset_assets.freshness import Stage, find_state


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
    with dataset.catalog.reading() as connection:
        report = find_state(load_states(connection, [""]), Stage.TRAINER_METADATA).report
    kept = {name: report[name] for name in ("files", "ids", "missing", "sources", "findings", "log")}
    return MetadataSummary(folder=str(dataset.layout.trainer), **kept)
