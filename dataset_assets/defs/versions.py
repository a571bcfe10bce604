"""What Dagster compares to tell what is stale: code versions from settings, data versions from the stages' outputs."""

from collections.abc import Mapping
from dataclasses import dataclass

from dataset_assets.freshness import fingerprint_settings
from dataset_assets.settings import Settings

# Of bucket_assignments, always the same: what changed is said by shard_plans, partition by partition. With another
# version here every plan would look stale.
ASSIGNMENTS_VERSION = "1"


def code_version(settings: Settings, stage: str) -> str:
    """Return the code version of a stage's asset: another one when settings that shape it change."""
    return fingerprint_settings(settings, stage)[:16]


@dataclass(frozen=True, slots=True)
class Origin:
    """What an asset above had made when this one was made from it."""

    data_version: str
    event: int | None = None  # storage id of its newest event by then, which Dagster looks for newer ones after


def version_tags(settings: Settings, stage: str, output: str, above: Mapping[str, Origin]) -> dict[str, str]:
    """Return the tags of an event as Dagster would make them by itself, had the partition a run of its own.

    `output` is the data version. Without the other tags the event itself looks stale.
    """
    tags = {
        "dagster/data_version": output,
        "dagster/data_version_is_user_provided": "true",
        "dagster/code_version": code_version(settings, stage),
    }
    for name, origin in above.items():
        tags[f"dagster/input_data_version/{name}"] = origin.data_version
        tags[f"dagster/input_event_pointer/{name}"] = str(origin.event or "NULL")
    return tags
