"""What a JPEG's segments say, against Pillow, and that damaged ones are refused and nothing worse."""

import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dataset_assets.shards.jpeg import read_frame
from dataset_assets_tests.exports import make_jpeg

JPEG = make_jpeg((40, 24), "4:2:0")


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + (2 + len(data)).to_bytes(2, "big") + data


def with_segment(data: bytes) -> bytes:
    return JPEG[:2] + data + JPEG[2:]


@pytest.mark.parametrize(("subsampling", "said"), [("4:4:4", "4:4:4"), ("4:2:0", "4:2:0"), ("4:2:2", "211111")])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_frame_is_the_encoders(subsampling: str, said: str, progressive: bool) -> None:
    frame = read_frame(make_jpeg((40, 24), subsampling, progressive=progressive))
    assert (frame.width, frame.height, frame.components, frame.subsampling, frame.extras) == (40, 24, 3, said, ())


@pytest.mark.parametrize(("mode", "components"), [("L", 1), ("CMYK", 4)])
def test_components_are_counted(mode: str, components: int) -> None:
    file = io.BytesIO()
    Image.new(mode, (8, 8)).save(file, "JPEG")
    assert read_frame(file.getvalue()).components == components


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (segment(0xE1, b"Exif\0\0MM\0*"), "EXIF"),
        (segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"), "APP1"),
        (segment(0xE2, b"ICC_PROFILE\0\1\1"), "ICC profile"),
        (segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1rgb"), "thumbnail"),
        (segment(0xE0, b"JFXX\0\x10"), "APP0"),
        (segment(0xED, b"Photoshop 3.0\0"), "APP13"),
        (segment(0xFE, b"made by"), "COM"),
    ],
)
def test_what_holds_no_pixels_is_named(data: bytes, name: str) -> None:
    assert read_frame(with_segment(data)).extras == (name,)


@given(st.integers(2, len(JPEG) - 3), st.binary(max_size=4))
def test_damage_raises_nothing_else(at: int, damage: bytes) -> None:
    with suppress(ValueError):
        read_frame(JPEG[:at] + damage + JPEG[at + len(damage) :])


@given(st.binary())
def test_bytes_that_are_no_jpeg_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="JPEG"):
        read_frame(b"\xff\xd8" + data + b"\xff\xd9" if len(data) < 8 else data)
