"""Dagster in tests: a real instance in a folder, and runs of some assets in it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.loader import LoadingContextForTest

from dataset_assets.defs.graph import build_definitions
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage

INDEX = (Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS)
CAPTIONS = "captions/caption_sidecar"
PARTITIONED = (Stage.SHARD_PLANS, Stage.RESIZED_CROPS, CAPTIONS, Stage.CAPTION_SELECTION, Stage.SHARDS)
RELEASE = (Stage.MANIFEST, Stage.DATASET_CARD)
RANGES = (Stage.RECORD_CAPTIONS, Stage.CAPTIONS_1KTAR)


@contextmanager
def instance_in(folder: Path) -> Iterator[dg.DagsterInstance]:
    """Yield the instance that keeps its records in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


def key_of(stage: str) -> dg.AssetKey:
    """Return the key of a stage's asset."""
    return dg.AssetKey(stage.split("/"))


def materialize(
    settings: Settings,
    instance: dg.DagsterInstance,
    *stages: str,
    keys: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run the assets of some stages in this process, for one partition or for the range from the first to the last."""
    tags = {}
    if len(keys) > 1:
        tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    return build_definitions(settings).resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[key_of(stage) for stage in stages],
        partition_key=keys[0] if len(keys) == 1 else None,
        tags=tags,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **(config or {})},
        raise_on_error=False,
    )  # fmt: skip


def find_stale(settings: Settings, instance: dg.DagsterInstance) -> set[tuple[str, str]]:
    """Return every (stage, partition) that Dagster does not take for fresh."""
    graph = build_definitions(settings).get_repository_def().asset_graph
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    with partition_loading_context(dynamic_partitions_store=instance):
        found = {key: graph.get(key).partitions_def for key in graph.get_all_asset_keys()}
        partitions = {key: cut.get_partition_keys() if cut else [None] for key, cut in found.items()}
    return {
        (key.to_user_string(), partition or "")
        for key, partitioned in partitions.items()
        for partition in partitioned
        if resolver.get_status(key, partition) != StaleStatus.FRESH
    }


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str | None]:
    """Return the message of every step that failed."""
    return {
        str(event.step_key): data.description if (data := event.step_failure_data.user_failure_data) else None
        for event in result.all_events
        if event.is_step_failure
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """Return what the checks of a run said, by name."""
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def execute_check(settings: Settings, instance: dg.DagsterInstance, stage: str, name: str) -> dg.ExecuteInProcessResult:
    """Run a check of a stage's asset and nothing else, as the UI's Execute does: without a partition."""
    check = dg.AssetCheckKey(key_of(stage), name)
    job = build_definitions(settings).resolve_implicit_global_asset_job_def()
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return job.get_subset(asset_check_selection=frozenset({check})).execute_in_process(
        instance=instance, run_config=quiet, raise_on_error=False
    )
