from pathlib import Path

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.errors import DamagedError, StorageError
from dataset_assets.posts.read import find_groups, iter_tars
from dataset_assets_tests.posts.given import choose_all, post, settings_for, write_posts
from dataset_assets_tests.trainer.chosen import write_chosen


def test_tars_come_one_at_a_time(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(number, f"text {number}") for number in range(40) if number % 10 != 3])
    with open_dataset(settings_for(tmp_path, tars_per_partition=10)) as dataset:
        choose_all(dataset)
        path = dataset.layout.record_captions("00-09")

        found = [(tar, table["id"].to_pylist()) for tar, table in iter_tars(path)]

    tars = [tar for tar in range(10) if tar != 3]
    assert found == [(tar, list(range(tar, 40, 10))) for tar in tars]
    assert find_groups(path) == {tar: [(place, 4)] for place, tar in enumerate(tars)}


def test_a_tar_may_have_several_row_groups(tmp_path: Path) -> None:
    groups = [[{"id": 3, "tar": 3}], [{"id": 13, "tar": 3}, {"id": 23, "tar": 3}], [{"id": 4, "tar": 4}]]
    write_chosen(tmp_path / "some.parquet", groups, [])

    assert find_groups(tmp_path / "some.parquet") == {3: [(0, 1), (1, 2)], 4: [(2, 1)]}
    assert [(tar, table["id"].to_pylist()) for tar, table in iter_tars(tmp_path / "some.parquet")] == [
        (3, [3, 13, 23]),
        (4, [4]),
    ]


def test_captions_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*some\.parquet: No such file"):
        list(iter_tars(tmp_path / "some.parquet"))


def test_captions_that_are_damaged_are_said(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    write_chosen(path, [[{"id": 3, "tar": 3, "caption": "the caption of three"}]], ["caption"])
    path.write_bytes(path.read_bytes().replace(b"caption of three", b"CAPTION of three"))
    with pytest.raises(DamagedError, match="is damaged"):
        list(iter_tars(path))

    write_chosen(path, [[{"id": 3, "tar": 3}, {"id": 4, "tar": 4}]], [])
    with pytest.raises(DamagedError, match="row group 0 is not of one tar"):
        find_groups(path)
