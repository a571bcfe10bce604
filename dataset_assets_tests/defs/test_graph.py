from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dataset_assets.defs.graph import build_definitions
from dataset_assets.settings import Settings
from dataset_assets_tests.datasets import settings_in
from dataset_assets_tests.runs import key_of

# asset: (whether it has partitions, its group, what it depends on); the names and the shape are docs/design.md's
GRAPH: dict[str, tuple[bool, str, set[str]]] = {
    "raw_images": (False, "index", set()),
    "bucket_assignments": (False, "index", {"raw_images"}),
    "shard_plans": (True, "index", {"bucket_assignments"}),
    "resized_crops": (True, "images", {"shard_plans"}),
    "captions/caption_sidecar": (True, "captions", {"shard_plans"}),
    "captions/caption_title": (True, "captions", {"shard_plans"}),
    "captions/caption_model": (
        True,
        "captions",
        {"resized_crops", "captions/caption_sidecar", "captions/caption_title"},
    ),
    "caption_selection": (
        True,
        "captions",
        {"resized_crops", "captions/caption_sidecar", "captions/caption_title", "captions/caption_model"},
    ),
    "shards": (True, "export", {"resized_crops", "caption_selection"}),
    "manifest": (False, "export", {"shards"}),
    "dataset_card": (False, "export", {"manifest"}),
    "gallery": (False, "export", {"manifest"}),
}
CHECKS = {
    "raw_images": {"images_usable"},
    "bucket_assignments": {"counts_add_up"},
    "captions/caption_model": {"coverage", "refusals", "truncations", "budget"},
    "caption_selection": {"caption_coverage"},
    "shards": {"shards_intact"},
    "manifest": {"export_complete"},
}
TITLE = {"name": "caption_title", "backend": "sidecar", "field": "title"}
MODEL = {"name": "caption_model", "backend": "openrouter", "model": "a/model"}
SETTINGS = settings_in(
    Path("/nowhere"),
    captions={"variants": [{"name": "caption_sidecar", "backend": "sidecar"}, TITLE, MODEL]},
    gallery={"enabled": True},
)
FIRST_ONLY = {"priority": [{"variant": "caption_sidecar"}]}
VARIANTS = {"variants": [{"name": "caption_sidecar", "backend": "sidecar"}, TITLE]}


def graph_of(settings: Settings) -> Any:
    return build_definitions(settings).get_repository_def().asset_graph


def versions_of(settings: Settings) -> dict[str, str | None]:
    graph = graph_of(settings)
    return {key.to_user_string(): graph.get(key).code_version for key in graph.get_all_asset_keys()}


@pytest.fixture(scope="module")
def graph() -> Any:
    return graph_of(SETTINGS)


def test_the_assets_are_these(graph: Any) -> None:
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == GRAPH.keys()


@pytest.mark.parametrize("name", GRAPH)
def test_an_asset_is_what_the_design_says(graph: Any, name: str) -> None:
    partitioned, group, above = GRAPH[name]
    node = graph.get(key_of(name))

    assert {key.to_user_string() for key in node.parent_keys} == above
    assert node.group_name == group
    assert (node.partitions_def is not None) == partitioned
    if partitioned:
        assert node.partitions_def == dg.DynamicPartitionsDefinition(name="bucket_shards")
        assert node.backfill_policy == dg.BackfillPolicy.multi_run(16)
    assert {key.name for key in node.check_keys} == CHECKS.get(name, set())


@pytest.mark.parametrize("name", GRAPH)
def test_an_asset_is_described(graph: Any, name: str) -> None:
    node = graph.get(key_of(name))

    assert node.description.endswith(".")
    assert "python" in node.kinds
    assert len(node.kinds) >= 2
    assert bool(node.code_version) == (name != "raw_images")


def test_without_a_variant_there_is_no_caption_asset() -> None:
    graph = graph_of(settings_in(Path("/nowhere"), captions={"variants": [], "priority": []}))

    assert not any("captions/" in key.to_user_string() for key in graph.get_all_asset_keys())
    assert graph.get(key_of("caption_selection")).parent_keys == {key_of("resized_crops")}


