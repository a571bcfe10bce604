import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from sqlalchemy import select

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.catalog.schema import images, near_duplicates
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DamagedError, IncompleteError
from dataset_assets.freshness import Verdict
from dataset_assets.images.near import NEAR_SCHEMA, _find_groups, find_near_duplicates
from dataset_assets.progress import Lines
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets.storage.parquet import read_table
from dataset_assets_tests.datasets import (
    LANDSCAPE,
    PORTRAIT,
    add_photo,
    build_library,
    build_partitions,
    on_disk,
    settings_in,
)
from dataset_assets_tests.photos import encoded, photo

WIDE, TALL = "p1216x832", "p832x1152"
STAGE = (Stage.NEAR_DUPLICATES, "")


@contextmanager
def looking(folder: Path, *, distance: int = 3, **sections: Any) -> Iterator[Dataset]:
    """Yield the dataset in `folder`, which looks for near duplicates."""
    with open_dataset(settings_in(folder, duplicates={"near": True, "near_distance": distance}, **sections)) as dataset:
        yield dataset


@pytest.fixture(scope="module")
def _alike(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alike")
    for seed in range(6):
        add_photo(folder, f"{seed}.jpg", (312, 216), seed=seed)
    first, second = (Image.fromarray(photo(312, 216, seed)) for seed in (0, 1))
    put(folder, "0 again.jpg", first.resize((208, 144)), quality=80)
    put(folder, "a/0.png", first)
    put(folder, "1 turned.jpg", second.transpose(Image.Transpose.ROTATE_90), quality=92)
    with looking(folder) as dataset:
        build_library(dataset)
        find_near_duplicates(dataset)
    return folder


@pytest.fixture
def folder(_alike: Path, tmp_path: Path) -> Path:
    """A folder with nine photos, of which three and two look alike, and a finished build of them."""
    return Path(shutil.copytree(_alike, tmp_path / "alike"))


def put(folder: Path, name: str, image: Image.Image, **options: Any) -> None:
    path = folder / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(image, "PNG" if name.endswith("png") else "JPEG", **options))


def report(dataset: Dataset) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_table(dataset.layout.near_duplicates).to_pylist()
    return rows


def groups(dataset: Dataset) -> dict[int, list[str]]:
    """Return the image_ids of each group as the report has them."""
    found: dict[int, list[str]] = {}
    for row in report(dataset):
        found.setdefault(row["group_id"], []).append(row["image_id"])
    return found


def verdict(dataset: Dataset) -> Verdict:
    return judge_all(dataset)[STAGE]


def test_the_report_says_what_looks_alike_and_where_it_is(folder: Path) -> None:
    with looking(folder) as dataset:
        rows = report(dataset)
        schema = read_table(dataset.layout.near_duplicates).schema

    assert dataset.layout.near_duplicates == folder / "out" / "duplicates" / "near.parquet"
    assert schema.equals(NEAR_SCHEMA)
    assert [(row["group_id"], row["image_id"], row["source"], row["uri"], row["bucket_id"]) for row in rows] == [
        (1, "0 again.jpg", "folder", "0 again.jpg", WIDE),
        (1, "0.jpg", "folder", "0.jpg", WIDE),
        (1, "a/0.png", "folder", "a/0.png", WIDE),
        (2, "1 turned.jpg", "folder", "1 turned.jpg", TALL),
        (2, "1.jpg", "folder", "1.jpg", WIDE),
    ]
    assert [row["distance"] for row in rows if row["image_id"] in ("0 again.jpg", "1 turned.jpg")] == [0, 0]
    assert max(row["distance"] for row in rows) <= 3


def test_the_catalog_has_the_groups(folder: Path) -> None:
    with looking(folder) as dataset:
        expected = {(row["image_id"], row["group_id"], row["look"]) for row in report(dataset)}
        statement = select(images.c.image_id, near_duplicates.c.group_id, near_duplicates.c.look)
        with dataset.catalog.reading() as connection:
            rows = {tuple(row) for row in connection.execute(statement.join_from(near_duplicates, images))}

    assert rows == expected
    assert len(rows) == 5


def test_the_stage_counts_and_names_the_largest(folder: Path) -> None:
    with looking(folder) as dataset:
        counted = dict(find_near_duplicates(dataset).report)

    counted.pop("inputs")
    assert counted == {
        "images": 9, "groups": 2, "images_in_groups": 5, "largest": {"0 again.jpg": 3, "1 turned.jpg": 2},
    }  # fmt: skip


