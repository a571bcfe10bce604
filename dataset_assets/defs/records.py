"""The assets of group `records`: captions that come without images, the tars they rest in, and what trainers read."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from dataset_assets.dataset import Dataset
from dataset_assets.defs.assets import stage_asset
from dataset_assets.defs.columns import SCHEMA, describe_columns
from dataset_assets.defs.config import RecordsConfig, StageConfig
from dataset_assets.defs.failures import failing
from dataset_assets.defs.markdown import show_page
from dataset_assets.defs.metadata import PARTITION_ROWS, ROWS, as_result, describe, show_path
from dataset_assets.defs.partitions import report_partitions
from dataset_assets.posts.choose import choose_captions
from dataset_assets.posts.form import caption_schema, parsed_schema
from dataset_assets.posts.index import index_records
from dataset_assets.progress import Progress
from dataset_assets.settings import RecordSettings, Settings
from dataset_assets.stages import Stage
from dataset_assets.trainer.metadata import write_trainer_metadata
from dataset_assets.trainer.tars.stage import write_numbered_tars
from dataset_assets.work import Outcome

GROUP = "records"

_FORMS = {Stage.RECORD_CAPTIONS: "parquet", Stage.CAPTIONS_1KTAR: "webdataset"}
_TOLD = {
    Stage.RECORD_CAPTIONS: (
        "The caption of every id of a range of tars: of the first variant in records.priority that has one. Of an id "
        "that comes twice the later record counts. When it fails, the records changed while they were read: "
        "materialize caption_records first."
    ),
    Stage.CAPTIONS_1KTAR: (
        "The tars of a range, with their indexes: a member an id, its caption as text. Only tars whose captions "
        "changed are written. When it fails, it names what is missing or stale: materialize that first."
    ),
}
_Make = Callable[..., Outcome]


def make_record_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return the assets that the settings ask for: none without [records] and [trainer]."""
    assets = []
    if settings.records:
        assets = [
            _make_caption_records(settings, settings.records),
            _make_by_range(settings, settings.records, Stage.RECORD_CAPTIONS, choose_captions),
            _make_by_range(settings, settings.records, Stage.CAPTIONS_1KTAR, write_numbered_tars),
        ]
    return [*assets, _make_trainer_metadata(settings)] if settings.trainer else assets


def _make_caption_records(settings: Settings, records: RecordSettings) -> dg.AssetsDefinition:
    """Return the asset."""

    @stage_asset(
        settings,
        Stage.CAPTION_RECORDS,
        group=GROUP,
        form="parquet",
        metadata={SCHEMA: describe_columns(parsed_schema(records)), "folder": show_path(settings.layout.parsed)},
        description=(
            "The files of records, read: of each record the texts that can become its caption. Only new and changed "
            "files are read. Every row that cannot be used is counted, and listed with its file and line. When it "
            "fails: it names the file or the setting; nothing that was read is lost."
        ),
    )
    def caption_records(
        config: RecordsConfig, dataset: dg.ResourceParam[Dataset], progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult[Any]:
        with failing():
            outcome = index_records(dataset, **config.model_dump(), progress=progress)
        return as_result(outcome, {**describe(outcome, counted="rows"), ROWS: outcome.report["records"]})

    return caption_records


def _make_by_range(settings: Settings, records: RecordSettings, stage: str, make: _Make) -> dg.AssetsDefinition:
    """Return the asset of a stage that is made by ranges of tars."""
    table = {SCHEMA: describe_columns(caption_schema(records))} if stage == Stage.RECORD_CAPTIONS else {}

    @stage_asset(
        settings,
        stage,
        group=GROUP,
        form=_FORMS[stage],
        partitions=dg.StaticPartitionsDefinition(list(records.ranges)),
        metadata=table,
        description=_TOLD[stage],
    )
    def by_range(
        context: dg.AssetExecutionContext,
        config: StageConfig,
        dataset: dg.ResourceParam[Dataset],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.MaterializeResult[Any]]:
        with failing():
            outcomes = {
                key: make(dataset, key, force=config.force, progress=progress) for key in context.partition_keys
            }
        yield from report_partitions(context, dataset, outcomes, tell=_tell, counted="records")

    return by_range


def _tell(_key: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many records there are; of tars it is their members that are counted."""
    return {PARTITION_ROWS: report["records"] if "records" in report else sum(report["members"].values())}


def _make_trainer_metadata(settings: Settings) -> dg.AssetsDefinition:
    """Return the asset."""

    @stage_asset(
        settings,
        Stage.TRAINER_METADATA,
        group=GROUP,
        form="json",
        metadata={"folder": show_path(settings.layout.trainer)},
        description=(
            "What kohya-ss trainers read: tags, caption and size of every id, and which are missing. report.md says "
            "where each text came from and what a trainer may stumble over. When it fails, it names the file or the "
            "stage that it lacks."
        ),
    )
    def trainer_metadata(
        config: StageConfig, dataset: dg.ResourceParam[Dataset], progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult[Any]:
        with failing():
            outcome = write_trainer_metadata(dataset, force=config.force, progress=progress)
        return as_result(
            outcome,
            {
                **describe(outcome, counted="ids"),
                "report": show_page(dataset.layout.trainer / "report.md"),
            },
        )

    return trainer_metadata
