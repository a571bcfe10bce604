"""manifest and dataset_card: what makes the folder of tars a release."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from dataset_assets.dataset import Dataset
from dataset_assets.defs.assets import stage_asset
from dataset_assets.defs.carry import draw_or_carry
from dataset_assets.defs.charts import chart_release
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing, make_when_complete
from dataset_assets.defs.markdown import show_page
from dataset_assets.defs.metadata import ROWS, as_result, describe, make_drops, show_path, tell_selected
from dataset_assets.errors import DropReason
from dataset_assets.release.publish import write_card, write_manifest
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage
from dataset_assets.work import Outcome


def make_manifest(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""
    layout = settings.layout
    samples = {"samples": show_path(layout.samples)} if settings.release.samples else {}

    @stage_asset(
        settings,
        Stage.MANIFEST,
        group="export",
        form="json",
        output_required=False,
        metadata={"export": show_path(layout.export), **samples},
        description=(
            "manifest.json: every tar with its hash, every setting that shaped it, and counts that add up to the "
            "images seen. It is written last and only when every shard is there: an export without it is not finished. "
            "When it fails, it names the partitions that are missing or stale: materialize those."
        ),
    )
    def manifest(
        context: dg.AssetExecutionContext, config: StageConfig, dataset: dg.ResourceParam[Dataset]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            outcome = make_when_complete(
                context, lambda: write_manifest(dataset, force=config.force), "no manifest yet"
            )
            drops = _list_drops(outcome) if outcome else {}
            charts = draw_or_carry(context, outcome, lambda: chart_release(dataset, drops)) if outcome else {}
        if outcome:
            summary = outcome.report["summary"]
            yield as_result(
                outcome,
                {
                    **charts,
                    **describe(outcome),
                    **tell_selected(settings, outcome.report, summary["images_exported"]),
                    ROWS: summary["images_exported"],
                    "images_seen": summary["images_seen"],
                    "images_exported": summary["images_exported"],
                    "dropped": summary["images_seen"] - summary["images_exported"],
                    "drops": make_drops(drops),
                    "file": show_path(dataset.layout.manifest),
                },
            )

    return manifest


def _list_drops(outcome: Outcome) -> dict[str, int]:
    """Return what the summary of a manifest counts as left out, by reason."""
    return {reason.value: outcome.report["summary"].get(reason.value, 0) for reason in DropReason}


def make_dataset_card(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @stage_asset(
        settings,
        Stage.DATASET_CARD,
        group="export",
        form="markdown",
        metadata={"file": show_path(settings.layout.card)},
        description=(
            "README.md of the export: the dataset card that a hub shows, made from the manifest. What is said of the "
            "dataset there is in [dataset] of the settings: do not edit the file, the next build writes it again."
        ),
    )
    def dataset_card(config: StageConfig, dataset: dg.ResourceParam[Dataset]) -> dg.MaterializeResult[Any]:
        with failing():
            outcome = write_card(dataset, force=config.force)
        return as_result(outcome, {**describe(outcome), "card": show_page(dataset.layout.card)})

    return dataset_card
