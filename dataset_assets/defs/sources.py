"""raw_images: the index of what the sources hold."""

from typing import Any

import dagster as dg

from dataset_assets.dataset import Dataset
from dataset_assets.defs.config import ScanConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import make_table
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import Stage


def make_raw_images(_settings: Settings) -> dg.AssetsDefinition:
    """Return the asset. It has no code version: only a look at the sources can tell whether it is stale."""

    @dg.asset(
        name=Stage.RAW_IMAGES,
        group_name="index",
        kinds={"python", "sqlite"},
        description=(
            "Every file that the sources offer as an image: where it is, how large it is, or why it cannot be used. "
            "Only new and changed files are opened, and of these only the header."
        ),
    )
    def raw_images(
        config: ScanConfig, dataset: dg.ResourceParam[Dataset], progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult[Any]:
        with failing():
            outcome = scan_sources(dataset, **config.model_dump(), progress=progress)
        report = outcome.report
        return dg.MaterializeResult(
            data_version=dg.DataVersion(outcome.state.output),
            metadata={
                **{name: report[name] for name in ("seen", "usable", "added", "updated", "removed")},
                "drops": make_table(report["drops"], "reason", "images"),
                "other_files": make_table(report["ignored"], "extension", "files"),
            },
        )

    return raw_images
