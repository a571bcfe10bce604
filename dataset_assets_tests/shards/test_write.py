import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.captions.select import select_captions
from dataset_assets.catalog.state import load_pieces, put_piece
from dataset_assets.damage import INDEX
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DamagedError, OrderError
from dataset_assets.images.crops import make_crops
from dataset_assets.progress import Silence
from dataset_assets.records import sample_key
from dataset_assets.shards import write
from dataset_assets.shards.index import scan_tar
from dataset_assets.shards.job import MadeTar, TarTask, writing_tars
from dataset_assets.shards.plan import read_plan
from dataset_assets.shards.tar import TarReader
from dataset_assets.shards.verify import verify
from dataset_assets.shards.write import write_shards
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets.storage.layout import shard_path
from dataset_assets.storage.parquet import read_table
from dataset_assets.work import Work
from dataset_assets_tests.datasets import Count, add_photo, build_library, caption, on_disk, partition_keys, settings_in

WIDE, TALL = "p1216x832", "p832x1152"


@pytest.fixture
def dataset(built: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(built)) as dataset:
        yield dataset


def tars(dataset: Dataset) -> dict[str, int]:
    """Return when each tar was written."""
    folder = on_disk(dataset.layout.export) / "buckets"
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*.tar")}


def contents(dataset: Dataset) -> dict[str, bytes]:
    """Return the bytes of each tar."""
    folder = on_disk(dataset.layout.export) / "buckets"
    return {name: (folder / name).read_bytes() for name in tars(dataset)}


def indexes(dataset: Dataset) -> dict[str, Path]:
    """Return the index files."""
    folder = on_disk(dataset.layout.index(WIDE, 0)).parents[1]
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.parquet")}


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
        outcome = write_shards(dataset, [key])[key]
        if not outcome.reused:
            reports[key] = dict(outcome.report)
    return reports


def test_a_tar_holds_its_slots_in_order(dataset: Dataset, built: Path) -> None:
    for bucket_id, shard in ((WIDE, 0), (WIDE, 2), (TALL, 1)):
        uris = images_of(dataset, bucket_id, shard)
        held = members(on_disk(dataset.layout.tar(bucket_id, shard)))

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
    assert members(on_disk(dataset.layout.tar(WIDE, 1)))[f"{sample_key(uri)}.txt"] == b"another caption\n"


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

    outcome = write_shards(dataset, [key], force=True)[key]

    assert outcome.report["written"] == 2
    assert dataset.layout.tar(WIDE, 0).read_bytes() == before


def test_processes_write_the_same_bytes(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def watched(processes: int) -> AbstractContextManager[Callable[[TarTask], MadeTar]]:
        asked.append(processes)
        return writing_tars(processes)

    monkeypatch.setattr(write, "writing_tars", watched)
    with open_dataset(settings_in(built, work={"workers": 3})) as dataset:
        before = contents(dataset)
        few = write_shards(dataset, partition_keys(dataset), force=True)
        monkeypatch.setattr(write, "_WORTH_A_PROCESS", 1)
        many = write_shards(dataset, partition_keys(dataset), force=True)
        after = contents(dataset)

        assert asked == [0, 3]
        assert after == before
        assert {key: one.report for key, one in many.items()} == {key: one.report for key, one in few.items()}
        assert only_captions(dataset) == {}


def test_damaged_crops_are_removed_wherever_the_tar_is_written(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_WORTH_A_PROCESS", 1)
    path = on_disk(dataset.layout.crops(WIDE, 1))
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])

    with pytest.raises(DamagedError, match="was damaged and has been removed"):
        write_shards(dataset, [f"{WIDE}_000000-000001"], force=True)

    assert not path.exists()


