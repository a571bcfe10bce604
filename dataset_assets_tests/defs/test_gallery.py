from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import settings_in
from dataset_assets_tests.runs import failures, instance_in, key_of, materialize


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_in(tmp_path / "home") as opened:
        yield opened


def test_a_gallery_says_what_it_shows_and_where_it_is(built: Path, instance: dg.DagsterInstance) -> None:
    settings = settings_in(built, gallery={"enabled": True})

    assert materialize(settings, instance, Stage.GALLERY).success

    event = instance.get_latest_materialization_event(key_of(Stage.GALLERY))
    assert event is not None
    assert event.asset_materialization is not None
    said = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    assert said["page"] == str(built / "out" / "gallery" / "index.html")
    assert (said["samples"], said["pictures"], said["drawn"], said["reused"]) == (20, 60, 40, False)
    assert Path(said["page"]).is_file()


def test_before_there_is_a_manifest_it_says_what_to_do(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    result = materialize(settings_in(tmp_path, gallery={"enabled": True}), instance, Stage.GALLERY)

    assert failures(result) == {
        "gallery": "manifest has not been made yet: materialize it before gallery, or run `dataset-assets build`"
    }
