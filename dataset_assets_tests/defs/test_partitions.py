import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import dataset_assets
from dataset_assets.dataset import open_dataset
from dataset_assets.defs.partitions import list_partitions, sync_partitions
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import LANDSCAPE, add_photo, add_photos, on_disk, partition_keys, settings_in
from dataset_assets_tests.runs import (
    CAPTIONS,
    INDEX,
    PARTITIONED,
    RELEASE,
    find_stale,
    instance_in,
    key_of,
    materialize,
)

BELOW = PARTITIONED[1:]
ASKING = re.compile(
    r"\bray\b|dagster[-_]ray|kubernetes|\bk8s\b|cluster\w*|hostname|getfqdn|DATASET_NODE|NODE_VARIABLE|run_launcher",
    re.IGNORECASE,
)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_in(tmp_path / "home") as opened:
        yield opened


def announced(result: dg.ExecuteInProcessResult) -> set[str]:
    """Return the partitions of shard_plans that a run said are others now."""
    return {
        str(event.partition)
        for event in result.all_events
        if event.is_step_materialization and event.asset_key == key_of(Stage.SHARD_PLANS)
    }


def plain(value: Any) -> Any:
    records = getattr(value, "records", None)
    return value.value if records is None else [record.data for record in records]


def metadata_of(instance: dg.DagsterInstance, stage: str, key: str | None = None) -> dict[str, Any]:
    """Return the metadata of the newest materialization."""
    wanted = dg.AssetRecordsFilter(key_of(stage), asset_partitions=[key] if key else None)
    event = instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
    assert event is not None
    return {name: plain(value) for name, value in event.metadata.items()}


