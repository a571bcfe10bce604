from pathlib import Path

import pytest

from dataset_assets.catalog.state import void_state
from dataset_assets.dataset import open_dataset
from dataset_assets.defs.whole import load_made
from dataset_assets.errors import OrderError
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import partition_keys, settings_in


def test_all_partitions_count_but_those_that_are_to_be_made_again(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        first, *rest = partition_keys(dataset)
        assert list(load_made(dataset, Stage.SHARDS)) == [first, *rest]
        with dataset.catalog.writing() as connection:
            void_state(connection, Stage.SHARDS, first)

        assert list(load_made(dataset, Stage.SHARDS)) == rest


def test_of_a_stage_that_made_none_it_is_said(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset, pytest.raises(OrderError, match="captions/x has not been made"):
        load_made(dataset, "captions/x")
