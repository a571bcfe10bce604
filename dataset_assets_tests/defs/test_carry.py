import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dataset_assets.defs.carry import carry_pictures, drawing_ahead
from dataset_assets.errors import StorageError
from dataset_assets_tests.runs import instance_in

KEY = dg.AssetKey("crops")
PICTURE = dg.MetadataValue.md("![a](data:image/png;base64,aa)")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_in(tmp_path / "home") as opened:
        yield opened


def report(instance: dg.DagsterInstance, partition: str | None, version: str, **metadata: dg.MetadataValue) -> None:
    event = dg.AssetMaterialization(KEY, partition=partition, metadata=metadata, tags={"dagster/data_version": version})
    instance.report_runless_asset_event(event)


def test_only_pictures_are_carried(instance: dg.DagsterInstance) -> None:
    said = {"seen": PICTURE, "told": dg.MetadataValue.md("# text (data:image/)"), "images": dg.MetadataValue.int(3)}
    report(instance, None, "1", **said)

    assert carry_pictures(instance, KEY, "1") == {"seen": PICTURE}


def test_those_of_the_newest_event_of_the_partition_are(instance: dg.DagsterInstance) -> None:
    report(instance, "a", "1", old=PICTURE)
    report(instance, "a", "1", new=PICTURE)
    report(instance, "b", "1", other=PICTURE)

    assert carry_pictures(instance, KEY, "1", "a").keys() == {"new"}
    assert carry_pictures(instance, KEY, "1", "c") == {}


def test_pictures_of_something_else_are_not(instance: dg.DagsterInstance) -> None:
    report(instance, "a", "1", seen=PICTURE)
    report(instance, "a", "2", seen=PICTURE)

    assert carry_pictures(instance, KEY, "1", "a") == {}


def test_a_run_that_was_killed_before_it_said_anything_loses_none(instance: dg.DagsterInstance) -> None:
    report(instance, "a", "1", seen=PICTURE)
    report(instance, "a", "of all partitions")

    assert carry_pictures(instance, KEY, "1", "a") == {"seen": PICTURE}


def test_pictures_are_drawn_in_one_other_thread_before_they_are_asked_for() -> None:
    threads = []
    both = threading.Event()

    def draw(key: str) -> Mapping[str, Any]:
        threads.append(threading.get_ident())
        if key == "b":
            both.set()
        return {"of": key}

    with drawing_ahead(draw, ["a", "b"]) as drawn:
        assert both.wait(60)
        assert [drawn("b"), drawn("a")] == [{"of": "b"}, {"of": "a"}]

    assert len(threads) == 2
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_what_goes_wrong_is_raised_where_it_is_asked_for() -> None:
    def draw(key: str) -> Mapping[str, Any]:
        if key == "b":
            raise StorageError("no disk")
        return {}

    with drawing_ahead(draw, ["a", "b", "c"]) as drawn:
        assert drawn("a") == {}
        with pytest.raises(StorageError, match="no disk"):
            drawn("b")
        assert drawn("c") == {}


def test_what_nobody_asks_for_any_more_is_not_drawn() -> None:
    begun, seen = threading.Event(), []

    def draw(key: str) -> Mapping[str, Any]:
        seen.append(key)
        begun.set()
        time.sleep(0.01)
        return {}

    def leave() -> None:
        with drawing_ahead(draw, map(str, range(1_000))):
            assert begun.wait(60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert 0 < len(seen) < 1_000
