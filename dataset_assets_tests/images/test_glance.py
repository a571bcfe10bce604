import errno
import random
import struct
from io import BytesIO

import pytest
from PIL import Image

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images.glance import glance
from dataset_assets.images.probe import probe
from dataset_assets.records import Header
from dataset_assets_tests.photos import SIZE, hostile, jpeg, variants

LIMIT = 100_000_000
JPEGS = [name for name, data in variants().items() if data.startswith(b"\xff\xd8\xff")]
LEFT_TO_PILLOW = {"mpo", "jpeg broken exif", "jpeg xmp orientation"}
START = 2  # bytes: where the first segment of a JPEG begins


def look(data: bytes, limit: int = LIMIT) -> Header | None:
    return glance(BytesIO(data), max_pixels=limit)


def judge(data: bytes) -> Header | DropReason:
    try:
        return probe(BytesIO(data), max_pixels=LIMIT)
    except SampleError as error:
        return error.reason


def with_segment(marker: int, content: bytes, data: bytes | None = None) -> bytes:
    """Return a JPEG with one more segment, before all others."""
    data = data or jpeg(40, 30)
    return data[:START] + b"\xff" + bytes([marker]) + (len(content) + 2).to_bytes(2, "big") + content + data[START:]


def tagged(*tags: tuple[int, int | float | str]) -> bytes:
    """Return EXIF as a JPEG has it."""
    exif = Image.Exif()
    for tag, value in tags:
        exif[tag] = value
    return exif.tobytes()


def rich() -> bytes:
    """Return a JPEG with all that a camera and an editor leave in a header."""
    tags = tagged((0x010F, "Maker of cameras"), (0x0112, 6), (0x011A, 72.0), (0x011B, 72.0), (0x0128, 2))
    plain = jpeg(60, 40, exif=tags, comment=b"a cat", xmp=b'<x tiff:Orientation="3"/>')
    resource = b"Photoshop 3.0\0" + b"8BIM\x03\xed\0\0\0\0\0\x10" + bytes(16)
    return with_segment(0xED, resource, with_segment(0xEE, b"Adobe\0\x64\0\0\0\0\1", plain))


@pytest.mark.parametrize("name", JPEGS)
def test_it_says_of_an_ordinary_jpeg_what_the_probe_says(name: str) -> None:
    data = variants()[name]

    assert look(data) == (None if name in LEFT_TO_PILLOW else judge(data))


@pytest.mark.parametrize("name", [name for name in variants() if name not in JPEGS])
def test_it_says_nothing_of_other_formats(name: str) -> None:
    assert look(variants()[name]) is None


@pytest.mark.parametrize("name", hostile())
def test_of_a_hostile_file_it_says_nothing_or_what_the_probe_says(name: str) -> None:
    _, data = hostile()[name]

    assert look(data) in (None, judge(data))


def test_what_a_camera_and_an_editor_leave_in_a_header_is_ordinary() -> None:
    assert look(rich()) == Header(width=40, height=60, orientation=6, format="JPEG") == judge(rich())


@pytest.mark.parametrize("length", [1, 16_000, 16_370, 16_384, 16_400, 65_000])
def test_a_long_header_is_read_to_its_end(length: int) -> None:
    data = with_segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(length), rich())

    assert look(data) == judge(data) == look(rich())


@pytest.mark.parametrize("data", [jpeg(40, 30), rich(), variants()["jpeg progressive"]])
def test_a_jpeg_cut_off_anywhere_is_said_or_left(data: bytes) -> None:
    said = {look(data[:length]) for length in range(len(data))}

    assert said == {None, look(data)}
    assert all(look(data[:length]) in (None, judge(data[:length])) for length in range(3, 900))


