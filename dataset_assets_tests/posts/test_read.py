from pathlib import Path

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.errors import DamagedError, StorageError
from dataset_assets.posts.read import iter_tars, read_range
from dataset_assets_tests.posts.given import choose_all, post, settings_for, write_posts


def test_a_range_is_read_whole_or_by_columns(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(number, f"text {number}") for number in (11, 0, 1, 5)])
    with open_dataset(settings_for(tmp_path)) as dataset:
        choose_all(dataset)

        assert read_range(dataset, "00-01", ["id", "caption"]).to_pylist() == [
            {"id": 0, "caption": "text 0"},
            {"id": 1, "caption": "text 1"},
            {"id": 11, "caption": "text 11"},
        ]
        assert read_range(dataset, "00-01").column_names == [
            "id", "tar", "caption", "variant", "status", "file", "line", "text_tags",
        ]  # fmt: skip
        assert read_range(dataset, "02-03").num_rows == 0


def test_tars_come_one_at_a_time(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(number, f"text {number}") for number in range(40) if number % 10 != 3])
    with open_dataset(settings_for(tmp_path, tars_per_partition=10)) as dataset:
        choose_all(dataset)
        path = dataset.layout.record_captions("00-09")

        everything = [(tar, table["id"].to_pylist()) for tar, table in iter_tars(path)]
        some = [(tar, table.column_names, table["id"].to_pylist()) for tar, table in iter_tars(path, {2, 3, 9}, ["id"])]

    assert everything == [(tar, list(range(tar, 40, 10))) for tar in range(10) if tar != 3]
    assert some == [(2, ["id"], [2, 12, 22, 32]), (9, ["id"], [9, 19, 29, 39])]


def test_captions_that_are_not_there_are_said(tmp_path: Path) -> None:
    with open_dataset(settings_for(tmp_path)) as dataset:
        with pytest.raises(StorageError, match=r"cannot read .*00-01\.parquet: No such file"):
            read_range(dataset, "00-01")
        with pytest.raises(StorageError, match=r"cannot read .*00-01\.parquet: No such file"):
            list(iter_tars(dataset.layout.record_captions("00-01")))


def test_damaged_captions_are_made_again(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(1, "a")])
    with open_dataset(settings_for(tmp_path)) as dataset:
        rows = choose_all(dataset)
        path = dataset.layout.record_captions("00-01")
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(DamagedError, match="has been removed: build again"):
            read_range(dataset, "00-01")

        assert choose_all(dataset) == rows
