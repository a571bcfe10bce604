"""manifest and dataset_card: what makes the folder of tars a release."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from dataset_assets.dataset import Dataset
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing, make_when_complete
from dataset_assets.defs.metadata import describe
from dataset_assets.defs.versions import code_version
from dataset_assets.release.publish import write_card, write_manifest
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage


def make_manifest(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @dg.asset(
        name=Stage.MANIFEST,
        deps=[Stage.SHARDS],
        group_name="export",
        kinds={"python", "json"},
        output_required=False,
        description=(
            "manifest.json: every tar with its hash, every setting that shaped it, and counts that add up to the "
            "images seen. It is written last and only when every shard is there: an export without it is not finished."
        ),
        code_version=code_version(settings, Stage.MANIFEST),
    )
    def manifest(
        context: dg.AssetExecutionContext, config: StageConfig, dataset: dg.ResourceParam[Dataset]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            outcome = make_when_complete(
                context, lambda: write_manifest(dataset, force=config.force), "no manifest yet"
            )
        if outcome:
            yield dg.MaterializeResult(data_version=dg.DataVersion(outcome.state.output), metadata=describe(outcome))

    return manifest


def make_dataset_card(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @dg.asset(
        name=Stage.DATASET_CARD,
        deps=[Stage.MANIFEST],
        group_name="export",
        kinds={"python", "markdown"},
        description="README.md of the export: the dataset card that a hub shows, made from the manifest.",
        code_version=code_version(settings, Stage.DATASET_CARD),
    )
    def dataset_card(config: StageConfig, dataset: dg.ResourceParam[Dataset]) -> dg.MaterializeResult[Any]:
        with failing():
            outcome = write_card(dataset, force=config.force)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(outcome.state.output),
            metadata={
                **describe(outcome),
                "card": dg.MetadataValue.md(dataset.layout.card.read_text(encoding="utf-8")),
            },
        )

    return dataset_card