@pytest.mark.parametrize(
    ("marker", "content"),
    [
        (0xE0, b"JFIF"),
        (0xE1, b"Exif\0\0"),
        (0xE1, b"Exif\0\0" + b"II*\0\xff\xff\xff\x7f"),
        (0xE1, b"Exif\0\0" + b"XX*\0\x08\0\0\0\0\0"),
        (0xE2, b"ICC_PROFILE\0"),
        (0xE2, b"MPF\0II*\0\x08\0\0\0\0\0"),
        (0xED, b"Photoshop 3.0\0" + b"8BIM\0\0"),
        (0xEE, b"Adobe"),
        (0xDB, b"\0" + bytes(63)),
        (0xC0, b"\x08\0\x10\0\x10\3" + bytes(8)),
        (0xC0, b"\x0c\0\x10\0\x10\1\1\x11\0"),
        (0xC3, b"\x08\0\x10\0\x10\1\1\x11\0"),
        (0xC8, b""),
        (0xD8, b""),
        (0x01, b""),
    ],
)
def test_an_odd_segment_is_left_to_pillow(marker: int, content: bytes) -> None:
    assert look(with_segment(marker, content)) is None


@pytest.mark.parametrize(
    ("tag", "kind", "number"),
    [
        (0x0112, 2, 1),
        (0x0112, 3, 2),
        (0x0112, 3, 0),
        (0x0112, 4, 1),
        (0x011A, 3, 1),
        (0x011A, 5, 100),
        (0x0128, 2, 4),
        (0x010F, 2, 5000),
        (0x010F, 99, 1),
    ],
)
def test_a_tag_of_another_type_or_length_than_it_should_be_is_left_to_pillow(tag: int, kind: int, number: int) -> None:
    tags = struct.pack("<HHHL4s", 1, tag, kind, number, b"\6\0\0\0")

    assert look(with_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + tags + bytes(20))) is None


def test_of_two_orientations_pillow_takes_one() -> None:
    tags = struct.pack("<HHHLLHHLL", 2, 0x0112, 3, 1, 6, 0x0112, 3, 1, 3)

    assert look(with_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + tags + bytes(4))) is None


@pytest.mark.parametrize("orientation", [0, 1, 3, 6, 8, 9, 300])
def test_the_orientation_is_that_of_exif_even_where_xmp_has_another(orientation: int) -> None:
    data = jpeg(40, 30, exif=tagged((0x0112, orientation)), xmp=b'<x tiff:Orientation="8"/>')

    assert look(data) == judge(data)


def test_two_sets_of_exif_are_left_to_pillow() -> None:
    exif = tagged((0x0112, 6))

    assert look(with_segment(0xE1, exif, jpeg(40, 30, exif=exif))) is None


def test_too_many_pixels_are_left_to_pillow() -> None:
    assert look(jpeg(40, 30), 1200) == judge(jpeg(40, 30))
    assert look(jpeg(40, 30), 1199) is None


def test_a_file_that_cannot_be_read_is_left_to_the_probe() -> None:
    class Failing(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    assert glance(Failing(jpeg(40, 30)), max_pixels=LIMIT) is None


def test_of_thousands_of_damaged_headers_it_never_says_anything_else_than_the_probe() -> None:
    seeds = [rich(), *(variants()[name] for name in JPEGS)]
    chance = random.Random(0)
    said = 0
    for _ in range(6000):
        data = damage(chance.choice(seeds), chance)
        header = look(data)
        if header is not None:
            said += 1
            assert header == judge(data)

    assert said > 1000
    assert look(seeds[1]) == Header(width=SIZE[0], height=SIZE[1], orientation=1, format="JPEG")


def damage(data: bytes, chance: random.Random) -> bytes:
    """Return a JPEG of which the beginning was changed a little: bytes replaced, removed, added or repeated."""
    damaged = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4])):
        place = chance.randrange(START, min(len(damaged), 700))
        other = bytes(damaged[place : place + chance.randrange(40)])
        match chance.randrange(4):
            case 0:
                del damaged[place : place + chance.randrange(20)]
            case 1:
                damaged[place:place] = chance.randbytes(chance.randrange(20))
            case 2:
                damaged[place:place] = other
            case _:
                damaged[place] = chance.choice([0, 1, 2, 3, 6, 8, 0xC0, 0xD8, 0xDA, 0xE1, 0xFF, chance.randrange(256)])
    return bytes(damaged)