def test_no_image_is_left_out(folder: Path) -> None:
    with looking(folder) as dataset:
        built = build_library(dataset)

    assert (built.manifest.report["summary"]["images_exported"], built.manifest.reused) == (9, True)


def test_what_is_fresh_is_left_alone(folder: Path) -> None:
    with looking(folder) as dataset:
        before = dataset.layout.near_duplicates.stat()

        assert find_near_duplicates(dataset).reused
        assert dataset.layout.near_duplicates.stat().st_mtime_ns == before.st_mtime_ns
        forced = find_near_duplicates(dataset, force=True)
        assert (forced.reused, forced.state.output) == (False, find_near_duplicates(dataset).state.output)


def test_a_new_image_makes_it_stale_and_joins_its_group(folder: Path) -> None:
    put(folder, "2 grey.jpg", Image.fromarray(photo(312, 216, 2)).convert("L"))
    with looking(folder) as dataset:
        build_library(dataset)
        stale = verdict(dataset)
        find_near_duplicates(dataset)

        assert (stale.state, stale.reason) == ("stale", "changed: resized_crops")
        assert groups(dataset) == {
            1: ["0 again.jpg", "0.jpg", "a/0.png"], 2: ["1 turned.jpg", "1.jpg"], 3: ["2 grey.jpg", "2.jpg"],
        }  # fmt: skip
        assert verdict(dataset).fresh


def test_a_removed_image_leaves_its_group_and_may_end_it(folder: Path) -> None:
    (folder / "raw" / "1.jpg").unlink()
    (folder / "raw" / "a" / "0.png").unlink()
    with looking(folder) as dataset:
        build_library(dataset)
        found = find_near_duplicates(dataset).report

        assert groups(dataset) == {1: ["0 again.jpg", "0.jpg"]}
        assert (found["images"], found["groups"]) == (7, 1)


def test_a_caption_changes_nothing(folder: Path) -> None:
    (folder / "raw" / "0.txt").write_text("a caption")
    with looking(folder) as dataset:
        built = build_library(dataset)

        assert (Stage.MANIFEST, "") in built.remade
        assert verdict(dataset).fresh


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"distance": 2}, "changed: settings"), ({"images": {"quality": 80}}, "resized_crops is stale")],
)
def test_settings_that_shape_it_make_it_stale(folder: Path, change: dict[str, Any], reason: str) -> None:
    with looking(folder, **change) as dataset:
        assert verdict(dataset).reason == reason


def test_with_another_distance_there_are_other_groups(folder: Path) -> None:
    with looking(folder, distance=0) as dataset:
        find_near_duplicates(dataset)
        found = report(dataset)

    assert {row["distance"] for row in found} == {0}
    assert {"0.jpg", "a/0.png"} <= {row["image_id"] for row in found}


def test_it_is_judged_only_where_the_settings_ask_for_it(folder: Path) -> None:
    with open_dataset(settings_in(folder)) as dataset:
        assert STAGE not in judge_all(dataset)
    with looking(folder) as dataset:
        order = [stage for stage, _ in judge_all(dataset)]

    assert order.index(Stage.RESIZED_CROPS) < order.index(Stage.NEAR_DUPLICATES) < order.index(Stage.MANIFEST)


def test_nothing_alike_makes_an_empty_report(tmp_path: Path) -> None:
    for seed in range(3):
        add_photo(tmp_path, f"{seed}.jpg", (LANDSCAPE, PORTRAIT)[seed % 2], seed=seed)
    with looking(tmp_path) as dataset:
        build_library(dataset)
        found = find_near_duplicates(dataset).report

        assert (found["images"], found["groups"], found["images_in_groups"], found["largest"]) == (3, 0, 0, {})
        assert report(dataset) == []
        assert read_table(dataset.layout.near_duplicates).schema.equals(NEAR_SCHEMA)


