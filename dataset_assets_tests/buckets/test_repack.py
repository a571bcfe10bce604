from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_assets.buckets.repack import Repacked, repack_buckets
from dataset_assets.catalog.slots import next_slots, seated_images
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import StorageError
from dataset_assets.progress import Silence
from dataset_assets.shards.tar import TarReader
from dataset_assets.shards.verify import verify
from dataset_assets.stages import Stage
from dataset_assets_tests.datasets import Built, add_photo, build_library, on_disk, settings_in


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    """A bucket of 18 photos in shards of 4, some of which are gone since."""
    for seed in range(18):
        add_photo(tmp_path, f"{seed:02d}.jpg", seed=seed, caption=f"photo {seed}")
    with open_dataset(settings_in(tmp_path)) as dataset:
        build_library(dataset)
        for name in names(dataset)[:6]:
            (tmp_path / "raw" / name).unlink()
        (tmp_path / "raw" / names(dataset)[9]).unlink()
        yield dataset


def names(dataset: Dataset) -> list[str]:
    """Return the images in the order of their slots."""
    with dataset.catalog.reading() as connection:
        return [str(name) for name in seated_images(connection)["image_id"].to_pylist()]


def slots(dataset: Dataset) -> list[int]:
    with dataset.catalog.reading() as connection:
        return [int(slot) for slot in seated_images(connection)["slot"].to_pylist()]


def members(dataset: Dataset) -> dict[str, bytes]:
    """Return every member of every tar, by name."""
    found: dict[str, bytes] = {}
    for path in sorted(on_disk(dataset.layout.export).rglob("*.tar")):
        with path.open("rb") as file:
            found |= {member.name: member.data for member in TarReader(file)}
    return found


def encoded(built: Built) -> int:
    crops = (outcome for (stage, _), outcome in built.partitions.items() if stage == Stage.RESIZED_CROPS)
    return sum(outcome.report["encoded"] for outcome in crops if not outcome.reused)


def test_gaps_are_closed_and_nothing_is_encoded(dataset: Dataset) -> None:
    build_library(dataset)
    before, order = members(dataset), names(dataset)
    assert slots(dataset) != list(range(11))

    (done,) = repack_buckets(dataset)
    built = build_library(dataset)

    assert done == Repacked(bucket_id=done.bucket_id, images=11, moved=11, shards_before=5, shards_after=3)
    assert slots(dataset) == list(range(11))
    assert names(dataset) == order
    assert encoded(built) == 0
    assert members(dataset) == before
    assert [path.name for path in sorted(on_disk(dataset.layout.export).rglob("*.tar"))] == [
        f"shard-{number:06d}.tar" for number in range(3)
    ]
    assert verify(dataset.layout.export, workers=1, progress=Silence()).ok


def test_a_new_image_takes_the_slot_after_the_last(dataset: Dataset, tmp_path: Path) -> None:
    build_library(dataset)
    repack_buckets(dataset)
    add_photo(tmp_path, "late.jpg", seed=99)

    build_library(dataset)

    assert slots(dataset) == list(range(12))
    assert names(dataset)[-1] == "late.jpg"


def test_without_gaps_nothing_is_done(dataset: Dataset) -> None:
    build_library(dataset)
    repack_buckets(dataset)
    build_library(dataset)

    assert repack_buckets(dataset) == []
    assert build_library(dataset).remade == set()


def test_shards_before_the_first_gap_are_left_alone(tmp_path: Path) -> None:
    for seed in range(12):
        add_photo(tmp_path, f"{seed:02d}.jpg", seed=seed)
    with open_dataset(settings_in(tmp_path)) as dataset:
        build_library(dataset)
        first, *_ = sorted(on_disk(dataset.layout.export).rglob("*.tar"))
        stamp = first.stat().st_mtime_ns
        (tmp_path / "raw" / names(dataset)[5]).unlink()
        build_library(dataset)

        (done,) = repack_buckets(dataset)
        built = build_library(dataset)

        assert done.moved == 6
        assert first.stat().st_mtime_ns == stamp
        assert encoded(built) == 0


def test_rejected_images_go_to_the_end(tmp_path: Path) -> None:
    for seed in range(10):
        add_photo(tmp_path, f"{seed:02d}.jpg", seed=seed)
    with open_dataset(settings_in(tmp_path)) as dataset:
        build_library(dataset)
        broken = names(dataset)[2]
        path = tmp_path / "raw" / broken
        path.write_bytes(path.read_bytes()[:-40])  # its header is whole, its pixels are not
        build_library(dataset)

        repack_buckets(dataset)
        built = build_library(dataset)

        assert names(dataset)[-1] == broken
        assert built.manifest.report["summary"]["decode_errors"] == 1
        assert encoded(built) == 0
        assert verify(dataset.layout.export, workers=1, progress=Silence()).ok


def test_an_interrupted_repacking_is_repeated(dataset: Dataset) -> None:
    build_library(dataset)
    before = members(dataset)
    with dataset.catalog.reading() as connection:
        (bucket_id,) = next_slots(connection)
    obstacle = on_disk(dataset.layout.crops(bucket_id, 1))
    aside = obstacle.rename(obstacle.with_suffix(".aside"))
    obstacle.mkdir()
    with pytest.raises(StorageError):
        repack_buckets(dataset)
    obstacle.rmdir()
    aside.rename(obstacle)

    repack_buckets(dataset)
    built = build_library(dataset)

    assert encoded(built) == 0
    assert members(dataset) == before
    assert slots(dataset) == list(range(11))


def test_a_build_after_an_interrupted_repacking_is_whole(dataset: Dataset) -> None:
    build_library(dataset)
    before = members(dataset)
    with dataset.catalog.reading() as connection:
        (bucket_id,) = next_slots(connection)
    obstacle = on_disk(dataset.layout.crops(bucket_id, 2))
    obstacle.unlink()
    obstacle.mkdir()
    with pytest.raises(StorageError):
        repack_buckets(dataset)
    obstacle.rmdir()

    build_library(dataset)

    assert members(dataset) == before
    assert verify(dataset.layout.export, workers=1, progress=Silence()).ok
