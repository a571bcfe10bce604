from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from dataset_assets.dataset import Dataset
from dataset_assets.gallery.draw import Original
from dataset_assets.gallery.pictures import LARGE, ORIGIN, THUMB, Album, fit
from dataset_assets.gallery.records import Picture
from dataset_assets.progress import Silence
from dataset_assets_tests.gallery.written import opened
from dataset_assets_tests.photos import jpeg

SIZE = (800, 600)
DATA = jpeg(*SIZE)


def want(album: Album, data: bytes = DATA) -> tuple[Picture, ...]:
    return album.want(data, sha256(data).hexdigest(), SIZE, LARGE, THUMB)


def page_of(dataset: Dataset) -> Path:
    return dataset.settings.folder / "out" / "gallery"


def paths(dataset: Dataset) -> set[Path]:
    return set(page_of(dataset).rglob("*.jpg"))


@pytest.mark.parametrize(
    ("size", "side", "fitted"),
    [
        ((800, 600), 192, (192, 144)),
        ((600, 800), 192, (144, 192)),
        ((192, 10), 192, (192, 10)),
        ((10_000, 1), 192, (192, 1)),
        ((1001, 999), 100, (100, 100)),
    ],
)
def test_a_picture_has_a_longer_side_of_at_most_so_many_pixels(
    size: tuple[int, int], side: int, fitted: tuple[int, int]
) -> None:
    assert fit(size, side) == fitted


@pytest.mark.parametrize(
    ("content", "sizes", "drawn"),
    [
        (b"", {}, 1),
        (b"torn", {}, 0),  # nothing is known of it
        (b"torn", {"large": 4}, 0),
        (b"torn", {"large": 5}, 1),
        (b"torn", {"thumb": 1}, 1),
    ],
)
def test_a_picture_that_is_empty_or_not_as_it_was_written_is_made_again(
    tmp_path: Path, content: bytes, sizes: dict[str, int], drawn: int
) -> None:
    with opened(tmp_path) as dataset:
        album = Album(dataset, anew=False)
        large, thumb = want(album)
        album.draw(Silence())
        whole = (page_of(dataset) / large.path).read_bytes()
        (page_of(dataset) / large.path).write_bytes(content)

        names = {"large": large.path, "thumb": thumb.path}
        again = Album(dataset, anew=False, written={names[name]: size for name, size in sizes.items()})
        want(again)
        assert again.draw(Silence()) == drawn
        made = drawn and "thumb" not in sizes
        assert (page_of(dataset) / large.path).read_bytes() == (whole if made else content)


def test_a_picture_is_made_once(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset:
        album = Album(dataset, anew=False)
        large, thumb = want(album)
        assert want(album) == (large, thumb)
        assert album.draw(Silence()) == 1
        made = {path: path.stat().st_mtime_ns for path in paths(dataset)}

        again = Album(dataset, anew=False)
        assert want(again) == (large, thumb)
        assert again.draw(Silence()) == 0
        assert {path: path.stat().st_mtime_ns for path in paths(dataset)} == made
        assert {path.relative_to(page_of(dataset)).as_posix() for path in made} == {
            large.path,
            thumb.path,
        }
        for picture, size in ((large, (640, 480)), (thumb, (192, 144))):
            with Image.open(page_of(dataset) / picture.path) as image:
                assert (picture.w, picture.h) == image.size == size


def test_anew_every_picture_is_made_again(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset:
        for anew in (False, True):
            album = Album(dataset, anew=anew)
            (large, _) = want(album)
            path = page_of(dataset) / large.path
            assert album.draw(Silence()) == 1
            data = path.read_bytes()
            path.write_bytes(b"torn")

    assert data.startswith(b"\xff\xd8")


def test_one_of_two_that_is_missing_is_made(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset:
        album = Album(dataset, anew=False)
        _, thumb = want(album)
        album.draw(Silence())
        path = page_of(dataset) / thumb.path
        path.unlink()

        album = Album(dataset, anew=False)
        want(album)
        assert album.draw(Silence()) == 1
        assert path.exists()


def test_what_cannot_be_drawn_costs_its_own_picture(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset:
        album = Album(dataset, anew=False)
        large, thumb = want(album)
        original = Original(source="gone", uri="a.jpg", version="1", sha256="")
        (lost,) = album.want(original, "a.jpg", SIZE, ORIGIN)
        (broken,) = album.want(DATA[:-300], "broken", SIZE, ORIGIN)
        assert album.draw(Silence()) == 3

        assert album.check(lost) is album.check(broken) is album.check(None) is None
        assert "there is no source gone any more" in album.find_fault(lost)
        assert album.find_fault(broken).startswith("decode_errors")
        assert (album.check(large), album.find_fault(thumb)) == (large, "")
        assert album.clean() == (2, sum(path.stat().st_size for path in paths(dataset)))


def test_what_the_page_no_longer_shows_is_removed(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset:
        album = Album(dataset, anew=False)
        want(album)
        album.draw(Silence())
        before = paths(dataset)

        album = Album(dataset, anew=False)
        want(album, jpeg(*SIZE, 1))
        album.draw(Silence())
        album.clean()

        assert len(paths(dataset)) == 2
        assert not before & paths(dataset)
        assert not any(path.parent.exists() for path in before - paths(dataset))


def test_the_colours_of_a_profile_are_part_of_the_name(tmp_path: Path) -> None:
    with opened(tmp_path) as dataset:
        before = want(Album(dataset, anew=False))
    with opened(tmp_path, images={"icc": "ignore"}) as dataset:
        after = want(Album(dataset, anew=False))

    assert not {one.path for one in before} & {one.path for one in after}
