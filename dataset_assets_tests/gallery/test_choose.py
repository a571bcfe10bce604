from collections import defaultdict
from pathlib import Path

import pytest

from dataset_assets.catalog.state import Piece, load_pieces
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DamagedError, OrderError
from dataset_assets.gallery.choose import choose_samples, share_out
from dataset_assets.records import sample_key
from dataset_assets.shards.tar import TarReader
from dataset_assets.stages import Stage
from dataset_assets.storage.parquet import read_table
from dataset_assets_tests.gallery.written import opened


def list_tars(dataset: Dataset) -> list[Piece]:
    with dataset.catalog.reading() as connection:
        return load_pieces(connection, Stage.SHARDS)


def keys_by_bucket(dataset: Dataset) -> dict[str, list[str]]:
    keys = defaultdict(list)
    for row in read_table(dataset.layout.samples, ["bucket_id", "key"]).to_pylist():
        keys[row["bucket_id"]].append(row["key"])
    return {name: sorted(own) for name, own in keys.items()}


@pytest.mark.parametrize(
    ("counts", "limit", "shares"),
    [
        ({"a": 100, "b": 3, "c": 50}, 20, {"a": 9, "b": 3, "c": 8}),
        ({"a": 100, "b": 3, "c": 50}, 1000, {"a": 100, "b": 3, "c": 50}),
        ({"a": 2, "b": 2, "c": 2}, 2, {"a": 1, "b": 1, "c": 1}),
        ({"a": 5}, 4, {"a": 4}),
        ({}, 4, {}),
    ],
)
def test_every_bucket_gets_as_many_as_the_others_as_far_as_it_has_them(
    counts: dict[str, int], limit: int, shares: dict[str, int]
) -> None:
    assert share_out(counts, limit) == shares


def test_the_smallest_keys_of_each_bucket_are_shown(built: Path) -> None:
    with opened(built) as dataset:
        chosen = choose_samples(dataset, list_tars(dataset), 8)
        keys = keys_by_bucket(dataset)

    assert {name: len(own) for name, own in keys.items()} == {"p1024x1024": 5, "p1216x832": 10, "p832x1152": 5}
    assert [one.row["key"] for one in chosen] == [
        *keys["p1024x1024"][:2], *keys["p1216x832"][:3], *keys["p832x1152"][:3],
    ]  # fmt: skip


def test_of_a_small_dataset_all_are_shown(built: Path) -> None:
    with opened(built) as dataset:
        chosen = choose_samples(dataset, list_tars(dataset), 20)

        assert [one.row["key"] for one in chosen] == [key for own in keys_by_bucket(dataset).values() for key in own]


def test_a_sample_says_where_it_is_in_its_tar(built: Path) -> None:
    with opened(built) as dataset:
        chosen = choose_samples(dataset, list_tars(dataset), 20)
        assert len(chosen) == 20
        for one in chosen:
            with (dataset.layout.export / one.row["shard"]).open("rb") as file:
                names = [member.name for member in TarReader(file)]
            assert names[3 * one.number] == f"{one.row['key']}.jpg"


def test_samples_that_are_asked_for_come_in_addition_and_once(built: Path) -> None:
    with opened(built) as dataset:
        tars = list_tars(dataset)
        few = {one.row["key"] for one in choose_samples(dataset, tars, 3)}
        other = next(key for own in keys_by_bucket(dataset).values() for key in own if key not in few)
        more = [one.row["key"] for one in choose_samples(dataset, tars, 3, [other, min(few)])]

    assert sorted(more) == sorted({*few, other})


def test_a_key_that_the_export_does_not_have(built: Path) -> None:
    key = sample_key("nothing")

    with opened(built) as dataset, pytest.raises(OrderError, match=f"no sample with the key {key}"):
        choose_samples(dataset, list_tars(dataset), 3, [key])


def test_a_damaged_index_is_removed_so_that_it_is_made_again(built: Path) -> None:
    with opened(built) as dataset:
        index = built / "out" / "index" / "p1216x832" / "shard-000000.parquet"
        index.write_bytes(index.read_bytes()[:-9])

        with pytest.raises(DamagedError, match="build again"):
            choose_samples(dataset, list_tars(dataset), 3)

        assert not index.exists()
