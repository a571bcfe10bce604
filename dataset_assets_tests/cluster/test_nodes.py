"""Builds by two Ray nodes: PostgreSQL, objects, Dagster's daemon with deploy/ray/dagster.yaml, all real parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import URL

from dataset_assets.dataset import open_dataset
from dataset_assets.defs.partitions import list_partitions
from dataset_assets.overview.captions import count_statuses
from dataset_assets.settings import Settings, load_settings
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets.storage.objects import ObjectPath
from dataset_assets_tests.cluster.nodes import Cluster
from dataset_assets_tests.commands import add_model, model_table, write_settings
from dataset_assets_tests.datasets import add_photos, settings_in
from dataset_assets_tests.fakes.chat_server import ChatServer
from dataset_assets_tests.fakes.object_proxy import ObjectProxy
from dataset_assets_tests.objects import make_whole, put, read_all, timeless
from dataset_assets_tests.postgres import Server
from dataset_assets_tests.runs import key_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

AUTOMATION = """
[gallery]
enabled = false
[automation]
interval_seconds = 5
settle_seconds = 0
nightly = ""
partitions_per_run = 2
"""
MODEL = "caption_model"
AT_ONCE = 2
STARTED, ENDED = dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS
FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS


@pytest.fixture
def settings(tmp_path: Path, object_root: ObjectPath, postgres: URL) -> Settings:
    """Settings of twenty photos that are objects, as what is made of them will be, and whose catalog is on a server."""
    add_photos(tmp_path)
    source = object_root.parent / "photographs"
    for path in (tmp_path / "raw").iterdir():
        put(source / path.name, path.read_bytes())
    catalog = postgres.render_as_string(hide_password=False)
    config = write_settings(tmp_path, root=str(object_root), catalog=catalog)
    config.write_text(config.read_text().replace('path = "raw"', f'path = "{source}"') + AUTOMATION)
    return load_settings(config)


@pytest.fixture
def cluster(settings: Settings, postgres_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster with no node yet, and an instance of Dagster that keeps its records in a database of its own."""
    database = postgres_server.make_database()
    url = postgres_server.url(database).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    with Cluster({"DAGSTER_POSTGRES_URL": url}, settings.folder / "dataset.toml") as made:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", made.address)
        yield made
    postgres_server.drop_database(database)


@contextmanager
def instance_of(cluster: Cluster) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(cluster.home)) as instance:
        yield instance


def is_released(instance: dg.DagsterInstance) -> bool:
    done = dg.RunsFilter(job_name="release", statuses=[SUCCESS])
    return bool(instance.get_runs(done, limit=1))


def find_nodes(instance: dg.DagsterInstance, stage: str) -> dict[str, object]:
    """Return where each partition of a stage was made, as its newest materialization says."""
    found: dict[str, object] = {}
    for key in list_partitions(instance):
        wanted = dg.AssetRecordsFilter(key_of(stage), asset_partitions=[key])
        event = instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
        assert event is not None
        found[key] = event.metadata["node"].value
    return found


def test_two_nodes_make_the_bytes_of_a_local_build(
    tmp_path: Path, settings: Settings, object_root: ObjectPath, cluster: Cluster
) -> None:
    local = make_whole(settings_in(tmp_path))
    cluster.start_head("north", cores=1)
    cluster.start_worker("south")
    cluster.start_daemon()

    with instance_of(cluster) as instance:
        cluster.wait_for(lambda: is_released(instance))
        nodes = {stage: find_nodes(instance, stage) for stage in (Stage.RESIZED_CROPS, Stage.SHARDS)}

    assert timeless(read_all(object_root / "export")) == local
    assert {*nodes[Stage.RESIZED_CROPS].values()} == {"north", "south"}
    assert nodes[Stage.SHARDS] == nodes[Stage.RESIZED_CROPS]
    with open_dataset(settings) as dataset:
        assert [key for key, verdict in judge_all(dataset).items() if not verdict.fresh] == []


