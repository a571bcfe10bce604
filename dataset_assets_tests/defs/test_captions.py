import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster._serdes import serialize_value

from dataset_assets.defs.graph import build_definitions
from dataset_assets.defs.partitions import list_partitions
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import LANDSCAPE, SQUARE, add_photo, settings_in
from dataset_assets_tests.fakes import chat_server
from dataset_assets_tests.fakes.chat_server import ChatServer, Reply, Request, ok
from dataset_assets_tests.photos import encoded
from dataset_assets_tests.runs import INDEX, checks, execute_check, failures, instance_in, key_of, materialize

CAPTIONS = "captions/caption_a"
LARGEST_EVENT = 150_000  # bytes: the event log keeps every one


def settings_of(folder: Path, server: ChatServer, sections: Mapping[str, Any] | None = None, **keys: Any) -> Settings:
    variant = {
        "name": "caption_a",
        "backend": "openai",
        "model": "test/model",
        "base_url": server.url,
        "api_key_env": "",
        "user_prompt": "{{image_id}}",
        "max_retries": 0,
        **keys,
    }
    return settings_in(folder, captions={"variants": [variant]}, **(sections or {}))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_in(tmp_path / "home") as instance:
        yield instance


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed in range(12):
        add_photo(tmp_path, f"{seed:02d}.jpg", LANDSCAPE if seed else SQUARE, seed=seed)
    return tmp_path


