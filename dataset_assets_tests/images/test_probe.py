import errno
from io import BytesIO

import pytest
from PIL import Image, ImageOps

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.probe import probe
from dataset_assets.records import Header
from dataset_assets_tests.photos import SIZE, encoded, hostile, jpeg, photo, png_chunk, png_file, variants

LIMIT = 100_000_000


@pytest.mark.parametrize("name", variants())
def test_header_is_what_exif_transpose_gives(name: str) -> None:
    data = variants()[name]

    header = probe(BytesIO(data), max_pixels=LIMIT)

    image = Image.open(BytesIO(data))
    assert (header.width, header.height) == ImageOps.exif_transpose(image).size
    assert header.format == image.format


@pytest.mark.parametrize("orientation", range(10))
def test_orientation(orientation: int) -> None:
    header = probe(BytesIO(variants()[f"jpeg exif {orientation}"]), max_pixels=LIMIT)

    turned = orientation in (5, 6, 7, 8)
    assert header == Header(
        width=SIZE[turned],
        height=SIZE[not turned],
        orientation=orientation if orientation in range(1, 9) else 1,
        format="JPEG",
    )


@pytest.mark.parametrize("name", [name for name in hostile() if "half" not in name and "cut off" not in name])
def test_hostile_headers_are_counted(name: str) -> None:
    reason, data = hostile()[name]
    if name in ("png with a broken checksum", "jpeg without its last marker"):
        assert probe(BytesIO(data), max_pixels=LIMIT).width == SIZE[0]  # the header is fine
        return

    with pytest.raises(SampleError) as caught:
        probe(BytesIO(data), max_pixels=LIMIT)

    assert caught.value.reason == reason
    assert caught.value.detail


@pytest.mark.parametrize("name", ["jpeg", "jpeg exif 6", "png", "webp", "tiff lzw", "gif", "avif", "jpeg2000", "bmp"])
def test_a_file_cut_off_anywhere_is_probed_or_counted(name: str) -> None:
    data = variants()[name]
    whole = probe(BytesIO(data), max_pixels=LIMIT)
    verdicts = {_verdict(data[:length]) for length in range(16, len(data), 1 + len(data) // 150)}

    assert verdicts <= {whole, DropReason.DECODE_ERROR}


def _verdict(data: bytes) -> Header | DropReason:
    try:
        return probe(BytesIO(data), max_pixels=LIMIT)
    except SampleError as error:
        return error.reason


def test_the_pixel_limit_is_inclusive() -> None:
    data = jpeg(40, 30)

    assert probe(BytesIO(data), max_pixels=1200).width == 40
    with pytest.raises(SampleError, match="40x30") as caught:
        probe(BytesIO(data), max_pixels=1199)
    assert caught.value.reason == DropReason.TOO_MANY_PIXELS


def test_content_decides_about_the_format() -> None:
    named_jpg = BytesIO(encoded(photo(20, 10), "PNG"))
    named_jpg.name = "photo.jpg"

    assert probe(named_jpg, max_pixels=LIMIT).format == "PNG"


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000)])
def test_extreme_sizes(size: tuple[int, int]) -> None:
    header = probe(BytesIO(jpeg(*size)), max_pixels=LIMIT)

    assert (header.width, header.height) == size


def test_no_pixel_of_a_png_is_read() -> None:
    rows = png_chunk(b"IDAT", b"these are no pixels" * 1000)
    data = png_file(
        300, 200, 8, 2, b"", last=rows + png_chunk(b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\3\0\1\0\0\0\6\0\0\0")
    )

    header = probe(BytesIO(data), max_pixels=LIMIT)

    assert header == Header(width=200, height=300, orientation=6, format="PNG")


def test_a_file_that_cannot_be_read_is_no_broken_image() -> None:
    class Failing(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 20:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output"):
        probe(Failing(jpeg(30, 30)), max_pixels=LIMIT)