def test_an_image_without_a_crop_has_no_look(folder: Path) -> None:
    whole = (folder / "raw" / "0.jpg").read_bytes()
    for name in ("0.jpg", "broken.jpg"):
        (folder / "raw" / name).write_bytes(whole[: len(whole) // 2])
    with looking(folder) as dataset:
        build_library(dataset)
        found = find_near_duplicates(dataset).report

        assert found["images"] == 8
        assert groups(dataset)[1] == ["0 again.jpg", "a/0.png"]


def test_files_to_be_tried_again_do_not_hold_it_up(folder: Path) -> None:
    add_photo(folder, "new.jpg", seed=30)
    with looking(folder) as dataset:
        scan_sources(dataset)
        (folder / "raw" / "new.jpg").rename(folder / "away")
        assign_buckets(dataset)
        build_partitions(dataset)

        assert find_near_duplicates(dataset).report["images"] == 9
        assert judge_all(dataset)[Stage.RESIZED_CROPS, f"{WIDE}_000002-000003"].retry
        assert verdict(dataset).fresh


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "duplicates/near.parquet: No such file or directory"),
        (lambda path: path.write_bytes(b"PAR1"), "duplicates/near.parquet: 4 bytes, "),
    ],
)
def test_a_report_that_was_lost_is_made_again(folder: Path, damage: Callable[[Path], object], reason: str) -> None:
    with looking(folder) as dataset:
        before = report(dataset)
        damage(on_disk(dataset.layout.near_duplicates))

        assert verdict(dataset).reason.startswith(reason)
        assert not find_near_duplicates(dataset).reused
        assert report(dataset) == before


def test_crops_that_are_damaged_are_said_to_be_and_made_again(folder: Path) -> None:
    with looking(folder) as dataset:
        path = dataset.layout.crops(WIDE, 0)
        size = path.stat().st_size
        on_disk(path).write_bytes(bytes(size))  # which nobody sees who does not read it

        with pytest.raises(DamagedError, match="build again"):
            find_near_duplicates(dataset, force=True)
        build_library(dataset)

        assert len(groups(dataset)) == 2
        assert find_near_duplicates(dataset).report["images"] == 9


def test_there_is_none_before_all_crops_are_made(folder: Path, tmp_path: Path) -> None:
    with looking(tmp_path / "empty") as dataset, pytest.raises(IncompleteError, match="bucket_assignments: missing"):
        find_near_duplicates(dataset)
    with looking(folder) as dataset:
        for shard in (0, 1):
            on_disk(dataset.layout.crops(WIDE, shard)).unlink()

        message = rf"resized_crops {WIDE}_000000-000001: stale, .*No such file.* or run `dataset-assets build`"
        with pytest.raises(IncompleteError, match=message):
            find_near_duplicates(dataset)


def test_progress_goes_shard_by_shard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset_assets.progress._SAY_SECONDS", 0.0)
    said: list[str] = []
    with looking(folder) as dataset:
        find_near_duplicates(dataset, force=True, progress=Lines(said.append))

    assert said[-1].startswith("reading looks: 3 of 3 shards")


def rows_of(looks: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"image_id": [*looks], "bucket_id": "p1x1", "look": [*looks.values()]}).astype("str")


LOOKS = {
    "x": "0000000000000000",
    "b": "0000000000000007",  # 3 bits from x
    "c": "000000000000003f",  # 3 bits from b, 6 from x
    "m": "a5c3960f1b2d4e71",
    "k": "a5c3960f1b2d4e70",
    "alone": "13579bdf02468ace",
    "q": "3333333355550001",
    "p": "3333333355550000",
}


@pytest.mark.parametrize("order", [list(LOOKS), list(LOOKS)[::-1], sorted(LOOKS), ["q", "k", "c", "x", "p", "m", "b"]])
def test_groups_are_numbered_by_size_and_first_in_whatever_order_images_come(order: list[str]) -> None:
    found = _find_groups(rows_of({name: LOOKS[name] for name in order}), 3)

    assert found[["group_id", "image_id", "distance"]].to_numpy().tolist() == [
        [1, "b", 0], [1, "c", 3], [1, "x", 3], [2, "k", 0], [2, "m", 1], [3, "p", 0], [3, "q", 1],
    ]  # fmt: skip


def test_a_distance_is_to_the_first_of_the_group_and_may_be_more_than_the_setting() -> None:
    found = _find_groups(rows_of({"a": LOOKS["x"], "b": LOOKS["b"], "c": LOOKS["c"]}), 3)

    assert dict(zip(found["image_id"], found["distance"], strict=True)) == {"a": 0, "b": 3, "c": 6}
