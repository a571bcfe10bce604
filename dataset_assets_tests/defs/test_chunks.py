from pathlib import Path

from dataset_assets.defs.chunks import Chunk, split_stale
from dataset_assets.freshness import FRESH, Verdict
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage, partition_stages
from dataset_assets_tests.datasets import settings_in

ORDER = ["a", "b", "c", "d", "e"]
STALE = Verdict("stale", "changed: settings")


def at_most(count: int) -> Settings:
    """Return settings with which a run has so many partitions."""
    return settings_in(Path("/nowhere"), automation={"partitions_per_run": count})


def split(settings: Settings, **stale: str) -> list[Chunk]:
    """Return the runs where this stage of each of these partitions is stale, and every other one is fresh."""
    verdicts = {
        (stage, key): STALE if stale.get(key) == stage else FRESH
        for stage in partition_stages(settings)
        for key in ORDER
    }
    return list(split_stale(settings, ORDER, {(Stage.MANIFEST, ""): STALE, **verdicts}))


def test_neighbours_go_together_and_no_others() -> None:
    shards = Stage.SHARDS

    chunks = split(at_most(8), a=shards, b=shards, d=shards)

    assert [chunk.keys for chunk in chunks] == [("a", "b"), ("d",)]


def test_a_run_has_no_more_partitions_than_the_settings_say() -> None:
    chunks = split(at_most(2), **dict.fromkeys(ORDER, Stage.SHARDS))

    assert [chunk.keys for chunk in chunks] == [("a", "b"), ("c", "d"), ("e",)]


def test_what_is_below_a_stage_is_run_with_it() -> None:
    (chunk,) = split(at_most(8), b=Stage.CAPTION_SELECTION)

    assert chunk == Chunk(("b",), (Stage.CAPTION_SELECTION, Stage.SHARDS))


def test_a_run_has_the_stages_of_all_its_partitions() -> None:
    (chunk,) = split(at_most(8), b=Stage.SHARDS, c=Stage.CAPTION_SELECTION)

    assert chunk.stages == (Stage.CAPTION_SELECTION, Stage.SHARDS)


def test_tars_that_were_not_read_again_are_written_again() -> None:
    (chunk,) = split(at_most(8), e=Stage.SHARDS_INTACT)

    assert chunk == Chunk(("e",), (Stage.SHARDS,))


def test_where_everything_is_fresh_there_is_no_run() -> None:
    assert split(at_most(8)) == []


def test_partitions_that_are_not_registered_wait() -> None:
    settings = at_most(8)

    assert list(split_stale(settings, ["a"], {(Stage.SHARDS, "z"): STALE})) == []


def test_one_partition_is_a_key_and_several_are_a_range() -> None:
    one, several = Chunk(("a",), ()), Chunk(("a", "b", "c"), ())

    assert (one.partition_key, one.tags) == ("a", {})
    assert several.partition_key is None
    assert several.tags == {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
