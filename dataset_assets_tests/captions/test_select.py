from pathlib import Path

import pytest

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.captions.select import SELECTION_SCHEMA, select_captions
from dataset_assets.captions.sidecar import read_captions
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import OrderError
from dataset_assets.images.crops import make_crops
from dataset_assets.settings import Settings, SidecarSettings
from dataset_assets.shards.plan import read_plan
from dataset_assets.sources.scan import scan_sources
from dataset_assets.storage.parquet import read_table
from dataset_assets.work import Outcome
from dataset_assets_tests.datasets import add_photo, on_disk, partition_keys, settings_in


def read_all(dataset: Dataset, key: str) -> list[Outcome]:
    variants = [one for one in dataset.settings.captions.variants if isinstance(one, SidecarSettings)]
    return [read_captions(dataset, one, key) for one in variants]


def build(dataset: Dataset) -> Outcome:
    scan_sources(dataset)
    assign_buckets(dataset)
    (key,) = partition_keys(dataset)
    make_crops(dataset, [key])
    read_all(dataset, key)
    return select_captions(dataset, key)


def two_variants(folder: Path, *priority: str) -> Settings:
    variants = [{"name": "plain"}, {"name": "title", "field": "title"}]
    return settings_in(folder, captions={"variants": variants, "priority": [{"variant": name} for name in priority]})


def selected(dataset: Dataset) -> dict[str, tuple[str, int, int, str, str]]:
    (key,) = partition_keys(dataset)
    table = read_table(dataset.layout.selection(key))
    assert table.schema == SELECTION_SCHEMA
    uris = {row["slot"]: row["uri"] for row in read_plan(dataset, key).to_pylist()}
    assert table["slot"].to_pylist() == sorted(uris)
    return {uris[row["slot"]]: tuple(row.values())[1:] for row in table.to_pylist()}


def test_a_partitions_selection(tmp_path: Path) -> None:
    add_photo(tmp_path, "both.jpg", caption="plain 1").with_suffix(".json").write_text('{"title": "title 1"}')
    add_photo(tmp_path, "plain.jpg", caption="plain 2").with_suffix(".json").write_text('{"title": 5}')
    add_photo(tmp_path, "title.jpg", caption="").with_suffix(".json").write_text('{"title": "title 3"}')
    add_photo(tmp_path, "none.jpg")
    with open_dataset(two_variants(tmp_path, "title", "plain")) as dataset:
        report = build(dataset).report

        assert selected(dataset) == {
            "both.jpg": ("title", 0, 2, "title 1", ""),
            "plain.jpg": ("plain", 1, 1, "plain 2", ""),
            "title.jpg": ("title", 0, 2, "title 3", ""),
            "none.jpg": ("", -1, -1, "", ""),
        }
    assert (report["images"], report["selected"], report["without"]) == (4, {"0": 2, "1": 1}, 1)


def test_another_priority_selects_again_and_reads_nothing(tmp_path: Path) -> None:
    add_photo(tmp_path, "both.jpg", caption="plain 1").with_suffix(".json").write_text('{"title": "title 1"}')
    with open_dataset(two_variants(tmp_path, "title", "plain")) as dataset:
        build(dataset)
    for priority, expected in ((("plain", "title"), "plain 1"), (("title",), "title 1"), ((), "")):
        with open_dataset(two_variants(tmp_path, *priority)) as dataset:
            (key,) = partition_keys(dataset)
            captions = [outcome.reused for outcome in read_all(dataset, key)]
            outcome = select_captions(dataset, key)

            assert (captions, outcome.reused) == ([True, True], False)
            assert selected(dataset)["both.jpg"][-2] == expected


def test_a_selection_is_made_again_when_its_captions_change(tmp_path: Path) -> None:
    photo = add_photo(tmp_path, "one.jpg", caption="old")
    with open_dataset(settings_in(tmp_path)) as dataset:
        build(dataset)
        assert build(dataset).reused
        photo.with_suffix(".txt").write_text("newer")

        assert not build(dataset).reused
        assert selected(dataset)["one.jpg"][-2] == "newer"


@pytest.mark.parametrize("damage", ["lost", "truncated"])
def test_a_damaged_selection_is_made_again(tmp_path: Path, damage: str) -> None:
    add_photo(tmp_path, "one.jpg", caption="a text")
    with open_dataset(settings_in(tmp_path)) as dataset:
        build(dataset)
        (key,) = partition_keys(dataset)
        path = dataset.layout.selection(key)
        whole = path.read_bytes()
        if damage == "lost":
            on_disk(path).unlink()
        else:
            on_disk(path).write_bytes(whole[:-1])

        assert not select_captions(dataset, key).reused
        assert path.read_bytes() == whole


def test_nothing_is_selected_before_every_variant_of_the_priority_was_read(tmp_path: Path) -> None:
    add_photo(tmp_path, "one.jpg")
    with open_dataset(two_variants(tmp_path, "title", "plain")) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)
        (key,) = partition_keys(dataset)
        make_crops(dataset, [key])
        first, _ = dataset.settings.captions.variants
        assert isinstance(first, SidecarSettings)
        read_captions(dataset, first, key)

        with pytest.raises(OrderError, match="captions/title"):
            select_captions(dataset, key)


def test_nothing_is_selected_before_there_are_crops(tmp_path: Path) -> None:
    add_photo(tmp_path, "one.jpg")
    with open_dataset(settings_in(tmp_path)) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)
        (key,) = partition_keys(dataset)
        read_all(dataset, key)

        with pytest.raises(OrderError, match="resized_crops"):
            select_captions(dataset, key)
