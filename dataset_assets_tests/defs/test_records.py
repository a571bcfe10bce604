import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dataset_assets.defs.graph import build_definitions
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import settings_in
from dataset_assets_tests.posts.given import post, settings_for, write_posts
from dataset_assets_tests.runs import RANGES, failures, find_stale, instance_in, key_of, materialize

KEYS = ["00-01", "02-03", "04-05", "06-07", "08-09"]

# asset: (whether it has partitions, what it depends on)
GRAPH: dict[str, tuple[bool, set[str]]] = {
    "caption_records": (False, set()),
    "record_captions": (True, {"caption_records"}),
    "captions_1ktar": (True, {"record_captions"}),
    "trainer_metadata": (False, {"record_captions"}),
}
CHECKS = {
    "caption_records": {"records_read", "records_add_up"},
    "captions_1ktar": {"members_add_up"},
    "trainer_metadata": {"metadata_complete", "captions_add_up"},
}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_in(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with forty records of twenty ids, and one bad row."""
    posts = [post(number % 20, f"text {number}", tags="tag") for number in range(40)]
    write_posts(tmp_path / "a.jsonl", [*posts, []])
    return tmp_path


def graph_of(settings: Settings) -> Any:
    return build_definitions(settings).get_repository_def().asset_graph


def versions_of(folder: Path, **records: Any) -> dict[str, str | None]:
    graph = graph_of(settings_for(folder, **{"trainer": {}, **records}))
    return {key.to_user_string(): graph.get(key).code_version for key in graph.get_all_asset_keys()}


def metadata_of(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what is shown of each asset and partition made in a run, the last word of each; tables as rows."""
    return {
        (str(one.asset_key.to_user_string()), one.partition or ""): {
            name: getattr(value, "records", value.value) for name, value in one.metadata.items()
        }
        for one in (event.materialization for event in result.all_events if event.is_step_materialization)
    }


def rows_of(records: Any) -> dict[str, int]:
    """Return a table of metadata as counts by name."""
    return dict(tuple(record.data.values()) for record in records)


def test_records_need_no_asset_of_images(tmp_path: Path) -> None:
    graph = graph_of(settings_for(tmp_path, trainer={}))

    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == GRAPH.keys()
    for name, (partitioned, above) in GRAPH.items():
        node = graph.get(key_of(name))
        assert {key.to_user_string() for key in node.parent_keys} == above
        assert node.group_name == "records"
        assert node.partitions_def == (dg.StaticPartitionsDefinition(KEYS) if partitioned else None)
        assert {key.name for key in node.check_keys} == CHECKS.get(name, set())
        assert node.description.endswith(".")
        assert "python" in node.kinds
        assert bool(node.code_version) == (name != "caption_records")


def test_without_trainer_there_is_no_metadata(tmp_path: Path) -> None:
    repository = build_definitions(settings_for(tmp_path)).get_repository_def()

    assert {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()} == {*GRAPH} - {
        "trainer_metadata"
    }
    assert {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"} == {"records_index", "records"}


def test_metadata_of_an_export_comes_after_its_manifest(tmp_path: Path) -> None:
    repository = build_definitions(settings_in(tmp_path, trainer={})).get_repository_def()

    assert repository.asset_graph.get(key_of("trainer_metadata")).parent_keys == {key_of("manifest")}
    jobs = {job.name: job for job in repository.get_all_jobs()}
    assert {*jobs} - {"__ASSET_JOB"} == {"index", "partitions", "release", "trainer"}
    released = {key.to_user_string() for key in jobs["release"].asset_layer.selected_asset_keys}
    assert released == {"manifest", "dataset_card"}


def test_images_and_records_are_side_by_side(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(1, "a")])
    settings = settings_in(tmp_path, records={"paths": ["a.jsonl"]}, trainer={})

    graph = graph_of(settings)

    assert {*GRAPH} < {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert graph.get(key_of("trainer_metadata")).parent_keys == {key_of("record_captions")}
    assert graph.get(key_of("raw_images")).parent_keys == set()


def test_from_files_to_metadata(folder: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_for(folder, trainer={})

    index = materialize(settings, instance, Stage.CAPTION_RECORDS)
    ranges = materialize(settings, instance, *RANGES, keys=KEYS)
    trainer = materialize(settings, instance, Stage.TRAINER_METADATA)

    assert index.success
    assert ranges.success
    assert trainer.success
    (said,) = metadata_of(index).values()
    assert (said["rows"], said["records"], said["dropped"], said["reused"]) == (41, 40, 1, False)
    assert rows_of(said["faults"]) == {"not_an_object": 1}
    assert not {"digests", "order", "listing", "inputs"} & said.keys()
    of_ranges = metadata_of(ranges)
    assert {key: of_ranges["record_captions", key]["records"] for key in KEYS} == dict.fromkeys(KEYS, 4)
    assert rows_of(of_ranges["record_captions", "00-01"]["faults"]) == {"repeated_id": 4}
    assert rows_of(of_ranges["captions_1ktar", "08-09"]["members"]) == {"captions": 4}
    (metadata,) = metadata_of(trainer).values()
    assert metadata["report"].startswith("# Trainer metadata of my-dataset")
    assert metadata["log"] == "ids: 20, missing tags: 0, missing caption: 0, missing latent: 20"
    assert find_stale(settings, instance) == set()
    with (folder / "out/trainer/meta_cap.json").open() as file:
        assert json.load(file)["3"] == {"caption": "text 23"}


def test_what_is_fresh_is_left_alone_unless_it_is_forced(folder: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_for(folder, trainer={})
    stages = (Stage.CAPTION_RECORDS, Stage.TRAINER_METADATA)

    def run(*, force: bool) -> list[bool]:
        config = {"ops": {stage: {"config": {"force": force}} for stage in stages}}
        first = materialize(settings, instance, stages[0], config={"ops": {stages[0]: config["ops"][stages[0]]}})
        ranges = materialize(
            settings,
            instance,
            *RANGES,
            keys=KEYS,
            config={"ops": {one: {"config": {"force": force}} for one in RANGES}},
        )
        last = materialize(settings, instance, stages[1], config={"ops": {stages[1]: config["ops"][stages[1]]}})
        found = [metadata_of(one) for one in (first, ranges, last)]
        return sorted({shown["reused"] for one in found for shown in one.values()})

    assert run(force=False) == [False]
    assert run(force=False) == [True]
    assert run(force=True) == [False]


def test_a_range_alone_has_its_own_version(folder: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_for(folder)
    materialize(settings, instance, Stage.CAPTION_RECORDS)

    for key in KEYS:
        assert materialize(settings, instance, *RANGES, keys=[key]).success

    assert find_stale(settings, instance) == set()


def test_what_is_not_there_yet_fails_with_a_line(folder: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_for(folder, trainer={})

    ranges = failures(materialize(settings, instance, Stage.RECORD_CAPTIONS, keys=KEYS))
    trainer = failures(materialize(settings, instance, Stage.TRAINER_METADATA))
    (folder / "a.jsonl").unlink()
    index = failures(materialize(settings, instance, Stage.CAPTION_RECORDS))

    assert "caption_records has not been made yet" in str(ranges["record_captions"])
    assert "record_captions 00-01: missing" in str(trainer["trainer_metadata"])
    assert "*.jsonl matches no file" in str(index["caption_records"])


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"mode": "faithful"}, {"record_captions"}),
        ({"priority": ["tags"]}, {"record_captions"}),
        ({"text_tars": ["tags"]}, {"record_captions", "captions_1ktar"}),
        ({"tars_per_partition": 5}, {"record_captions", "captions_1ktar"}),
        ({"trainer": {"dialect": "jsonl"}}, {"trainer_metadata"}),
        ({"workers": 7}, set()),
    ],
)
def test_a_setting_changes_the_code_versions_that_it_should(
    tmp_path: Path, change: dict[str, Any], changed: set[str]
) -> None:
    before, after = versions_of(tmp_path), versions_of(tmp_path, **change)

    assert {name for name in before if before[name] != after[name]} == changed
