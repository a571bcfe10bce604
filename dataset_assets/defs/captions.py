"""captions/<variant>, one asset a configured variant, and caption_selection, the waterfall over them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from dataset_assets.captions.chat.ask import ask_captions
from dataset_assets.captions.samples import measure_length, pick_samples
from dataset_assets.captions.select import SELECTION_SCHEMA, select_captions
from dataset_assets.captions.sidecar import read_captions
from dataset_assets.captions.sources import explain_left_out
from dataset_assets.captions.stage import collect_imported
from dataset_assets.catalog.captions import CaptionStatus, list_sources, sum_usage
from dataset_assets.catalog.schema import captions as captions_table
from dataset_assets.dataset import Dataset
from dataset_assets.defs.assets import CATALOG, as_tag, stage_asset
from dataset_assets.defs.columns import SCHEMA, describe_columns, describe_rows
from dataset_assets.defs.config import StageConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.metadata import PARTITION_ROWS, show_path, tell_selected
from dataset_assets.defs.partitions import BUCKET_SHARDS, report_partitions
from dataset_assets.defs.pictures import embed
from dataset_assets.defs.texts import caption_lines, quote
from dataset_assets.progress import Progress
from dataset_assets.settings import ChatSettings, ImportedSettings, Settings, SidecarSettings, VariantSettings
from dataset_assets.shards.partition import Partition
from dataset_assets.stages import Stage, caption_stage
from dataset_assets.work import Outcome

_USAGE = ("prompt_tokens", "completion_tokens", "cost")

_Usage = Mapping[str, float]


def make_captions(settings: Settings, variant: VariantSettings) -> dg.AssetsDefinition:
    """Return the asset of one variant."""

    @stage_asset(
        settings,
        caption_stage(variant.name),
        group="captions",
        form=CATALOG,
        partitions=BUCKET_SHARDS,
        metadata={SCHEMA: describe_rows(captions_table)},
        description=_describe(variant),
        tags=_list_tags(variant),
        # Where the pool is given a limit, runs wait in Dagster's queue and hold no cores. That one at a time asks is
        # seen to by a lock of the library, with a limit or without.
        pool=variant.name if isinstance(variant, ChatSettings) else None,
    )
    def captions(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        dataset: dg.ResourceParam[Dataset],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        before: Mapping[str, _Usage] = {}
        with failing():
            if isinstance(variant, ChatSettings):
                if variant.key_missing:
                    context.log.warning(explain_left_out(variant))
                before = _sum_usage(dataset, variant, context.partition_keys)
                outcomes = ask_captions(dataset, variant, context.partition_keys, force=config.force, progress=progress)
            else:
                outcomes = {
                    key: _collect(dataset, variant, key, force=config.force, progress=progress)
                    for key in context.partition_keys
                }
            after = _sum_usage(dataset, variant, list(before))

        def tell(key: str, report: Mapping[str, Any]) -> dict[str, Any]:
            spent = {} if key not in before else _tell_spending(before[key], after[key], reused=outcomes[key].reused)
            return _tell_statuses(report) | spent

        yield from report_partitions(
            context, dataset, outcomes, tell=tell, show=lambda key: _show(dataset, variant, key)
        )

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
                "on where this one ended. Its checks say when a model refuses, is cut off or costs too much."
            )
        case ImportedSettings():
            return (
                f"The captions {variant.name}, which come in by `dataset-assets captions import`. An image that "
                "nothing was imported for is left to the next selector."
            )
        case _:
            return (
                f"The captions {variant.name}, from files beside the images. Only files that changed are read. A "
                "caption that is missing, empty or unreadable is kept with that status and never selected. Are most "
                "missing, the files are not named like their images."
            )


def _list_tags(variant: VariantSettings) -> dict[str, str]:
    model = {"model": as_tag(variant.model)} if isinstance(variant, ChatSettings) else {}
    return {"backend": variant.backend, **model}


def _sum_usage(dataset: Dataset, variant: VariantSettings, keys: Sequence[str]) -> dict[str, _Usage]:
    """Return by partition what the captions of a variant have cost until now, of whichever model."""
    size = dataset.settings.shards.shard_size
    with dataset.catalog.reading() as connection:
        sources = [one for one in list_sources(connection) if one.variant == variant.name]
        spent: dict[str, _Usage] = {}
        for partition in map(Partition.parse, keys):
            sums = [sum_usage(connection, one, partition.bucket_id, partition.slots(size)) for one in sources]
            spent[partition.key] = {name: sum(one[name] for one in sums) for name in _USAGE}
    return spent


def _tell_spending(before: _Usage, after: _Usage, *, reused: bool) -> dict[str, Any]:
    """Return what a run cost, nothing of one that asked nobody, and what all have cost beside it."""
    of_run = {} if reused else {name: after[name] - before[name] for name in after}
    return of_run | {f"{name}_to_date": total for name, total in after.items()}


def _tell_statuses(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many captions there are, and which share of them can be selected."""
    total = sum(report["statuses"].values())
    share = {"ok_share": round(report["statuses"].get(CaptionStatus.OK.value, 0) / total, 4)} if total else {}
    return {PARTITION_ROWS: total, **share}


def _show(dataset: Dataset, variant: VariantSettings, key: str) -> dict[str, Any]:
    """Return how long the captions of a partition are, and some of them with their pictures."""
    shown: dict[str, Any] = {"mean_length": measure_length(dataset, variant, key)}
    if isinstance(variant, SidecarSettings):
        return shown  # they may be read before there are crops
    samples = pick_samples(dataset, variant, key)
    if samples:
        parts = [
            part
            for sample in samples
            for part in (
                embed(sample.thumbnail, f"Crop of {sample.image_id}"),
                *quote(caption_lines(sample.image_id, sample.status, sample.text)),
            )
        ]
        shown["samples"] = dg.MetadataValue.md("\n\n".join(parts))
    return shown


def make_caption_selection(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @stage_asset(
        settings,
        Stage.CAPTION_SELECTION,
        group="captions",
        form="parquet",
        partitions=BUCKET_SHARDS,
        metadata={SCHEMA: describe_columns(SELECTION_SCHEMA)},
        description=(
            "The caption of every sample: of the first selector in captions.priority that has one, the newest; and "
            "what the review found in the captions. Changing the priority or the review makes this anew and asks "
            "nobody for a caption. `dataset-assets captions show` says of one image why it has the caption it has."
        ),
    )
    def caption_selection(
        context: dg.AssetExecutionContext, config: StageConfig, dataset: dg.ResourceParam[Dataset]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        def tell(key: str, report: Mapping[str, Any]) -> dict[str, Any]:
            samples = report["images"] - sum(report["drops"].values())
            named = tell_selected(settings, report, samples)
            return {PARTITION_ROWS: report["images"], "file": show_path(dataset.layout.selection(key)), **named}

        with failing():
            outcomes = {key: select_captions(dataset, key, force=config.force) for key in context.partition_keys}
        yield from report_partitions(context, dataset, outcomes, tell=tell)

    return caption_selection
