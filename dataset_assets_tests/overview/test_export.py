from pathlib import Path

from dataset_assets.catalog.state import load_pieces
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.overview.captions import count_selected, measure_lengths
from dataset_assets.overview.export import Contents, measure_contents
from dataset_assets.overview.images import measure_kept, measure_sizes
from dataset_assets.release.manifest import load_manifest
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import TINY, add_photo, build_library, settings_in


def contents_of(dataset: Dataset) -> Contents:
    with dataset.catalog.reading() as connection:
        tars = [piece for piece in load_pieces(connection, Stage.SHARDS) if piece.path]
    return measure_contents(dataset, tars)


def test_the_contents_are_what_the_manifest_and_the_catalog_say(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        contents = contents_of(dataset)
        buckets = load_manifest(dataset.layout.manifest)["buckets"]
        assert isinstance(buckets, dict)

        assert contents.buckets == {name: bucket["count"] for name, bucket in buckets.items()}
        assert contents.selected == count_selected(dataset)
        assert contents.lengths == measure_lengths(dataset)
        assert contents.sizes == measure_sizes(dataset)  # every usable image is in the export
        assert contents.kept == measure_kept(dataset)


def test_what_is_left_out_is_not_in_the_contents(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        before = contents_of(dataset)
    add_photo(built, "tiny.jpg", TINY, caption="too small")
    with open_dataset(settings_in(built)) as dataset:
        build_library(dataset)

        assert contents_of(dataset) == before
        assert sum(map(sum, measure_sizes(dataset).counts)) == 21


def test_of_no_tars_the_contents_are_empty(tmp_path: Path) -> None:
    with open_dataset(settings_in(tmp_path)) as dataset:
        contents = contents_of(dataset)

    assert (contents.buckets, contents.selected) == ({}, {})
    assert sum(contents.kept.counts) == 0
    assert contents.sizes.counts == ()
    assert contents.lengths.counts == ()
