import shutil
from pathlib import Path

import dagster as dg
import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.defs.build import open_instance, run_build
from dataset_assets.defs.chunks import split_stale
from dataset_assets.defs.partitions import list_partitions
from dataset_assets.errors import DatasetError
from dataset_assets.freshness import Verdict
from dataset_assets.progress import Silence
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets.storage.layout import Layout
from dataset_assets_tests.commands import artifacts
from dataset_assets_tests.datasets import LANDSCAPE, add_photo, add_photos, on_disk, settings_in
from dataset_assets_tests.gallery.written import name_data
from dataset_assets_tests.runs import CAPTIONS, INDEX, PARTITIONED, find_stale, instance_in, materialize


@pytest.fixture(scope="module")
def _once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    add_photos(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        run_build(settings_in(folder), Silence())
    return folder


@pytest.fixture
def folder(_once: Path, tmp_path: Path) -> Path:
    """A folder with twenty photos that `run_build` built, for the test alone."""
    return Path(shutil.copytree(_once, tmp_path / "built"))


def history(settings: Settings) -> list[tuple[set[str], set[str]]]:
    """Return stages and partitions of every run that succeeded in the dataset's instance, the oldest first."""
    with open_instance(Layout(settings.root)) as instance:
        runs = reversed(instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])))
        return [
            (
                {key.to_user_string() for key in run.asset_selection or ()},
                {
                    str(event.partition)
                    for record in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
                    if (event := record.get_dagster_event()).partition and event.asset_key != dg.AssetKey("shard_plans")
                },
            )
            for run in runs
        ]


def stale(settings: Settings) -> set[tuple[str, str]]:
    with open_dataset(settings) as dataset:
        return {key for key, verdict in judge_all(dataset).items() if not verdict.fresh}


def test_a_build_is_three_kinds_of_runs_in_the_datasets_instance(folder: Path) -> None:
    settings = settings_in(folder)

    index, partitions, release = history(settings)

    assert index == (set(INDEX), set())
    assert partitions[0] == {*PARTITIONED} - {Stage.SHARD_PLANS}
    assert len(partitions[1]) == 4
    assert release[0] == {Stage.MANIFEST, Stage.DATASET_CARD}
    assert stale(settings) == set()
    with open_instance(Layout(settings.root)) as instance:
        assert find_stale(settings, instance) == set()


def test_a_gallery_is_made_in_the_release_and_refreshed_where_what_it_shows_changed(folder: Path) -> None:
    settings = settings_in(folder, gallery={"enabled": True})
    runs = history(settings)

    run_build(settings, Silence())
    assert history(settings)[len(runs) + 1 :] == [({Stage.MANIFEST, Stage.DATASET_CARD, Stage.GALLERY}, set())]
    assert stale(settings) == set()
    before = artifacts(on_disk(settings.root / "gallery"))
    run_build(settings, Silence())
    assert artifacts(on_disk(settings.root / "gallery")) == before
    add_photo(folder, "one more.jpg", LANDSCAPE, seed=77)
    run_build(settings, Silence())

    after = artifacts(on_disk(settings.root / "gallery"))
    changed = {name for name in after if after[name] != before.get(name)}
    written = {name for name in changed if not name.startswith("pictures/")}
    assert name_data(written) == {"overview", "samples-001", "index.html"}
    assert len(changed) == 6
    assert stale(settings) == set()
    with open_instance(Layout(settings.root)) as instance:
        assert find_stale(settings, instance) == set()


def test_with_nothing_to_do_only_the_sources_are_looked_at(folder: Path) -> None:
    settings = settings_in(folder)
    before, runs = artifacts(on_disk(settings.root)), history(settings)

    run_build(settings, Silence())

    assert artifacts(on_disk(settings.root)) == before
    assert history(settings) == [*runs, (set(INDEX), set())]
    with open_instance(Layout(settings.root)) as instance:
        assert len(list_partitions(instance)) == 4
        assert find_stale(settings, instance) == set()


def test_after_one_photo_only_its_partition_runs(folder: Path) -> None:
    settings = settings_in(folder)
    before, runs = artifacts(on_disk(settings.root)), history(settings)
    add_photo(folder, "one more.jpg", LANDSCAPE, seed=77)

    run_build(settings, Silence())

    key = "p1216x832_000002-000003"
    assert [partitions for _, partitions in history(settings)[len(runs) :]] == [set(), {key}, set()]
    after = artifacts(on_disk(settings.root))
    assert {name for name in after if after[name] != before.get(name)} == {
        f"plans/{key}.parquet",
        "crops/p1216x832/shard-000002.parquet",
        f"selection/{key}.parquet",
        "index/p1216x832/shard-000002.parquet",
        "export/buckets/p1216x832/shard-000002.tar",
        "export/samples.parquet",
        *(f"export/charts/{name}.png" for name in ("buckets", "captions", "kept", "sizes")),
        "export/manifest.json",
        "export/README.md",
    }
    assert stale(settings) == set()


def test_partitions_that_are_no_neighbours_run_alone(folder: Path) -> None:
    settings = settings_in(folder)
    runs = history(settings)
    with open_instance(Layout(settings.root)) as instance:
        first, second, third, _ = list_partitions(instance)
    for key in (first, third):
        (on_disk(settings.root / "selection" / f"{key}.parquet")).unlink()

    run_build(settings, Silence())

    assert [partitions for _, partitions in history(settings)[len(runs) :]] == [set(), {first}, {third}]
    assert second not in {key for _, key in stale(settings)}
    assert stale(settings) == set()