def test_the_gallery_is_there_where_it_is_wanted_and_shows_what_looks_alike() -> None:
    without = graph_of(settings_in(Path("/nowhere")))
    near = graph_of(settings_in(Path("/nowhere"), gallery={"enabled": True}, duplicates={"near": True}))

    assert key_of("gallery") not in without.get_all_asset_keys()
    assert near.get(key_of("gallery")).parent_keys == {key_of("manifest"), key_of("near_duplicates")}


def test_settings_of_the_gallery_change_its_code_version_alone() -> None:
    versions = [
        versions_of(settings_in(Path("/nowhere"), gallery={"enabled": True, **more})) for more in ({}, {"images": 9})
    ]

    assert {name for name in versions[0] if versions[0][name] != versions[1][name]} == {"gallery"}


def test_checks_block_where_a_bad_export_would_follow(graph: Any) -> None:
    blocking = {key.name for key in graph.asset_check_keys if graph.get(key).blocking}

    assert blocking == {"counts_add_up", "shards_intact", "export_complete"}


def test_the_jobs_cover_every_asset_once() -> None:
    repository = build_definitions(SETTINGS).get_repository_def()

    jobs = {name: repository.get_job(name) for name in ("index", "partitions", "release")}

    covered = [key.to_user_string() for job in jobs.values() for key in job.asset_layer.selected_asset_keys]
    assert sorted(covered) == sorted(GRAPH)
    assert jobs["partitions"].partitions_def == dg.DynamicPartitionsDefinition(name="bucket_shards")


def test_crops_are_a_job_where_they_are_runs_of_their_own() -> None:
    separate = settings_in(Path("/nowhere"), automation={"separate_crops": True})

    job = build_definitions(separate).resolve_job_def("crops")

    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == {"shard_plans", "resized_crops"}
    assert not build_definitions(SETTINGS).get_repository_def().has_job("crops")


def test_backfills_take_as_many_partitions_a_run_as_the_settings_say() -> None:
    graph = graph_of(settings_in(Path("/nowhere"), automation={"partitions_per_run": 3}))

    assert graph.get(key_of("shards")).backfill_policy == dg.BackfillPolicy.multi_run(3)


IMAGES, RELEASED = {"resized_crops", "manifest"}, {"manifest"}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"dataset": {"root": "elsewhere", "owners": ["team:data"]}}, set()),
        ({"dataset": {"description": "words"}}, {"dataset_card"}),
        ({"sources": [{"path": "elsewhere"}]}, set()),
        ({"buckets": {"base_resolutions": [128]}}, {"bucket_assignments", "manifest"}),
        ({"buckets": {"divisible": 16}}, {"bucket_assignments", "manifest"}),
        ({"images": {"quality": 80}}, IMAGES),
        ({"images": {"subsampling_policy": "444"}}, IMAGES),
        ({"images": {"icc": "ignore"}}, IMAGES),
        ({"images": {"crop": {"strategy": "center"}}}, IMAGES),
        ({"images": {"timeout_seconds": 1.0}}, set()),
        ({"shards": {"shard_size": 8}}, {"bucket_assignments", "manifest"}),
        ({"shards": {"shards_per_partition": 8}}, {"bucket_assignments", "manifest"}),
        ({"captions": {"missing_caption_policy": "drop"}}, {"shards", "manifest"}),
        ({"captions": {"priority": []}}, {"caption_selection", "manifest"}),
        (
            {"captions": VARIANTS},
            {"captions/caption_title", "caption_selection", "manifest"},
        ),  # all are in the priority
        ({"captions": VARIANTS | FIRST_ONLY}, {"captions/caption_title"}),
        (
            {"captions": {"variants": [{"name": "caption_sidecar", "extension": "caption"}]}},
            {"captions/caption_sidecar"},
        ),
        ({"work": {"workers": 7}}, set()),
    ],
)
def test_a_setting_changes_the_code_versions_that_it_should(change: dict[str, Any], changed: set[str]) -> None:
    before = versions_of(settings_in(Path("/nowhere")))
    after = versions_of(settings_in(Path("/nowhere"), **change))

    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == changed


def test_resources_can_be_replaced() -> None:
    other = object()

    definitions = build_definitions(settings_in(Path("/nowhere")), progress=other)

    assert definitions.resources is not None
    assert definitions.resources["progress"] is other
    assert isinstance(definitions.resources["dataset"], dg.ResourceDefinition)
