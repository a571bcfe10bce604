from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dataset_assets.buckets.protos import list_buckets
from dataset_assets.catalog.images import insert_images, known_images
from dataset_assets.catalog.slots import take_slots
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.images.geometry import cover_size
from dataset_assets.overview.images import SHARES, Measured, bin_kept, bin_sizes, has_crops, measure_kept, measure_sizes
from dataset_assets.settings import Settings
from dataset_assets_tests.catalog.rows import image
from dataset_assets_tests.datasets import settings_in

WIDE, SQUARE = "p1216x832", "p1024x1024"  # 72×48 and 64×64 at the base of the tests


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(tmp_path)) as opened:
        yield opened


def add(dataset: Dataset, *sizes: tuple[int, int], bucket_id: str = "", **facts: object) -> None:
    """Add images of these sizes, and seat them where a bucket is given."""
    names = [f"{bucket_id} {facts} {place}" for place, _ in enumerate(sizes)]
    rows = [image(name, width=w, height=h, **facts) for name, (w, h) in zip(names, sizes, strict=True)]
    with dataset.catalog.writing() as connection:
        insert_images(connection, rows)
        known = known_images(connection).to_pydict()
        ids = dict(zip(known["uri"], known["id"], strict=True))
        if bucket_id:
            seats = [{"image": ids[name], "bucket_id": bucket_id, "slot": slot} for slot, name in enumerate(names)]
            take_slots(connection, seats, {bucket_id: len(seats)})


def measured(*sizes: tuple[int, int]) -> Measured:
    sides = np.array(sizes, np.int64).reshape(-1, 2)
    return Measured(widths=sides[:, 0], heights=sides[:, 1], images=np.ones(len(sides), np.int64))


def test_only_usable_images_have_a_size(dataset: Dataset) -> None:
    add(dataset, (100, 50), (100, 50), (400, 200))
    add(dataset, (0, 0), reason="decode_errors")
    add(dataset, (9000, 9000), removed=True)

    sizes = measure_sizes(dataset)

    assert (sizes.width_edges[0], sizes.width_edges[-1]) == (100, 400)
    assert (sizes.height_edges[0], sizes.height_edges[-1]) == (50, 200)
    assert sizes.counts[0][0] == 2
    assert sizes.counts[-1][-1] == 1
    assert sum(map(sum, sizes.counts)) == 3
    assert {len(row) for row in sizes.counts} == {len(sizes.width_edges) - 1}
    assert len(sizes.counts) == len(sizes.height_edges) - 1


def test_the_targets_are_the_buckets_in_use_the_largest_first(dataset: Dataset) -> None:
    add(dataset, (100, 100), bucket_id=SQUARE)
    add(dataset, (100, 80), (110, 80), bucket_id=WIDE)
    add(dataset, (100, 80), bucket_id="p1x1")  # which the settings do not have

    assert measure_sizes(dataset).targets == ((72, 48, 2), (64, 64, 1))


def test_one_image_has_one_bin(dataset: Dataset) -> None:
    add(dataset, (640, 480))

    assert measure_sizes(dataset).counts == ((1,),)


def test_without_images_there_are_no_bins(dataset: Dataset) -> None:
    sizes, kept = measure_sizes(dataset), measure_kept(dataset)

    assert (sizes.width_edges, sizes.height_edges, sizes.counts, sizes.targets) == ((), (), (), ())
    assert len(kept.edges) == SHARES + 1
    assert set(kept.counts) == {0}


def test_many_sizes_are_put_into_few_bins() -> None:
    rng = np.random.default_rng(3)
    sides = np.exp(rng.normal(7, 0.5, (100_000, 2))).astype(np.int64) + 1

    sizes = bin_sizes(Measured(widths=sides[:, 0], heights=sides[:, 1], images=np.full(100_000, 2)), ())

    assert (len(sizes.counts), len(sizes.counts[0])) == (24, 24)
    assert sum(map(sum, sizes.counts)) == 200_000


def test_the_share_is_of_the_upright_source(dataset: Dataset) -> None:
    add(dataset, (64, 64), (640, 640), bucket_id=SQUARE)  # all of it
    add(dataset, (72, 96), (1440, 1920), bucket_id=WIDE)  # half
    add(dataset, (100, 100), bucket_id="p1x1")

    kept = measure_kept(dataset)

    assert {kept.edges[place]: count for place, count in enumerate(kept.counts) if count} == {0.5: 2, 0.95: 2}


def test_each_share_is_that_of_the_crop_that_is_made() -> None:
    settings: Settings = settings_in(Path(), buckets={"base_resolutions": [512], "divisible": 32})
    rng = np.random.default_rng(5)
    for bucket in list_buckets(settings.buckets):
        width, height = bucket.target
        sizes = [(int(w), int(h)) for w, h in rng.integers((width, height), (width * 3, height * 3), (20, 2))]
        expected = [0] * SHARES
        for size in sizes:
            across, down = cover_size(size, bucket.target)
            expected[min(SHARES - 1, SHARES * width * height // (across * down))] += 1

        assert bin_kept(measured(*sizes), np.full((20, 2), bucket.target)).counts == tuple(expected)


def test_files_that_are_passed_through_have_no_crops(tmp_path: Path) -> None:
    assert has_crops(settings_in(tmp_path))
    assert not has_crops(settings_in(tmp_path, images={"mode": "passthrough_jpeg"}))
