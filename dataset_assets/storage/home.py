"""The folder in which Dagster keeps its runs and events of a dataset. Dagster itself is not needed for it."""

import os
import re
from pathlib import Path

from dataset_assets.errors import StorageError
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.store import is_url

_DAGSTER_YAML = """\
# The Dagster instance of this dataset's builds. To see them: `dataset-assets ui`
telemetry:
  enabled: false
nux:
  enabled: false
# A run uses every core by itself.
concurrency:
  runs:
    max_concurrent_runs: 1
# A run whose process died is marked as failed, so that what waits for it goes on.
run_monitoring:
  enabled: true
# What a step prints is in the run's log; two more processes for every step are not needed to keep it.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""

_OWNER = "dataset_assets.root"  # names the dataset whose partitions Dagster keeps here
_UNSAFE = re.compile(r"\?|%[0-9A-Fa-f]{2}")  # Dagster puts the path into URLs as it is


def prepare_dagster_home(layout: Layout) -> Path:
    """Return $DAGSTER_HOME, or else the dataset's own folder, made where it is not there.

    Raises StorageError where it cannot be made or used, and where another dataset has its partitions in it.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or layout.dagster_home).expanduser().absolute()
    if _UNSAFE.search(str(home)):
        raise StorageError(
            f"Dagster cannot use {home}, because of the ? or % in it: set DAGSTER_HOME to another folder"
        )
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").write_text(_DAGSTER_YAML, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot make Dagster's folder {home}: {error.strerror}") from None
    other = _claim(home / _OWNER, layout)
    if other != str(layout.root) and home != layout.dagster_home.absolute() and _is_there(other):
        raise StorageError(f"{home} holds the runs of the dataset in {other}: set DAGSTER_HOME to a folder of its own")
    return home


def _claim(owner: Path, layout: Layout) -> str:
    """Return the root of the dataset that the folder belongs to: this one's, where it was nobody's."""
    try:
        if not owner.exists():
            owner.write_text(str(layout.root), encoding="utf-8", errors="surrogateescape")
        return owner.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise StorageError(f"cannot keep Dagster's records in {owner.parent}: {error.strerror}") from None


def _is_there(root: str) -> bool:
    """Return whether there is a dataset with this root; an object store is not asked."""
    return is_url(root) or Path(root).exists()