@pytest.mark.parametrize("damage", ["lost", "truncated"])
def test_a_damaged_tar_alone_is_written_again(dataset: Dataset, damage: str) -> None:
    path, before = dataset.layout.tar(WIDE, 1), tars(dataset)
    whole = path.read_bytes()
    if damage == "lost":
        on_disk(path).unlink()
    else:
        on_disk(path).write_bytes(whole[:-512])

    outcome = write_shards(dataset, [f"{WIDE}_000000-000001"])[f"{WIDE}_000000-000001"]

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

        assert list(members(on_disk(dataset.layout.tar(TALL, 0)))) == [
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


def test_another_cut_leaves_no_tar_and_no_index_of_the_old_one(built: Path) -> None:
    with open_dataset(settings_in(built, shards={"shard_size": 100})) as dataset:
        build_library(dataset)

        assert set(tars(dataset)) == {f"{name}/shard-000000.tar" for name in (WIDE, TALL, "p1024x1024")}
        assert set(indexes(dataset)) == {f"{name}/shard-000000.parquet" for name in (WIDE, TALL, "p1024x1024")}


def test_every_tar_has_an_index_that_says_what_is_in_it(dataset: Dataset) -> None:
    found = indexes(dataset)

    assert found.keys() == {name.replace(".tar", ".parquet") for name in tars(dataset)}
    for bucket_id, shard in ((WIDE, 0), (WIDE, 2), (TALL, 1)):
        path = dataset.layout.tar(bucket_id, shard)
        rows = read_table(dataset.layout.index(bucket_id, shard)).to_pylist()
        assert rows == list(scan_tar(path, shard_path(bucket_id, shard)))
        assert [row["image_id"] for row in rows] == images_of(dataset, bucket_id, shard)
        data, held = path.read_bytes(), members(on_disk(path))
        for row in rows:
            for extension in ("jpg", "txt", "json"):
                start = row[f"{extension}_offset"]
                place = slice(start, start + row[f"{extension}_size"])
                assert data[place] == held[f"{row['key']}.{extension}"]


def lose(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [lose, truncate])
def test_a_damaged_index_is_made_of_its_tar_which_stays_as_it_is(
    dataset: Dataset, damage: Callable[[Path], None]
) -> None:
    path, key, before = dataset.layout.index(WIDE, 1), f"{WIDE}_000000-000001", tars(dataset)
    whole = path.read_bytes()
    damage(on_disk(path))

    outcome = write_shards(dataset, [key])[key]

    assert (outcome.reused, outcome.report["written"]) == (False, 0)
    assert path.read_bytes() == whole
    assert tars(dataset) == before
    assert dataset.layout.manifest.exists()
    assert write_shards(dataset, [key])[key].reused
    assert all(verdict.fresh for verdict in judge_all(dataset).values())


def forget_indexes(dataset: Dataset) -> None:
    """Make of the dataset what a version that knew no indexes left."""
    shutil.rmtree(on_disk(dataset.layout.index(WIDE, 0)).parents[1])
    with dataset.catalog.writing() as connection:
        for piece in load_pieces(connection, Stage.SHARDS):
            facts = {name: value for name, value in piece.facts.items() if name != INDEX}
            put_piece(connection, replace(piece, facts=facts))


def test_tars_of_an_older_version_get_their_indexes_and_are_not_written_again(dataset: Dataset) -> None:
    before, made = tars(dataset), {name: path.read_bytes() for name, path in indexes(dataset).items()}
    forget_indexes(dataset)
    stale = {key: verdict.reason for key, verdict in judge_all(dataset).items() if not verdict.fresh}
    assert stale[Stage.SHARDS, f"{TALL}_000000-000001"] == (
        f"export/buckets/{TALL}/shard-000001.tar: has no index of this version"
    )
    assert {stage for stage, _ in stale} == {*("shards", "shards_intact", "manifest", "dataset_card")}

    built = build_library(dataset)

    assert built.remade == {(Stage.SHARDS, key) for key in partition_keys(dataset)}
    assert built.count("written") == 0
    assert tars(dataset) == before
    assert {name: path.read_bytes() for name, path in indexes(dataset).items()} == made


def garble(path: Path) -> None:
    """Damage a sample's JSON; the tar keeps its size."""
    path.write_bytes(path.read_bytes().replace(b'"image_id"', b'"image_xx"', 1))


def enlarge(path: Path) -> None:
    """Put a width into a sample's JSON that no column holds; the tar keeps its size."""
    data = path.read_bytes()
    for before, after in (
        (b'"reencode_jpeg"', b'"r"'),
        (b'"target_w":72', b'"target_w":72' + bytes(12 * "0", "ascii")),
    ):
        assert before in data
        data = data.replace(before, after, 1)
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [garble, enlarge])
def test_of_a_damaged_tar_no_index_is_made_and_it_is_written_again(
    dataset: Dataset, damage: Callable[[Path], None]
) -> None:
    tar, index, key = dataset.layout.tar(WIDE, 1), dataset.layout.index(WIDE, 1), f"{WIDE}_000000-000001"
    whole = tar.read_bytes(), index.read_bytes()
    damage(on_disk(tar))
    on_disk(index).unlink()

    outcome = write_shards(dataset, [key])[key]

    assert outcome.report["written"] == 1
    assert (tar.read_bytes(), index.read_bytes()) == whole


def test_an_emptied_shard_has_no_index(dataset: Dataset, built: Path) -> None:
    for uri in images_of(dataset, WIDE, 1):
        (built / "raw" / uri).unlink()

    build_library(dataset)

    assert not dataset.layout.index(WIDE, 1).exists()
    assert dataset.layout.index(WIDE, 0).exists()


