import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import IncompleteError, OrderError
from dataset_assets.progress import Silence
from dataset_assets.release.publish import write_card, write_manifest
from dataset_assets.shards.verify import verify
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import (
    TINY,
    add_photo,
    add_photos,
    build_library,
    build_partitions,
    on_disk,
    settings_in,
)
from dataset_assets_tests.photos import hostile

WIDE = "p1216x832"


@pytest.fixture
def dataset(built: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(built)) as dataset:
        yield dataset


def manifest(dataset: Dataset) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(dataset.layout.manifest.read_bytes())
    return said


def test_an_export_is_complete(dataset: Dataset) -> None:
    said = manifest(dataset)

    assert said["summary"]["images_seen"] == said["summary"]["images_exported"] == 20
    assert {name: bucket["count"] for name, bucket in said["buckets"].items()} == {
        "p1024x1024": 5,
        "p1216x832": 10,
        "p832x1152": 5,
    }
    assert list(said["caption_sources"]) == ["1"]
    assert said["export_id"] in on_disk(dataset.layout.card).read_text()
    assert verify(dataset.layout.export, workers=1, progress=Silence()).ok


def test_what_is_fresh_is_left_alone(dataset: Dataset) -> None:
    before = dataset.layout.manifest.read_bytes()

    assert write_manifest(dataset).reused
    assert write_card(dataset).reused
    assert dataset.layout.manifest.read_bytes() == before


def test_force_writes_the_same_but_for_the_time(dataset: Dataset) -> None:
    before = manifest(dataset)

    assert not write_manifest(dataset, force=True).reused

    after = manifest(dataset)
    assert after.pop("created_at") > before.pop("created_at")
    assert after == before


@pytest.mark.parametrize("name", ["manifest.json", "README.md"])
@pytest.mark.parametrize("damage", ["lost", "truncated"])
def test_a_damaged_file_is_written_again(dataset: Dataset, name: str, damage: str) -> None:
    path = dataset.layout.export / name
    if damage == "lost":
        on_disk(path).unlink()
    else:
        on_disk(path).write_bytes(path.read_bytes()[:-1])

    build_library(dataset)

    assert verify(dataset.layout.export, workers=1, progress=Silence()).ok


def test_counters_add_up_to_the_images_seen(tmp_path: Path) -> None:
    add_photos(tmp_path, 6)
    add_photo(tmp_path, "tiny.jpg", TINY)
    for number, (_, data) in enumerate(hostile().values()):
        (tmp_path / "raw" / f"hostile {number}.png").write_bytes(data)
    settings = settings_in(tmp_path, captions={"missing_caption_policy": "drop"})
    with open_dataset(settings) as dataset:
        summary = build_library(dataset).manifest.report["summary"]

    seen, exported = summary.pop("images_seen"), summary.pop("images_exported")
    assert (seen, exported) == (7 + len(hostile()), 3)
    assert (summary["skipped_no_caption"], summary["skipped_too_small"]) == (3, 1)
    assert seen == exported + sum(summary.values())
    assert verify(tmp_path / "out/export", workers=1, progress=Silence()).ok


def test_images_that_no_shard_has_yet_are_missed(dataset: Dataset, built: Path) -> None:
    add_photo(built, "new.jpg", seed=99)
    scan_sources(dataset)
    with pytest.raises(IncompleteError, match="bucket_assignments: stale, changed: raw_images"):
        write_manifest(dataset)
    assign_buckets(dataset)

    with pytest.raises(IncompleteError, match=f"shards {WIDE}_000002-000003: stale, resized_crops is stale"):
        write_manifest(dataset)

    build_library(dataset)
    assert manifest(dataset)["summary"]["images_exported"] == 21


def test_a_lost_tar_is_missed_by_name(dataset: Dataset) -> None:
    on_disk(dataset.layout.tar(WIDE, 1)).unlink()

    with pytest.raises(IncompleteError, match=r"shards p1216x832_000000-000001: .*shard-000001.tar: No such file"):
        write_manifest(dataset)


def test_a_message_names_a_few_and_counts_the_rest(dataset: Dataset) -> None:
    shutil.rmtree(on_disk(dataset.layout.export / "buckets"))

    with pytest.raises(IncompleteError, match=r"and \d more") as caught:
        write_manifest(dataset)

    assert "\n" not in str(caught.value)
    assert "dataset-assets build" in str(caught.value)


def test_settings_that_ask_for_other_shards_are_missed(built: Path) -> None:
    asked: dict[str, dict[str, dict[str, Any]]] = {
        "stale, changed: settings": {"captions": {"missing_caption_policy": "drop"}},
        "stale, resized_crops is stale": {"images": {"quality": 50}},
    }
    for reason, sections in asked.items():
        with open_dataset(settings_in(built, **sections)) as dataset, pytest.raises(IncompleteError, match=reason):
            write_manifest(dataset)


def test_the_manifest_changes_with_settings_that_change_no_tar(built: Path) -> None:
    with open_dataset(settings_in(built, images={"timeout_seconds": 60}, work={"workers": 2})) as dataset:
        assert write_manifest(dataset).reused
    with open_dataset(settings_in(built, dataset={"name": "another", "root": "out"})) as dataset:
        assert write_manifest(dataset).reused
        assert not write_card(dataset).reused
        assert "another" in on_disk(dataset.layout.card).read_text()


def test_nothing_can_be_published_before_the_build(tmp_path: Path) -> None:
    with open_dataset(settings_in(tmp_path)) as dataset:
        with pytest.raises(IncompleteError, match="bucket_assignments: missing"):
            write_manifest(dataset)
        with pytest.raises(OrderError, match="manifest has not been made yet"):
            write_card(dataset)


def test_an_export_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with open_dataset(settings_in(tmp_path)) as dataset:
        with pytest.raises(IncompleteError, match=r"nothing to export: 0 images seen$"):
            build_library(dataset)
        add_photo(tmp_path, "tiny.jpg", TINY)
        (tmp_path / "raw/empty.png").touch()

        with pytest.raises(IncompleteError, match=r"nothing to export: 2 images seen .*skipped_too_small 1") as caught:
            build_library(dataset)

        assert "skipped_empty_file 1" in str(caught.value)
        add_photo(tmp_path, "good.jpg")
        assert build_library(dataset).manifest.report["summary"]["images_exported"] == 1


def test_an_image_that_cannot_be_read_does_not_hold_up_the_export(dataset: Dataset, built: Path) -> None:
    # Its header was good when it was scanned, and size and time have not changed since: every build tries it again.
    path = add_photo(built, "new.jpg", seed=99)
    scan_sources(dataset)
    assign_buckets(dataset)
    path.unlink()
    path.mkdir()  # reading it fails from now on, as a bad sector would
    for _ in range(2):
        made = build_partitions(dataset)
        summary = write_manifest(dataset).report["summary"]

        assert made[Stage.RESIZED_CROPS, f"{WIDE}_000002-000003"].report["encoded"] == 1
        assert (summary["images_exported"], summary["skipped_unreadable"]) == (20, 1)
    write_card(dataset)
    assert verify(dataset.layout.export, workers=1, progress=Silence()).ok


def test_tars_that_a_lost_catalog_made_are_removed(dataset: Dataset) -> None:
    stray = dataset.layout.tar("p512x2048", 9)
    on_disk(stray.parent).mkdir()
    shutil.copy(on_disk(dataset.layout.tar(WIDE, 0)), on_disk(stray))
    on_disk(dataset.layout.manifest).unlink()

    write_manifest(dataset)
    write_card(dataset)

    assert not stray.exists()
    assert verify(dataset.layout.export, workers=1, progress=Silence()).ok
