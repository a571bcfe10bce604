"""The folder in which Dagster keeps its runs and events of a dataset. Dagster itself is not needed for it."""

import os
from pathlib import Path

from dataset_assets.errors import StorageError
from dataset_assets.storage.layout import Layout

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
"""


def prepare_dagster_home(layout: Layout) -> Path:
    """Return $DAGSTER_HOME, or else the dataset's own folder, made where it is not there. Raises StorageError."""
    home = Path(os.environ.get("DAGSTER_HOME") or layout.dagster_home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").write_text(_DAGSTER_YAML, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot make Dagster's folder {home}: {error.strerror}") from None
    return home