def test_a_shard_whose_samples_are_all_dropped_has_no_index(built: Path) -> None:
    with open_dataset(settings_in(built, captions={"missing_caption_policy": "drop"})) as dataset:
        only_captions(dataset)

        assert {name.split("/")[0] for name in indexes(dataset)} == {WIDE}
        assert write_shards(dataset, [f"{TALL}_000000-000001"])[f"{TALL}_000000-000001"].reused


@pytest.mark.parametrize("step", ["index first", "tar, no record", "record"])
def test_a_kill_while_a_tar_is_replaced_is_made_good(
    dataset: Dataset, built: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = images_of(dataset, WIDE, 1)[2]
    (built / "raw" / uri).with_suffix(".txt").write_text("another caption")
    tar, index = dataset.layout.tar(WIDE, 1), dataset.layout.index(WIDE, 1)
    with monkeypatch.context() as patch:
        if step == "index first":
            patch.setattr(
                Path, "replace", dying_at(Path.replace, lambda path: path.name.startswith(".shard-000001.tar"))
            )
        elif step == "tar, no record":
            patch.setattr(Work, "put", dying_at(Work.put, lambda work: work.stage == Stage.SHARDS))
        else:
            patch.setattr(Work, "finish", dying_at(Work.finish, lambda work: work.stage == Stage.SHARDS))
        with pytest.raises(KeyboardInterrupt):
            only_captions(dataset)
    assert not dataset.layout.manifest.exists()

    built_again = build_library(dataset)

    assert built_again.partitions[Stage.SHARDS, f"{WIDE}_000000-000001"].report["written"] == (step != "record")
    assert members(on_disk(tar))[f"{sample_key(uri)}.txt"] == b"another caption\n"
    assert read_table(index).to_pylist() == list(scan_tar(tar, shard_path(WIDE, 1)))
    assert verify(dataset.layout.export, workers=1, progress=Silence()).faults == ()


def test_a_kill_while_an_index_alone_is_made_leaves_the_tar(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tars(dataset)
    forget_indexes(dataset)
    with monkeypatch.context() as patch:
        patch.setattr(Work, "put", dying_at(Work.put, lambda work: work.stage == Stage.SHARDS))
        with pytest.raises(KeyboardInterrupt):
            only_captions(dataset)

    reports = only_captions(dataset)

    assert {report["written"] for report in reports.values()} == {0}
    assert tars(dataset) == before
    assert indexes(dataset).keys() == {name.replace(".tar", ".parquet") for name in before}


def dying_at(method: Callable[..., Any], chosen: Callable[..., bool]) -> Callable[..., Any]:
    """Return a method that dies, as Ctrl-C would have it, where its object is the chosen one."""

    def die(self: Any, *args: Any, **options: Any) -> Any:
        if chosen(self):
            raise KeyboardInterrupt
        return method(self, *args, **options)

    return die


def test_nothing_is_written_before_crops_and_selection(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        add_photo(built, "wide.jpg", (400, 72))
        scan_sources(dataset)
        assign_buckets(dataset)
        (key,) = (key for key in partition_keys(dataset) if "p2048x512" in key)

        with pytest.raises(OrderError, match="resized_crops"):
            write_shards(dataset, [key])[key]


def test_crops_and_selection_of_different_plans_are_refused(dataset: Dataset, built: Path) -> None:
    add_photo(built, "new.jpg", seed=99)
    before = tars(dataset)

    with pytest.raises(OrderError, match=r"resized_crops of p1216x832_000002-000003 is stale \(changed: images\)"):
        only_captions(dataset)

    assert tars(dataset) == before


def test_a_damaged_file_of_crops_stops_the_run_and_loses_no_other_tar(dataset: Dataset) -> None:
    keys = partition_keys(dataset)
    crops = on_disk(dataset.layout.crops(WIDE, 2))
    data = bytearray(crops.read_bytes())
    data[len(data) // 2] ^= 0xFF
    crops.write_bytes(data)
    before = contents(dataset)

    with pytest.raises(DamagedError, match=r"crops/p1216x832/shard-000002\.parquet was damaged and has been removed"):
        write_shards(dataset, keys, force=True)

    make_crops(dataset, keys)
    outcomes = write_shards(dataset, keys)

    assert list(outcomes) == keys
    assert contents(dataset) == before
    assert all(outcome.reused for outcome in write_shards(dataset, keys).values())


def test_tars_of_many_partitions_are_those_of_one_after_the_other(dataset: Dataset) -> None:
    keys = partition_keys(dataset)
    whole = {key: outcome.state.output for key, outcome in write_shards(dataset, keys).items()}
    progress = Count()

    outcomes = write_shards(dataset, keys, force=True, progress=progress)

    assert {key: outcome.state.output for key, outcome in outcomes.items()} == whole
    assert not any(outcome.reused for outcome in outcomes.values())
    assert progress.done == progress.total == len(tars(dataset))
