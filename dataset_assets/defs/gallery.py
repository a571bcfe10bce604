"""gallery: the page with which a person looks the dataset over."""

from typing import Any

import dagster as dg

from dataset_assets.dataset import Dataset
from dataset_assets.defs.assets import stage_asset
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import as_result, describe, show_path
from dataset_assets.gallery.stage import write_gallery
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage


def make_gallery(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @stage_asset(
        settings,
        Stage.GALLERY,
        group="export",
        form="html",
        description=(
            "A page to look the dataset over, beside the export: a sample of every bucket with where it lies in its "
            "source and all its captions, examples of what was left out by reason, and what looks alike. Open its "
            "index.html in a browser: it needs no server. [gallery] of the settings says how many images it shows, and "
            "turns it off. What cannot be decoded any more is only missing from it."
        ),
    )
    def gallery(
        config: StageConfig, dataset: dg.ResourceParam[Dataset], progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult[Any]:
        with failing():
            outcome = write_gallery(dataset, force=config.force, progress=progress)
        return as_result(outcome, {**describe(outcome), "page": show_path(dataset.layout.gallery_page)})

    return gallery
