from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from dataset_assets.dataset import open_dataset
from dataset_assets.defs.build import open_instance, run_build
from dataset_assets.defs.graph import build_definitions
from dataset_assets.progress import Silence
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage
from dataset_assets.status import NearSummary, judge_all, summarize
from dataset_assets.storage.layout import Layout
from dataset_assets_tests.datasets import add_photo, add_photos, on_disk, settings_in
from dataset_assets_tests.runs import (
    INDEX,
    PARTITIONED,
    RELEASE,
    failures,
    find_stale,
    instance_in,
    key_of,
    materialize,
)

NEAR = Stage.NEAR_DUPLICATES


def settings_of(folder: Path, *, near: bool = True, distance: int = 3) -> Settings:
    duplicates = {"near": near, "near_distance": distance}
    return settings_in(folder, duplicates=duplicates, automation={"settle_seconds": 0})


def graph_of(settings: Settings) -> Any:
    return build_definitions(settings).get_repository_def().asset_graph


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nine photos, of which two look alike."""
    add_photos(tmp_path, 8)
    add_photo(tmp_path, "larger.jpg", (208, 144), seed=0)  # than 000.jpg
    return tmp_path


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_in(tmp_path / "home") as opened:
        yield opened


def runs(settings: Settings) -> list[set[str]]:
    """Return the stages of every run of the dataset's instance, the newest first."""
    with open_instance(Layout(settings.root)) as instance:
        return [{key.to_user_string() for key in run.asset_selection or ()} for run in instance.get_runs()]


def tick(settings: Settings, instance: dg.DagsterInstance) -> list[str | None]:
    """Return the jobs that the sensor asks for."""
    definitions = build_definitions(settings)
    with open_dataset(settings) as dataset, partition_loading_context(dynamic_partitions_store=instance):
        context = dg.build_sensor_context(instance=instance, definitions=definitions, resources={"dataset": dataset})
        said = definitions.resolve_sensor_def("keep_up_to_date").evaluate_tick(context)
    return [request.job_name for request in said.run_requests or ()]


def test_the_asset_is_there_only_where_the_settings_ask_for_it() -> None:
    without, there = (graph_of(settings_of(Path("/nowhere"), near=near)) for near in (False, True))
    node = there.get(key_of(NEAR))

    assert set(there.get_all_asset_keys()) - set(without.get_all_asset_keys()) == {key_of(NEAR)}
    assert set(without.get_all_asset_keys()) <= set(there.get_all_asset_keys())
    assert (node.parent_keys, node.child_keys) == ({key_of(Stage.RESIZED_CROPS)}, set())
    assert (node.group_name, node.partitions_def, node.kinds) == ("images", None, {"python", "parquet"})
    assert node.description.endswith(".")


def test_its_code_version_follows_its_setting_alone() -> None:
    three, two = (graph_of(settings_of(Path("/nowhere"), distance=distance)) for distance in (3, 2))

    changed = {
        key.to_user_string()
        for key in three.get_all_asset_keys()
        if three.get(key).code_version != two.get(key).code_version
    }
    assert changed == {NEAR}


@pytest.mark.parametrize("near", [False, True])
def test_the_jobs_cover_every_asset_once(near: bool) -> None:
    repository = build_definitions(settings_of(Path("/nowhere"), near=near)).get_repository_def()
    jobs = {name: repository.get_job(name).asset_layer for name in ("index", "partitions", "release")}

    covered = [key for job in jobs.values() for key in job.selected_asset_keys]
    assert sorted(covered) == sorted(repository.asset_graph.get_all_asset_keys())
    assert {key.to_user_string() for key in jobs["release"].selected_asset_keys} == {
        *RELEASE, *([NEAR] if near else []),
    }  # fmt: skip


def test_a_build_looks_for_them_after_the_partitions(folder: Path) -> None:
    settings = settings_of(folder)

    run_build(settings, Silence())

    assert [stages >= {NEAR, *RELEASE} for stages in runs(settings)] == [True, False, False]
    with open_dataset(settings) as dataset:
        assert all(verdict.fresh for verdict in judge_all(dataset).values())
        assert summarize(dataset).near == NearSummary(images=2, groups=1, report=str(dataset.layout.near_duplicates))
        assert dataset.layout.near_duplicates.exists()
    with open_instance(Layout(settings.root)) as instance:
        assert find_stale(settings, instance) == set()
        event = instance.get_latest_materialization_event(key_of(NEAR))
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert {name: shown[name].value for name in ("images", "groups", "images_in_groups", "report")} == {
        "images": 9, "groups": 1, "images_in_groups": 2, "report": str(Layout(settings.root).near_duplicates),
    }  # fmt: skip
    largest = shown["largest"]
    assert isinstance(largest, dg.TableMetadataValue)
    assert [row.data for row in largest.records] == [{"first image": "000.jpg", "images": 2}]


def test_with_nothing_new_nothing_is_looked_for(folder: Path) -> None:
    settings = settings_of(folder)
    run_build(settings, Silence())

    run_build(settings, Silence())

    assert runs(settings)[0] == set(INDEX)


def test_when_the_setting_comes_later_no_crop_is_made_again(folder: Path) -> None:
    run_build(settings_of(folder, near=False), Silence())
    layout = Layout(folder / "out")
    times = {path: path.stat().st_mtime_ns for path in (on_disk(layout.root / "crops")).rglob("*.parquet")}
    assert not layout.near_duplicates.exists()

    run_build(settings_of(folder), Silence())

    assert layout.near_duplicates.exists()
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert NEAR in runs(settings_of(folder))[0]


def test_without_the_setting_the_summary_says_nothing_of_them(folder: Path) -> None:
    run_build(settings_of(folder), Silence())

    with open_dataset(settings_of(folder, near=False)) as dataset:
        assert summarize(dataset).near is None


def test_the_sensor_asks_for_it_with_the_release(folder: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_of(folder, near=False)
    materialize(settings, instance, *INDEX)
    keys = instance.get_dynamic_partitions("bucket_shards")
    assert materialize(settings, instance, *PARTITIONED[1:], keys=keys).success
    assert materialize(settings, instance, *RELEASE).success
    assert tick(settings, instance) == []

    assert tick(settings_of(folder), instance) == ["release"]
    assert materialize(settings_of(folder), instance, NEAR, *RELEASE).success
    assert tick(settings_of(folder), instance) == []
    assert tick(settings_of(folder, distance=2), instance) == ["release"]


def test_before_the_crops_it_fails_with_what_to_do(folder: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_of(folder)
    materialize(settings, instance, *INDEX)

    result = materialize(settings, instance, NEAR)

    assert not result.success
    (said,) = failures(result).values()
    assert said is not None
    assert "resized_crops" in said
    assert "or run `dataset-assets build`" in said


def test_one_partition_and_all_below_it_can_be_made_without_it(folder: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_of(folder)
    materialize(settings, instance, *INDEX)
    key = instance.get_dynamic_partitions("bucket_shards")[0]

    result = materialize(settings, instance, *PARTITIONED, NEAR, *RELEASE, keys=[key])

    assert result.success
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}
    assert Stage.SHARDS in made
    assert NEAR not in made
