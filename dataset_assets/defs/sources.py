"""raw_images: the index of what the sources hold."""

from typing import Any

import dagster as dg

from dataset_assets.catalog.schema import images
from dataset_assets.dataset import Dataset
from dataset_assets.defs.assets import CATALOG, stage_asset
from dataset_assets.defs.carry import draw_or_carry
from dataset_assets.defs.charts import chart_sources
from dataset_assets.defs.columns import SCHEMA, describe_rows
from dataset_assets.defs.config import ScanConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import ROWS, as_result, make_drops, make_table, show_path
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import Stage


def make_raw_images(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @stage_asset(
        settings,
        Stage.RAW_IMAGES,
        group="index",
        form=CATALOG,
        metadata={SCHEMA: describe_rows(images)},
        description=(
            "Every file that the sources offer as an image: where it is, how large it is, or why it cannot be used. "
            "Only new and changed files are opened, and of these only the header. Everything below is made from it. "
            "When it fails: it names the source that it cannot read; nothing of the index is lost."
        ),
    )
    def raw_images(
        context: dg.AssetExecutionContext,
        config: ScanConfig,
        dataset: dg.ResourceParam[Dataset],
        progress: dg.ResourceParam[Progress],
    ) -> dg.MaterializeResult[Any]:
        with failing():
            outcome = scan_sources(dataset, **config.model_dump(), progress=progress)
            report = outcome.report
            charts = draw_or_carry(context, outcome, lambda: chart_sources(dataset, report))
        # Where another catalog is, is not shown: there may be a password in it.
        catalog = {} if settings.dataset.catalog else {"catalog": show_path(dataset.layout.catalog)}
        return as_result(
            outcome,
            {
                **charts,
                ROWS: report["seen"],
                **{name: report[name] for name in ("seen", "usable", "added", "updated", "removed")},
                "dropped": report["seen"] - report["usable"],
                "drops": make_drops(report["drops"]),
                "other_files": make_table(report["ignored"], "extension", "files"),
                **catalog,
            },
        )

    return raw_images
