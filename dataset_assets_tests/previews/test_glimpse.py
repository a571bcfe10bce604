import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_assets.catalog.state import load_pieces
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.images.near import find_near_duplicates
from dataset_assets.previews.glimpse import CROPS, show_crops, show_groups, show_samples
from dataset_assets.previews.strip import Strip
from dataset_assets.records import sample_key
from dataset_assets.shards.tar import TarReader
from dataset_assets.stages import Stage
from dataset_assets.storage.parquet import read_table
from dataset_assets_tests import children
from dataset_assets_tests.datasets import LANDSCAPE, SQUARE, add_photo, add_photos, build_library, settings_in

WIDE = "p1216x832_000000-000001"  # two shards of four
TORCH = """
import sys
from pathlib import Path
from dataset_assets.dataset import open_dataset
from dataset_assets.previews.glimpse import show_crops, show_samples
from dataset_assets_tests.datasets import settings_in
with open_dataset(settings_in(Path(sys.argv[1]))) as dataset:
    print(bool(show_crops(dataset, sys.argv[2])), bool(show_samples(dataset, sys.argv[2])), "torch" in sys.modules)
"""
MANY = {"shard_size": 4, "shards_per_partition": 16}
ONLY = "p1024x1024_000000-000015"
Show = Callable[[Dataset, str], Strip | None]


def names_of(strip: Strip | None) -> list[str]:
    return [tile.image_id for band in strip.bands for tile in band.tiles] if strip else []


@pytest.fixture(scope="module")
def _many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for seed in range(40):
        caption = {0: "a <b>cat</b>", 1: "", 2: "猫"}.get(seed % 4)
        add_photo(folder, f"{seed:02d}.jpg", SQUARE, seed=seed, caption=caption)
    with open_dataset(settings_in(folder, shards=MANY)) as dataset:
        build_library(dataset)
    return folder


@pytest.fixture
def many(_many: Path, tmp_path: Path) -> Path:
    """A dataset of forty squares in ten shards of one partition."""
    return Path(shutil.copytree(_many, tmp_path / "many"))


@pytest.mark.parametrize("show", [show_crops, show_samples])
def test_eight_stand_for_a_partition_from_shards_spread_over_it(many: Path, show: Show) -> None:
    with open_dataset(settings_in(many, shards=MANY)) as dataset:
        strip, again = show(dataset, ONLY), show(dataset, ONLY)
        with dataset.catalog.reading() as connection:
            paths = [piece.path for piece in load_pieces(connection, Stage.RESIZED_CROPS, ONLY)]
        shards = [read_table(dataset.layout.root / path, ["image_id"])["image_id"].to_pylist() for path in paths]

    assert len(shards) == 10
    first = [min(shards[number], key=sample_key) for number in (0, 1, 2, 3, 5, 6, 7, 8)]
    assert names_of(strip) == first
    assert strip == again


@pytest.mark.parametrize(("show", "noun"), [(show_crops, "crop"), (show_samples, "sample")])
def test_a_strip_says_what_it_is_of(built: Path, show: Show, noun: str) -> None:
    with open_dataset(settings_in(built)) as dataset:
        strip = show(dataset, WIDE)

    assert strip is not None
    (band,) = strip.bands
    assert (band.title, band.facts) == ("p1216x832", f"72 x 48   ·   8 {noun}s")
    assert len(band.tiles) == CROPS


def test_samples_have_the_bytes_and_captions_that_are_in_the_tars(many: Path) -> None:
    with open_dataset(settings_in(many, shards=MANY)) as dataset:
        strip = show_samples(dataset, ONLY)
        tars = sorted(Path(str(dataset.layout.export)).rglob("*.tar"))
    members: dict[str, bytes] = {}
    for tar in tars:
        with tar.open("rb") as file:
            members |= {member.name: member.data for member in TarReader(file)}

    assert strip is not None
    for tile in strip.bands[0].tiles:
        key = sample_key(tile.image_id)
        assert tile.jpeg == members[f"{key}.jpg"]
        assert tile.caption == members[f"{key}.txt"].decode().removesuffix("\n")
        assert tile.variant == ("caption_sidecar" if tile.caption else "")
    assert {tile.caption for tile in strip.bands[0].tiles} >= {"", "a <b>cat</b>"}


def test_crops_have_no_captions(built: Path) -> None:
    with open_dataset(settings_in(built)) as dataset:
        strip = show_crops(dataset, WIDE)

    assert strip is not None
    assert {tile.caption for tile in strip.bands[0].tiles} == {None}


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-100])])
def test_a_shard_that_cannot_be_read_is_left_out(many: Path, damage: Callable[[Path], object]) -> None:
    layout = many / "out"
    with open_dataset(settings_in(many, shards=MANY)) as dataset:
        crops, samples = show_crops(dataset, ONLY), show_samples(dataset, ONLY)
        damage(layout / "crops" / "p1024x1024" / "shard-000000.parquet")
        damage(layout / "index" / "p1024x1024" / "shard-000000.parquet")
        damage(layout / "export" / "buckets" / "p1024x1024" / "shard-000001.tar")

        assert names_of(show_crops(dataset, ONLY)) == names_of(crops)[1:]
        assert set(names_of(show_samples(dataset, ONLY))) >= set(names_of(samples)[2:])
        assert names_of(samples)[0] not in names_of(show_samples(dataset, ONLY))


def test_a_partition_without_a_crop_has_no_strip(tmp_path: Path) -> None:
    for seed in range(3):
        photo = add_photo(tmp_path, f"{seed}.jpg", LANDSCAPE, seed=seed)
        photo.write_bytes(photo.read_bytes()[:-100])  # whose header is sound
    add_photo(tmp_path, "good.jpg", SQUARE)
    with open_dataset(settings_in(tmp_path)) as dataset:
        build_library(dataset)

        assert show_crops(dataset, WIDE) is None
        assert show_samples(dataset, WIDE) is None


def test_torch_is_not_needed(built: Path) -> None:
    assert children.run(TORCH, built, WIDE) == "True True False"


def test_the_largest_groups_stand_side_by_side(tmp_path: Path) -> None:
    add_photos(tmp_path, 12)
    for scale in (2, 3, 4, 5):
        add_photo(tmp_path, f"larger {scale}.jpg", (LANDSCAPE[0] * scale, LANDSCAPE[1] * scale), seed=0)
    add_photo(tmp_path, "twin.jpg", (144, 208), seed=1)
    with open_dataset(settings_in(tmp_path, duplicates={"near": True})) as dataset:
        assert show_groups(dataset) is None
        build_library(dataset)
        find_near_duplicates(dataset)
        found = read_table(dataset.layout.near_duplicates, ["group_id", "image_id"]).to_pylist()

        strip = show_groups(dataset)

    assert strip is not None
    sizes = [sum(row["group_id"] == number for row in found) for number in (1, 2)]
    assert [(band.title, band.facts) for band in strip.bands] == [
        (f"group {number}", f"{size} images") for number, size in enumerate(sizes, 1)
    ]
    assert names_of(strip) == [row["image_id"] for row in [*found[:4], *found[sizes[0] :]]]


def test_without_groups_there_is_no_strip(tmp_path: Path) -> None:
    add_photos(tmp_path, 3)
    with open_dataset(settings_in(tmp_path, duplicates={"near": True})) as dataset:
        build_library(dataset)
        find_near_duplicates(dataset)

        assert show_groups(dataset) is None
