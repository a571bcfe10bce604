import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.captions.select import select_captions
from dataset_assets.catalog.state import load_pieces
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import OrderError
from dataset_assets.freshness import Stage
from dataset_assets.records import sample_key
from dataset_assets.shards.plan import read_plan
from dataset_assets.shards.tar import TarReader
from dataset_assets.shards.write import write_shards
from dataset_assets.sources.scan import scan_sources
from dataset_assets_tests.datasets import add_photo, build_library, caption, partition_keys, settings_in

WIDE, TALL = "p1216x832", "p832x1152"


@pytest.fixture
def dataset(built: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(built)) as dataset:
        yield dataset


def tars(dataset: Dataset) -> dict[str, int]:
    """Return when each tar was written."""
    folder = dataset.layout.export / "buckets"
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*.tar")}


def touched(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def members(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        return {member.name: member.data for member in TarReader(file)}


def images_of(dataset: Dataset, bucket_id: str, shard: int) -> list[str]:
    """Return the images of a shard in the order of their slots."""
    key = f"{bucket_id}_{shard // 2 * 2:06d}-{shard // 2 * 2 + 1:06d}"
    return [str(row["uri"]) for row in read_plan(dataset, key).to_pylist() if row["slot"] // 4 == shard]


def pieces(dataset: Dataset, key: str) -> dict[int, str]:
    with dataset.catalog.reading() as connection:
        return {piece.number: piece.path for piece in load_pieces(connection, Stage.SHARDS, key)}


def only_captions(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Bring captions, selection and tars up to date, and return the reports of the tars that were not fresh."""
    scan_sources(dataset)
    assign_buckets(dataset)
    reports = {}
    for key in partition_keys(dataset):
        for variant in dataset.settings.captions.variants:
            caption(dataset, variant, key)
        select_captions(dataset, key)
        outcome = write_shards(dataset, key)
        if not outcome.reused:
            reports[key] = dict(outcome.report)
    return reports


def test_a_tar_holds_its_slots_in_order(dataset: Dataset, built: Path) -> None:
    for bucket_id, shard in ((WIDE, 0), (WIDE, 2), (TALL, 1)):
        uris = images_of(dataset, bucket_id, shard)
        held = members(dataset.layout.tar(bucket_id, shard))

        keys = [sample_key(uri) for uri in uris]
        assert list(held) == [f"{key}.{extension}" for key in keys for extension in ("jpg", "txt", "json")]
        for uri, key in zip(uris, keys, strict=True):
            sidecar = (built / "raw" / uri).with_suffix(".txt")
            caption = sidecar.read_text() if sidecar.exists() else ""
            assert held[f"{key}.txt"] == f"{caption}\n".encode()
            meta = json.loads(held[f"{key}.json"])
            assert (meta["image_id"], meta["bucket_id"]) == (uri, bucket_id)
            origin = meta["caption_variant"], meta["caption_selector_index"], meta["caption_source_id"]
            assert origin == (("caption_sidecar", 0, 1) if caption else ("", -1, -1))


def test_a_caption_touches_one_tar(dataset: Dataset, built: Path) -> None:
    before = tars(dataset)
    uri = images_of(dataset, WIDE, 1)[2]
    (built / "raw" / uri).with_suffix(".txt").write_text("another caption")

    reports = only_captions(dataset)

    assert touched(before, tars(dataset)) == {f"{WIDE}/shard-000001.tar"}
    assert {key: report["written"] for key, report in reports.items()} == {f"{WIDE}_000000-000001": 1}
    assert members(dataset.layout.tar(WIDE, 1))[f"{sample_key(uri)}.txt"] == b"another caption\n"


def test_a_new_image_touches_one_tar(dataset: Dataset, built: Path) -> None:
    before = tars(dataset)
    add_photo(built, "new.jpg", seed=99)

    build_library(dataset)

    assert touched(before, tars(dataset)) == {f"{WIDE}/shard-000002.tar"}


def test_what_is_fresh_is_left_alone(dataset: Dataset) -> None:
    before = tars(dataset)

    assert only_captions(dataset) == {}
    assert tars(dataset) == before


def test_force_writes_the_same_bytes_again(dataset: Dataset) -> None:
    key = f"{WIDE}_000000-000001"
    before = dataset.layout.tar(WIDE, 0).read_bytes()

    outcome = write_shards(dataset, key, force=True)

    assert outcome.report["written"] == 2
    assert dataset.layout.tar(WIDE, 0).read_bytes() == before


@pytest.mark.parametrize("damage", ["lost", "truncated"])
def test_a_damaged_tar_alone_is_written_again(dataset: Dataset, damage: str) -> None:
    path, before = dataset.layout.tar(WIDE, 1), tars(dataset)
    whole = path.read_bytes()
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes(whole[:-512])

    outcome = write_shards(dataset, f"{WIDE}_000000-000001")

    assert outcome.report["written"] == 1
    assert path.read_bytes() == whole
    assert touched(before, tars(dataset)) <= {f"{WIDE}/shard-000001.tar"}


def test_without_a_caption_a_sample_is_kept_or_dropped(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        before = tars(dataset)
    with open_dataset(settings_in(built, captions={"missing_caption_policy": "drop"})) as dataset:
        reports = only_captions(dataset)

        # Every landscape has a caption, no square and no portrait has one.
        assert {key: report["drops"] for key, report in reports.items()} == {
            f"{WIDE}_000000-000001": {},
            f"{WIDE}_000002-000003": {},
            f"{TALL}_000000-000001": {"skipped_no_caption": 5},
            "p1024x1024_000000-000001": {"skipped_no_caption": 5},
        }
        assert set(tars(dataset)) == {name for name in before if name.startswith(WIDE)}
        assert pieces(dataset, f"{TALL}_000000-000001") == {0: "", 1: ""}
        assert not (dataset.layout.export / "buckets" / TALL).exists()
        assert only_captions(dataset) == {}
    with open_dataset(settings_in(built)) as dataset:
        only_captions(dataset)

        assert tars(dataset).keys() == before.keys()


def test_only_the_samples_without_a_caption_are_dropped(built: Path) -> None:
    with open_dataset(settings_in(built, captions={"missing_caption_policy": "drop"})) as dataset:
        (first, *others) = images_of(dataset, TALL, 0)
        (built / "raw" / first).with_suffix(".txt").write_text("the only one")

        report = only_captions(dataset)[f"{TALL}_000000-000001"]

        assert list(members(dataset.layout.tar(TALL, 0))) == [
            f"{sample_key(first)}.{extension}" for extension in ("jpg", "txt", "json")
        ]
        assert not dataset.layout.tar(TALL, 1).exists()
        assert (report["samples"], report["shards"]) == (1, 1)
        assert report["drops"] == {"skipped_no_caption": len(others) + len(images_of(dataset, TALL, 1))}


def test_the_tar_of_an_emptied_shard_is_removed(dataset: Dataset, built: Path) -> None:
    before = tars(dataset)
    for uri in images_of(dataset, WIDE, 1):
        (built / "raw" / uri).unlink()

    build_library(dataset)

    assert touched(before, tars(dataset)) == {f"{WIDE}/shard-000001.tar"}
    assert not dataset.layout.tar(WIDE, 1).exists()
    assert pieces(dataset, f"{WIDE}_000000-000001").keys() == {0}


def test_another_cut_leaves_no_tar_of_the_old_one(built: Path) -> None:
    with open_dataset(settings_in(built, shards={"shard_size": 100})) as dataset:
        build_library(dataset)

        assert set(tars(dataset)) == {f"{name}/shard-000000.tar" for name in (WIDE, TALL, "p1024x1024")}


def test_nothing_is_written_before_crops_and_selection(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        add_photo(built, "wide.jpg", (400, 72))
        scan_sources(dataset)
        assign_buckets(dataset)
        (key,) = (key for key in partition_keys(dataset) if "p2048x512" in key)

        with pytest.raises(OrderError, match="resized_crops"):
            write_shards(dataset, key)


def test_crops_and_selection_of_different_plans_are_refused(dataset: Dataset, built: Path) -> None:
    add_photo(built, "new.jpg", seed=99)
    before = tars(dataset)

    with pytest.raises(OrderError, match=r"resized_crops of p1216x832_000002-000003 is stale \(changed: images\)"):
        only_captions(dataset)

    assert tars(dataset) == before
