"""near_duplicates: images that look alike, for a person to look over."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from dataset_assets.dataset import Dataset
from dataset_assets.defs.assets import stage_asset
from dataset_assets.defs.carry import draw_or_carry
from dataset_assets.defs.columns import SCHEMA, describe_columns
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing, make_when_complete
from dataset_assets.defs.metadata import ROWS, as_result, describe, show_path
from dataset_assets.defs.pictures import show_strip
from dataset_assets.images.near import NEAR_SCHEMA, find_near_duplicates
from dataset_assets.previews.glimpse import show_groups
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage


def make_near_duplicates(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @stage_asset(
        settings,
        Stage.NEAR_DUPLICATES,
        group="images",
        form="parquet",
        output_required=False,
        metadata={SCHEMA: describe_columns(NEAR_SCHEMA)},
        description=(
            "Groups of images that look alike: resized, encoded again, marked, toned, turned or mirrored. They are in "
            "the table near_duplicates of the catalog and in duplicates/near.parquet. A report: no image is left out. "
            "Are the images of a group not alike, set a smaller near_distance."
        ),
    )
    def near_duplicates(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        dataset: dg.ResourceParam[Dataset],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            outcome = make_when_complete(
                context,
                lambda: find_near_duplicates(dataset, force=config.force, progress=progress),
                "near duplicates were not looked for yet",
            )
        if outcome:
            with failing():
                pictures = draw_or_carry(context, outcome, lambda: show_strip("groups_seen", show_groups(dataset)))
            yield as_result(
                outcome,
                {
                    **pictures,
                    **describe(outcome),
                    ROWS: outcome.report["images_in_groups"],
                    "report": show_path(dataset.layout.near_duplicates),
                },
            )

    return near_duplicates
