"""near_duplicates: images that look alike, for a person to look over."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from dataset_assets.dataset import Dataset
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing, make_when_complete
from dataset_assets.defs.metadata import describe
from dataset_assets.defs.versions import code_version
from dataset_assets.images.near import find_near_duplicates
from dataset_assets.progress import Progress
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage


def make_near_duplicates(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @dg.asset(
        name=Stage.NEAR_DUPLICATES,
        deps=[Stage.RESIZED_CROPS],
        group_name="images",
        kinds={"python", "parquet"},
        output_required=False,
        description=(
            "Groups of images that look alike: resized, encoded again, marked, toned, turned or mirrored. They are in "
            "the table near_duplicates of the catalog and in duplicates/near.parquet. A report: no image is left out."
        ),
        code_version=code_version(settings, Stage.NEAR_DUPLICATES),
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
            path = str(dataset.layout.near_duplicates)
            yield dg.MaterializeResult(
                data_version=dg.DataVersion(outcome.state.output),
                metadata={**describe(outcome), "report": dg.MetadataValue.path(path)},
            )

    return near_duplicates