def test_after_a_tar_was_lost_only_tars_run(folder: Path) -> None:
    settings = settings_in(folder)
    run_build(settings, Silence())  # nothing to do: the partitions stay registered
    runs = history(settings)
    tar = Layout(settings.root).tar("p1216x832", 1)
    whole = tar.read_bytes()
    on_disk(tar).unlink()

    run_build(settings, Silence())

    assert tar.read_bytes() == whole
    assert history(settings)[len(runs) :][1] == ({Stage.SHARDS}, {"p1216x832_000000-000001"})
    assert stale(settings) == set()


def test_a_changed_setting_runs_what_it_shapes(folder: Path) -> None:
    settings = settings_in(folder, captions={"missing_caption_policy": "drop"})
    runs = history(settings)

    run_build(settings, Silence())

    assert [stages for stages, _ in history(settings)[len(runs) :]] == [
        set(INDEX), {Stage.SHARDS}, {Stage.MANIFEST, Stage.DATASET_CARD},
    ]  # fmt: skip
    assert stale(settings) == set()


def test_without_its_instance_a_dataset_is_still_repaired(folder: Path) -> None:
    settings = settings_in(folder)
    shutil.rmtree(on_disk(settings.root / ".dagster"))
    on_disk(Layout(settings.root).tar("p1216x832", 1)).unlink()

    run_build(settings, Silence())

    assert stale(settings) == set()
    with open_instance(Layout(settings.root)) as instance:
        assert len(list_partitions(instance)) == 4


def test_dagster_home_is_where_the_runs_are(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(folder)
    before = len(history(settings))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "mine"))

    run_build(settings, Silence())

    assert len(history(settings)) == 1
    monkeypatch.delenv("DAGSTER_HOME")
    assert len(history(settings)) == before


def test_a_file_that_can_be_read_again_is_exported_in_one_build(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    photos = add_photos(tmp_path, 4)
    with instance_in(on_disk(settings.root / ".dagster")) as instance:
        materialize(settings, instance, *INDEX)
        away = photos[0].rename(tmp_path / "away")  # as on a network drive that fails for a moment
        keys = list_partitions(instance)
        assert materialize(settings, instance, *PARTITIONED[1:], keys=keys).success
    assert {stage for stage, _ in stale(settings)} >= {Stage.RESIZED_CROPS}
    away.rename(photos[0])

    run_build(settings, Silence())

    assert stale(settings) == set()
    with open_dataset(settings) as dataset:
        assert len(list(on_disk(dataset.layout.export).rglob("*.tar"))) == 3


def test_a_failed_check_is_the_builds_failure_and_the_next_one_mends_it(folder: Path) -> None:
    settings = settings_in(folder)
    (on_disk(settings.root / "export" / "notes.txt")).touch()
    add_photo(folder, "one more.jpg", LANDSCAPE, seed=77)

    with pytest.raises(DatasetError, match=r"^check export_complete of manifest failed: notes\.txt: "):
        run_build(settings, Silence())
    (on_disk(settings.root / "export" / "notes.txt")).unlink()
    run_build(settings, Silence())

    assert stale(settings) == set()


def test_what_a_killed_build_left_half_written_is_removed(folder: Path) -> None:
    left = folder / "out" / "crops" / "p1216x832" / ".shard-000000.parquet.4711.writing"
    left.write_bytes(b"half")

    run_build(settings_in(folder), Silence())

    assert not left.exists()


def verdicts_of(keys: list[str], stages: list[str], stale: set[tuple[str, str]]) -> dict[tuple[str, str], Verdict]:
    return {
        (stage, key): Verdict("stale", "x") if (stage, key) in stale else Verdict("fresh")
        for stage in stages
        for key in keys
    }


@pytest.mark.parametrize(
    ("stage", "run"),
    [
        (Stage.SHARD_PLANS, {Stage.SHARD_PLANS, Stage.RESIZED_CROPS, CAPTIONS, Stage.CAPTION_SELECTION, Stage.SHARDS}),
        (Stage.RESIZED_CROPS, {Stage.RESIZED_CROPS, Stage.CAPTION_SELECTION, Stage.SHARDS}),
        (CAPTIONS, {CAPTIONS, Stage.CAPTION_SELECTION, Stage.SHARDS}),
        (Stage.SHARDS_INTACT, {Stage.SHARDS}),
    ],
)
def test_a_stage_is_run_with_what_is_below_it(stage: str, run: set[str]) -> None:
    verdicts = verdicts_of(["a", "b"], [*PARTITIONED, Stage.SHARDS_INTACT], {(stage, "b")})

    (chunk,) = split_stale(settings_in(Path("/nowhere")), ["a", "b"], verdicts)

    assert chunk.keys == ("b",)
    assert set(chunk.stages) == run


def test_neighbours_run_together_but_not_too_many() -> None:
    keys = [f"{number:03d}" for number in range(50)]
    wanted = [key for key in keys if key not in ("003", "040")]
    verdicts = verdicts_of(keys, list(PARTITIONED), {(Stage.SHARDS, key) for key in wanted})

    chunks = [list(chunk.keys) for chunk in split_stale(settings_in(Path("/nowhere")), keys, verdicts)]
    few = settings_in(Path("/nowhere"), automation={"partitions_per_run": 3})

    assert [key for chunk in chunks for key in chunk] == wanted
    assert max(map(len, chunks)) == 16
    assert max(len(chunk.keys) for chunk in split_stale(few, keys, verdicts)) == 3
    for chunk in chunks:
        assert chunk == keys[keys.index(chunk[0]) : keys.index(chunk[-1]) + 1]


def test_nothing_stale_no_run() -> None:
    assert list(split_stale(settings_in(Path("/nowhere")), ["a"], verdicts_of(["a"], list(PARTITIONED), set()))) == []
