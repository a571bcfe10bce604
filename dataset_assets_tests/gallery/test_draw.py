from collections import Counter
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.gallery.draw import Drawing, DrawJob, DrawTask, Original, Slice, draw, open_small, read_image
from dataset_assets.images.decode import decode
from dataset_assets.images.worker import Loss
from dataset_assets.settings import ImageSettings
from dataset_assets.sources.folder import FolderSource
from dataset_assets_tests.photos import SIZE, encoded, hostile, jpeg, photo, variants

SETTINGS = ImageSettings()
HALF = (98, 75)


def drawing(size: tuple[int, int] = HALF, path: Path = Path("nowhere")) -> Drawing:
    return Drawing(path=path, size=size, quality=90)


def upright(name: str, data: bytes) -> tuple[int, int]:
    """Return the size of one of the variants, upright."""
    height, width = decode(data, SETTINGS).shape[:2]
    assert sorted((width, height)) == sorted(SIZE), name
    return width, height


@pytest.mark.parametrize("name", variants())
def test_a_picture_shows_what_the_crop_is_made_of(name: str) -> None:
    data = variants()[name]
    size = upright(name, data)
    half = HALF if size == SIZE else HALF[::-1]

    (picture,) = draw(data, size, [drawing(half)], SETTINGS)

    with Image.open(BytesIO(picture)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", half)
        whole = Image.fromarray(decode(data, SETTINGS)).resize(half, Image.Resampling.BICUBIC)
        difference = np.abs(np.asarray(image, np.int16) - np.asarray(whole, np.int16)).mean()
    assert difference < 8


@pytest.mark.parametrize("name", hostile())
def test_what_cannot_be_decoded_is_an_error_of_one_image(name: str) -> None:
    _, data = hostile()[name]

    with pytest.raises(SampleError):
        draw(data, SIZE, [drawing()], SETTINGS)


def test_each_picture_is_made_of_the_larger_one_before() -> None:
    pictures = draw(jpeg(640, 480), (640, 480), [drawing((320, 240)), drawing((64, 48))], SETTINGS)

    assert [Image.open(BytesIO(one)).size for one in pictures] == [(320, 240), (64, 48)]


def test_a_jpeg_is_decoded_no_larger_than_is_needed() -> None:
    pixels = open_small(jpeg(1600, 1200), (1600, 1200), (192, 144), SETTINGS)

    assert pixels.shape == (150, 200, 3)


def test_a_jpeg_of_which_more_than_half_is_needed_has_the_pixels_that_crops_are_made_of() -> None:
    data = jpeg(320, 240)

    assert np.array_equal(open_small(data, (320, 240), (200, 150), SETTINGS), decode(data, SETTINGS))


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_an_image_of_another_size_than_it_had_is_another_one(name: str) -> None:
    with pytest.raises(SampleError, match="another size"):
        draw(encoded(photo(64, 48), name), (48, 64), [drawing((4, 4))], SETTINGS)


def test_an_image_of_a_source_is_read_as_it_was(tmp_path: Path) -> None:
    data = jpeg(64, 48)
    (tmp_path / "a.jpg").write_bytes(data)
    source = FolderSource(path=tmp_path)
    (listed,) = source.list_images(Counter())

    def read(digest: str) -> bytes:
        original = Original(source="folder", uri="a.jpg", version=listed.version, sha256=digest)
        return read_image(original, {"folder": source})

    assert read("") == read(sha256(data).hexdigest()) == data
    with pytest.raises(SampleError, match="another one"):
        read(sha256(b"").hexdigest())


def test_bytes_that_are_given_or_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    assert read_image(b"given", {}) == b"given"
    assert read_image(Slice(path=path, offset=2, size=3), {}) == b"234"
    with pytest.raises(SampleError, match="No such file"):
        read_image(Slice(path=tmp_path / "none", offset=0, size=1), {})


def test_a_task_that_its_worker_does_not_survive_costs_its_pictures() -> None:
    job = DrawJob(settings=SETTINGS, sources={})
    task = DrawTask(where=b"", size=SIZE, drawings=[drawing()])

    assert job.timeout_seconds == SETTINGS.timeout_seconds
    assert job.fail(task, Loss(detail="the worker process was ended by SIGSEGV")).endswith("SIGSEGV")


def test_an_image_whose_source_is_gone() -> None:
    original = Original(source="folder", uri="a.jpg", version="1", sha256="")

    with pytest.raises(SampleError, match="there is no source folder any more") as refused:
        read_image(original, {})

    assert refused.value.reason == DropReason.UNREADABLE