def test_from_the_scan_over_one_partition_and_a_range_to_the_card(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(tmp_path)
    add_photos(tmp_path)
    (tmp_path / "raw" / "empty.jpg").touch()
    (tmp_path / "raw" / "notes.pdf").touch()

    scanned = materialize(settings, instance, *INDEX)

    with open_dataset(settings) as dataset:
        keys = partition_keys(dataset)
    assert scanned.success
    assert sorted(list_partitions(instance)) == keys
    assert announced(scanned) == set(keys)
    raw = metadata_of(instance, Stage.RAW_IMAGES)
    assert (raw["seen"], raw["usable"], raw["added"]) == (21, 20, 21)
    assert (raw["dropped"], raw["dagster/row_count"]) == (1, 21)
    assert [(row["reason"], row["images"]) for row in raw["drops"]] == [("skipped_empty_file", 1)]
    assert raw["other_files"] == [{"extension": "pdf", "files": 1}]
    assigned = metadata_of(instance, Stage.BUCKET_ASSIGNMENTS)
    assert (assigned["assigned"], assigned["partitions"], assigned["partitions_changed"]) == (20, 4, 4)
    assert assigned["buckets"][0] == {"bucket": "p1216x832", "images": 10}

    first, *rest = list_partitions(instance)
    assert materialize(settings, instance, *PARTITIONED, keys=[first]).success
    for stage in PARTITIONED:
        assert instance.get_materialized_partitions(key_of(stage)) >= {first}
    assert instance.get_materialized_partitions(key_of(Stage.SHARDS)) == {first}

    assert materialize(settings, instance, *BELOW, keys=rest).success
    assert instance.get_materialized_partitions(key_of(Stage.SHARDS)) == set(keys)
    crops = {key: metadata_of(instance, Stage.RESIZED_CROPS, key) for key in keys}
    shards = {key: metadata_of(instance, Stage.SHARDS, key) for key in keys}
    assert sum(one["images"] for one in crops.values()) == 20
    assert all(one["images_per_second"] > 0 and not one["reused"] for one in crops.values())
    assert {key: one["samples"] for key, one in shards.items()} == {key: one["crops"] for key, one in crops.items()}
    for key, one in shards.items():
        tars = [settings.root / "export" / path for path in tar_paths(key)]
        assert one["bytes"] == sum(tar.stat().st_size for tar in tars if tar.exists())
        assert one["drops"] == []

    assert materialize(settings, instance, *RELEASE).success
    assert (settings.root / "export" / "manifest.json").is_file()
    assert "# my-dataset" in metadata_of(instance, Stage.DATASET_CARD)["card"]
    assert find_stale(settings, instance) == set()


def test_every_partition_says_on_which_machine_it_was_made(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    add_photos(tmp_path, 8)
    assert materialize(settings, instance, *INDEX).success
    first, *rest = list_partitions(instance)

    monkeypatch.setenv("DATASET_NODE", "rack 7")
    assert materialize(settings, instance, *PARTITIONED, keys=[first]).success
    monkeypatch.delenv("DATASET_NODE")
    assert materialize(settings, instance, *BELOW, keys=rest).success

    for stage in BELOW:
        named = {key: metadata_of(instance, stage, key)["node"] for key in (first, *rest)}
        assert named == {first: "rack 7"} | dict.fromkeys(rest, socket.gethostname())


def test_no_stage_asks_whether_it_runs_locally_or_on_a_cluster() -> None:
    package = Path(dataset_assets.__file__).parent
    found = {
        path.relative_to(package).as_posix(): {word.lower() for word in ASKING.findall(path.read_text())}
        for path in package.rglob("*.py")
    }

    assert {path: words for path, words in found.items() if words} == {
        "defs/partitions.py": {"dataset_node", "node_variable", "hostname"},  # a name in metadata, and nothing else
        "catalog/postgres.py": {"hostname"},  # who holds a lock on a server
        "settings/captions.py": {"hostname"},  # of a URL
        "settings/automation.py": {"dagster-ray"},  # the example of a tag in a message
        "template.py": {"dagster-ray"},  # the same in a new file
    }


def tar_paths(key: str) -> list[str]:
    bucket, _, span = key.rpartition("_")
    first, last = map(int, span.split("-"))
    return [f"buckets/{bucket}/shard-{number:06d}.tar" for number in range(first, last + 1)]


def test_one_photo_makes_its_partition_stale_and_no_other(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(tmp_path)
    add_photos(tmp_path)
    assert materialize(settings, instance, *INDEX).success
    keys = list_partitions(instance)
    assert materialize(settings, instance, *BELOW, keys=keys).success
    assert materialize(settings, instance, *RELEASE).success
    assert find_stale(settings, instance) == set()

    add_photo(tmp_path, "one more.jpg", LANDSCAPE, seed=77)
    changed = materialize(settings, instance, *INDEX)

    touched = "p1216x832_000002-000003"
    assert announced(changed) == {touched}
    assert find_stale(settings, instance) == {(Stage.RESIZED_CROPS, touched), (CAPTIONS, touched)}

    for seed in range(80, 86):  # fills the last partition and begins another
        add_photo(tmp_path, f"{seed}.jpg", LANDSCAPE, seed=seed)
    changed = materialize(settings, instance, *INDEX)

    new = "p1216x832_000004-000005"
    assert announced(changed) == {touched, new}
    assert list_partitions(instance) == [*keys, new]
    stale = find_stale(settings, instance)
    assert {key for stage, key in stale if stage in (Stage.RESIZED_CROPS, CAPTIONS)} == {touched, new}
    assert {key for _, key in stale} == {touched, new}

    assert materialize(settings, instance, *BELOW, keys=[touched]).success
    assert materialize(settings, instance, *BELOW, keys=[new]).success
    assert find_stale(settings, instance) == {(Stage.MANIFEST, "")}
    assert materialize(settings, instance, *RELEASE).success
    assert find_stale(settings, instance) == set()


def test_nothing_new_announces_nothing_and_keeps_the_partitions(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(tmp_path)
    add_photos(tmp_path)
    materialize(settings, instance, *INDEX)
    keys = list_partitions(instance)

    again = materialize(settings, instance, *INDEX)

    assert again.success
    assert announced(again) == set()
    assert list_partitions(instance) == keys
    assert metadata_of(instance, Stage.BUCKET_ASSIGNMENTS)["reused"] is True


def test_a_partition_that_is_gone_is_taken_off(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(tmp_path)
    for seed in range(12):
        add_photo(tmp_path, f"{seed}.jpg", (80, 80) if seed % 2 else LANDSCAPE, seed=seed)
    materialize(settings, instance, *INDEX)
    assert set(list_partitions(instance)) == {"p1024x1024_000000-000001", "p1216x832_000000-000001"}

    for seed in range(1, 12, 2):
        (tmp_path / "raw" / f"{seed}.jpg").unlink()
    changed = materialize(settings, instance, *INDEX)

    assert list_partitions(instance) == ["p1216x832_000000-000001"]
    assert announced(changed) == set()


def test_another_instance_learns_the_partitions(built: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(built)

    result = materialize(settings, instance, *INDEX)

    with open_dataset(settings) as dataset:
        assert sorted(list_partitions(instance)) == partition_keys(dataset)
        assert announced(result) == set(partition_keys(dataset))


def test_more_keys_than_dagster_takes_at_once(instance: dg.DagsterInstance) -> None:
    keys = [f"p1024x1024_{number:06d}-{number:06d}" for number in range(10_003)]

    assert sync_partitions(instance, keys) == keys
    assert list_partitions(instance) == keys
    assert sync_partitions(instance, keys[1:]) == []
    assert list_partitions(instance) == keys[1:]


def test_a_plan_that_was_lost_is_written_again_and_nothing_below_is_stale(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    settings = settings_in(tmp_path)
    add_photos(tmp_path)
    materialize(settings, instance, *INDEX)
    keys = list_partitions(instance)
    materialize(settings, instance, *BELOW, keys=keys)
    materialize(settings, instance, *RELEASE)
    plan = settings.root / "plans" / f"{keys[0]}.parquet"
    before = plan.read_bytes()
    on_disk(plan).unlink()

    assert materialize(settings, instance, Stage.SHARD_PLANS, keys=keys[:1]).success
    assert materialize(settings, instance, Stage.SHARD_PLANS, keys=keys[1:]).success

    assert plan.read_bytes() == before
    assert find_stale(settings, instance) == set()


def test_force_does_the_work_again(built: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(built)
    materialize(settings, instance, *INDEX)
    key = list_partitions(instance)[0]

    assert materialize(settings, instance, Stage.RESIZED_CROPS, keys=[key]).success
    assert metadata_of(instance, Stage.RESIZED_CROPS, key)["reused"] is True
    forced = {"ops": {Stage.RESIZED_CROPS: {"config": {"force": True}}}}
    assert materialize(settings, instance, Stage.RESIZED_CROPS, keys=[key], config=forced).success
    assert metadata_of(instance, Stage.RESIZED_CROPS, key)["reused"] is False
