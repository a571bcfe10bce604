"""Code versions: a change of the settings that shape an asset shows in Dagster as a change of its code."""

from dataset_assets.freshness import fingerprint_settings
from dataset_assets.settings import Settings


def code_version(settings: Settings, stage: str) -> str:
    """Return what Dagster shows as the code version of a stage's asset."""
    return fingerprint_settings(settings, stage)[:16]
