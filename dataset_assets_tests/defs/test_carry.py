from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dataset_assets.defs.carry import carry_pictures
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