def test_a_node_that_dies_in_the_middle_of_crops_costs_no_byte(
    tmp_path: Path, settings: Settings, object_root: ObjectPath, object_proxy: ObjectProxy, cluster: Cluster
) -> None:
    local = make_whole(settings_in(tmp_path))
    object_proxy.fail("delay", "PUT", "/crops/", times=1000, seconds=3)
    cluster.start_head("north", cores=1)
    cluster.start_worker("south")
    cluster.start_daemon()

    with instance_of(cluster) as instance:
        cluster.wait_for(lambda: find_runs_at(cluster, instance, "south", Stage.RESIZED_CROPS))
        begun = len(object_proxy.written())
        cluster.wait_for(lambda: any("/crops/" in target for target in object_proxy.written()[begun:]))
        struck = cluster.list_runs("south")
        cluster.kill_node("south")
        object_proxy.forget()
        cluster.wait_for(lambda: is_released(instance))
        crashed = instance.get_runs(dg.RunsFilter(statuses=[FAILURE]))
        finished = [step for run in crashed for step in find_steps(instance, run.run_id, ENDED)]
        nodes = find_nodes(instance, Stage.RESIZED_CROPS)

    assert [run.run_id for run in crashed] == struck
    assert Stage.RESIZED_CROPS not in finished
    assert {*nodes.values()} == {"north"}
    assert timeless(read_all(object_root / "export")) == local


def find_runs_at(cluster: Cluster, instance: dg.DagsterInstance, node: str, stage: str) -> list[str]:
    """Return the runs on a node that are in the middle of a stage."""
    step = stage.replace("/", "__")
    return [
        run_id
        for run_id in cluster.list_runs(node)
        if step in find_steps(instance, run_id, STARTED) - find_steps(instance, run_id, ENDED)
    ]


def find_steps(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> set[str]:
    return {str(entry.step_key) for entry in instance.all_logs(run_id, of_type=kind)}


def test_a_node_that_dies_in_the_middle_of_captions_pays_again_only_for_those_in_flight(
    tmp_path: Path, settings: Settings, object_root: ObjectPath, cluster: Cluster
) -> None:
    config = settings.folder / "dataset.toml"
    with ChatServer() as server:
        model = model_table(server.url, name=MODEL, concurrency=AT_ONCE)
        local = make_whole(settings_in(tmp_path, captions={"variants": [model]}))
    with ChatServer(latency=1) as server:
        config.write_text(config.read_text() + "separate_crops = true\n")
        add_model(config, server.url, name=MODEL, concurrency=AT_ONCE)
        cluster.start_head("north", cores=0)
        for name in ("east", "west"):
            cluster.start_worker(name)
        with instance_of(cluster) as instance:
            instance.event_log_storage.set_concurrency_slots(MODEL, 1)  # what the default does too late
            cluster.start_daemon()
            cluster.wait_for(lambda: len(server.requests) >= 3 * AT_ONCE, every=0.05)
            (node,) = (name for name in ("east", "west") if cluster.list_runs(name))
            waiting = instance.get_runs(dg.RunsFilter(job_name="partitions", statuses=[dg.DagsterRunStatus.QUEUED]))
            cluster.kill_node(node)
            in_flight = len(server.seen) - count_recorded(load_settings(config))
            cluster.wait_for(lambda: is_released(instance))
            crashed = instance.get_runs(dg.RunsFilter(statuses=[FAILURE]))

        assert len(waiting) == 1  # for the model, and in the queue: it holds no node
        assert [run.job_name for run in crashed] == ["partitions"]
        assert len(server.seen) == 20
        assert {*server.seen.values()} <= {1, 2}
        assert in_flight <= 2 * AT_ONCE
        assert len(server.requests) - 20 <= in_flight
        assert server.most_at_once <= AT_ONCE
    assert timeless(read_all(object_root / "export")) == local


def count_recorded(settings: Settings) -> int:
    with open_dataset(settings) as dataset:
        return sum(count_statuses(dataset)[MODEL].values())