def run(settings: Settings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Materialize the captions of all partitions in one run, and what is above them."""
    materialize(settings, instance, *INDEX)
    return materialize(settings, instance, Stage.RESIZED_CROPS, CAPTIONS, keys=list_partitions(instance))


def metadata_of(instance: dg.DagsterInstance) -> dict[str, dict[str, Any]]:
    """Return the metadata of the newest event of each partition of the captions."""
    records = instance.fetch_materializations(key_of(CAPTIONS), limit=100).records
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        event = record.asset_materialization
        assert event is not None
        found.setdefault(str(event.partition), {name: value.value for name, value in event.metadata.items()})
        assert len(json.dumps(str(event))) < LARGEST_EVENT
    return found


def test_each_partition_says_what_was_asked_what_it_cost_and_shows_samples(
    photos: Path, instance: dg.DagsterInstance
) -> None:
    def script(request: Request, _: int) -> Reply:
        return ok('A photo of | "03" <b>bold</b>') if request.prompt == "03.jpg" else ok("A photo. " * 100)

    with ChatServer(script=script) as server:
        settings = settings_of(photos, server)
        assert run(settings, instance).success
        said = metadata_of(instance)
        assert len(said) == len(list_partitions(instance)) > 2
        assert sum(one["asked"] for one in said.values()) == 12
        assert sum(one["cost"] for one in said.values()) == pytest.approx(12 * chat_server.COST)
        assert sum(one["prompt_tokens"] for one in said.values()) == 12 * 300
        assert all(one["captions_per_second"] > 0 and one["left"] == 0 for one in said.values())
        statuses = [record.data for one in said.values() for record in one["statuses"].records]
        assert {record["status"] for record in statuses} == {"ok"}
        assert {one["ok_share"] for one in said.values()} == {1.0}
        assert {one["mean_length"] for one in said.values()} > {899.0}
        assert sum(one["dagster/partition_row_count"] for one in said.values()) == 12
        shown = "\n\n".join(one["samples"] for one in said.values())
        samples = re.findall(
            r"^!\[Crop of (..\.jpg)]\(data:image/jpeg;base64,/9j/\S+\)\n\n```text\n\1 · ok\n([^`]+)\n```$",
            shown,
            re.MULTILINE,
        )
        assert len(samples) == 12
        assert {text for name, text in samples if name == "03.jpg"} == {'A photo of | "03" <b>bold</b>'}
        assert all(text.endswith("…") for name, text in samples if name != "03.jpg")

        server.requests.clear()
        assert run(settings, instance).success
        assert server.requests == []
        again = metadata_of(instance)
        assert {key: one["samples"] for key, one in again.items()} == {key: one["samples"] for key, one in said.items()}
        assert sum(one["cost_to_date"] for one in again.values()) == pytest.approx(12 * chat_server.COST)
        of_runs = {"cost", "prompt_tokens", "completion_tokens", "captions_per_second", "asked"}
        assert all(of_runs.isdisjoint(one) for one in again.values())


def test_cost_is_of_the_run_and_beside_it_stands_that_of_all_runs(photos: Path, instance: dg.DagsterInstance) -> None:
    with ChatServer() as server:
        assert run(settings_of(photos, server), instance).success
        assert run(settings_of(photos, server, model="test/other", max_tokens=77), instance).success
        add_photo(photos, "12.jpg", LANDSCAPE, seed=12)
        assert run(settings_of(photos, server, model="test/other", max_tokens=77), instance).success

    said = metadata_of(instance)
    runs = [one["cost"] for one in said.values() if "cost" in one]
    assert sum(runs) == pytest.approx(chat_server.COST)
    assert sum(one["cost_to_date"] for one in said.values()) == pytest.approx((12 + 12 + 1) * chat_server.COST)


def test_hostile_ids_and_captions_leave_an_event_small(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    noise = np.random.default_rng(0)
    ids = [f"{number} " + "(\U0001f408<b>`" * 800 for number in range(10)]
    images = [encoded(noise.integers(0, 256, (192, 288, 3), np.uint8), quality=100) for _ in ids]
    pq.write_table(pa.table({"id": ids, "image": images}), tmp_path / "set.parquet")

    def script(request: Request, _: int) -> Reply:
        return ok(request.image_sha256 + "`\U0001f408\u202e|" * 5_000)

    with ChatServer(script=script) as server:
        source = {"kind": "parquet", "name": "set", "path": "set.parquet", "id": "id"}
        sections = {"sources": [source], "shards": {"shard_size": 10}}
        settings = settings_of(tmp_path, server, sections, user_prompt="Describe it.")
        assert run(settings, instance).success
        result = materialize(settings, instance, Stage.CAPTION_SELECTION, Stage.SHARDS, keys=list_partitions(instance))
        assert result.success, failures(result)

    sizes = {
        stage: max(
            len(serialize_value(record.event_log_entry))
            for record in instance.fetch_materializations(key_of(stage), limit=10).records
        )
        for stage in (CAPTIONS, Stage.SHARDS)
    }
    (said,) = metadata_of(instance).values()
    assert said["samples"].count("data:image/jpeg") == 10
    assert 40_000 < sizes[CAPTIONS] < LARGEST_EVENT
    assert 20_000 < sizes[Stage.SHARDS] < LARGEST_EVENT


def test_a_warning_of_one_partition_stays_when_another_is_made(photos: Path, instance: dg.DagsterInstance) -> None:
    def script(request: Request, _: int) -> Reply:
        return chat_server.refusal() if request.prompt == "00.jpg" else ok("A photo.")

    with ChatServer(script=script) as server:
        settings = settings_of(photos, server)
        first = checks(run(settings, instance))["refusals"]
        *_, last = list_partitions(instance)
        again = checks(materialize(settings, instance, CAPTIONS, keys=[last]))["refusals"]

    assert not first.passed
    assert not again.passed
    assert again.metadata["answers"].value == 12


def test_the_checks_warn_and_say_the_rate(photos: Path, instance: dg.DagsterInstance) -> None:
    def script(request: Request, _: int) -> Reply:
        number = int(request.prompt.removesuffix(".jpg"))
        return chat_server.refusal() if number < 2 else chat_server.cut_off() if number == 2 else ok("A photo.")

    with ChatServer(script=script) as server:
        said = checks(run(settings_of(photos, server, budget_usd=0.0125), instance))
    found = {name: (check.passed, check.severity, check.metadata) for name, check in said.items()}
    assert {name: passed for name, (passed, _, _) in found.items()} == {
        "coverage": False,
        "refusals": False,
        "truncations": False,
        "budget": False,
    }
    assert {severity for _, severity, _ in found.values()} == {dg.AssetCheckSeverity.WARN}
    shares = {name: said[name].metadata["share"].value for name in ("coverage", "refusals", "truncations")}
    assert shares == {"coverage": 0.25, "refusals": 0.1667, "truncations": 0.0833}
    assert said["budget"].metadata["cost_usd"].value == pytest.approx(12 * chat_server.COST)


def test_a_rate_that_is_asked_for_by_itself_is_of_all_partitions(photos: Path, instance: dg.DagsterInstance) -> None:
    with ChatServer() as server:
        settings = settings_of(photos, server)
        run(settings, instance)
        said = checks(execute_check(settings, instance, CAPTIONS, "refusals"))["refusals"]
    assert said.passed
    assert said.metadata["answers"].value == 12


def test_a_good_model_passes_them(photos: Path, instance: dg.DagsterInstance) -> None:
    with ChatServer() as server:
        said = checks(run(settings_of(photos, server), instance))
    assert {name for name, check in said.items() if check.passed} == {"coverage", "refusals", "truncations", "budget"}


def test_a_stop_fails_the_step_once_with_what_to_do(photos: Path, instance: dg.DagsterInstance) -> None:
    with ChatServer(script=lambda *_: chat_server.status(402, "no credits left")) as server:
        result = run(settings_of(photos, server, concurrency=1), instance)
        assert not result.success
        assert len(server.requests) == 1
    (message,) = failures(result).values()
    assert message is not None
    assert "no credits left" in message
    assert "run the same again to go on" in message


def test_only_one_run_at_a_time_asks_a_model(photos: Path) -> None:
    with ChatServer() as server:
        definitions = build_definitions(settings_of(photos, server))
    (captions,) = [
        one
        for one in definitions.assets or ()
        if isinstance(one, dg.AssetsDefinition) and CAPTIONS in one.node_def.name.replace("__", "/")
    ]
    assert captions.node_def.pools == {"caption_a"}
