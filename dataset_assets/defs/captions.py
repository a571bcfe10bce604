"""captions/<variant>, one asset a configured variant, and caption_selection, the waterfall over them."""

import base64
from collections.abc import Iterator
from typing import Any

import dagster as dg

from dataset_assets.captions.chat.ask import ask_captions
from dataset_assets.captions.samples import pick_samples
from dataset_assets.captions.select import select_captions
from dataset_assets.captions.sidecar import read_captions
from dataset_assets.captions.sources import explain_left_out
from dataset_assets.captions.stage import collect_imported
from dataset_assets.dataset import Dataset
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import as_cell
from dataset_assets.defs.partitions import BACKFILL, BUCKET_SHARDS, report_partitions
from dataset_assets.defs.versions import code_version
from dataset_assets.progress import Progress
from dataset_assets.settings import ChatSettings, ImportedSettings, Settings, SidecarSettings, VariantSettings
from dataset_assets.stages import Stage, caption_stage, upstream
from dataset_assets.work import Outcome

_JPEG = "data:image/jpeg;base64,"
_SHOWN_TEXT = 300  # characters of a caption in an event


def make_captions(settings: Settings, variant: VariantSettings) -> dg.AssetsDefinition:
    """Return the asset of one variant."""
    stage = caption_stage(variant.name)

    @dg.asset(
        key=stage.split("/"),
        deps=[name.split("/") for name in upstream(settings, stage)],
        partitions_def=BUCKET_SHARDS,
        backfill_policy=BACKFILL,
        group_name="captions",
        kinds={"python", "sqlite"},
        description=_describe(variant),
        code_version=code_version(settings, stage),
        # For clusters: how many runs ask a model at once. On one machine a lock of the library sees to it, and a pool
        # has no limit of its own: a killed run would keep its place in it.
        pool=variant.name if isinstance(variant, ChatSettings) else None,
    )
    def captions(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        dataset: dg.ResourceParam[Dataset],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            if isinstance(variant, ChatSettings):
                if variant.key_missing:
                    context.log.warning(explain_left_out(variant))
                outcomes = ask_captions(dataset, variant, context.partition_keys, force=config.force, progress=progress)
            else:
                outcomes = {
                    key: _collect(dataset, variant, key, force=config.force, progress=progress)
                    for key in context.partition_keys
                }
        yield from report_partitions(context, dataset, outcomes, show=lambda key: _show(dataset, variant, key))

    return captions


def _collect(
    dataset: Dataset, variant: SidecarSettings | ImportedSettings, key: str, *, force: bool, progress: Progress
) -> Outcome:
    """Return what became of captions that nobody has to be asked for."""
    if isinstance(variant, ImportedSettings):
        return collect_imported(dataset, variant, key, force=force)
    return read_captions(dataset, variant, key, force=force, progress=progress)


def _describe(variant: VariantSettings) -> str:
    match variant:
        case ChatSettings():
            return (
                f"The captions {variant.name}, by {variant.model} from the finished crops. Every answer is kept as it "
                "comes; an image is never paid for twice. When this fails, the run says what to do: the next one goes "
                "on where this one ended."
            )
        case ImportedSettings():
            return f"The captions {variant.name}, which come in by `dataset-assets captions import`."
        case _:
            return (
                f"The captions {variant.name}, from files beside the images. Only files that changed are read. A "
                "caption that is missing, empty or unreadable is kept with that status and never selected."
            )


def _show(dataset: Dataset, variant: VariantSettings, key: str) -> dict[str, Any]:
    """Return the metadata that shows some captions of a partition with their pictures."""
    if isinstance(variant, SidecarSettings):
        return {}  # they may be read before there are crops
    rows = []
    for sample in pick_samples(dataset, variant, key):
        picture = base64.b64encode(sample.thumbnail).decode()
        text = sample.text if len(sample.text) <= _SHOWN_TEXT else f"{sample.text[:_SHOWN_TEXT]}…"
        cells = (f"![]({_JPEG}{picture})", sample.status, as_cell(text), as_cell(sample.image_id))
        rows.append(f"| {' | '.join(cells)} |")
    if not rows:
        return {}
    header = "| crop | status | caption | image |\n|---|---|---|---|"
    return {"samples": dg.MetadataValue.md("\n".join([header, *rows]))}


def make_caption_selection(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @dg.asset(
        name=Stage.CAPTION_SELECTION,
        deps=[name.split("/") for name in upstream(settings, Stage.CAPTION_SELECTION)],
        partitions_def=BUCKET_SHARDS,
        backfill_policy=BACKFILL,
        group_name="captions",
        kinds={"python", "parquet"},
        description=(
            "The caption of every sample: of the first selector in captions.priority that has one, the newest; and "
            "what the review found in the captions. Changing the priority or the review makes this anew and asks "
            "nobody for a caption."
        ),
        code_version=code_version(settings, Stage.CAPTION_SELECTION),
    )
    def caption_selection(
        context: dg.AssetExecutionContext, config: StageConfig, dataset: dg.ResourceParam[Dataset]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            outcomes = {key: select_captions(dataset, key, force=config.force) for key in context.partition_keys}
        yield from report_partitions(context, dataset, outcomes)

    return caption_selection
