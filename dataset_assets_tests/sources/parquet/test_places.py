import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.sources.parquet.places import Content, Place, read_exactly
from dataset_assets.sources.parquet.snappy import BLOCK

NOISE = random.Random(2).randbytes(5 * BLOCK + 321)
CODECS = ["", "snappy", "gzip", "brotli", "zstd", "lz4_raw"]
WHERE = [(0, 4), (0, 0), (70_000, 90_000), (BLOCK - 2, 4), (BLOCK, BLOCK), (len(NOISE) - 5, 5), (len(NOISE), 0)]


def store(path: Path, codec: str, data: bytes = NOISE) -> tuple[int, int]:
    """Write compressed data with something around it, and return where it begins and ends."""
    packed = pa.Codec(codec).compress(data, asbytes=True) if codec else data
    path.write_bytes(b"something" + packed + b"more")
    return 9, 9 + len(packed)


def locate(content: Content, codec: str, start: int, size: int) -> Place:
    ((offset, stored, expanded, skip, length),) = content.locate(np.array([start]), np.array([size])).tolist()
    return Place(offset, stored, expanded, skip, length, codec)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("start", "size"), WHERE)
def test_a_part_is_read_where_it_is_located(tmp_path: Path, codec: str, start: int, size: int) -> None:
    ends = store(tmp_path / "file", codec)
    with (tmp_path / "file").open("rb") as file:
        content = Content(file.fileno(), codec, *ends, len(NOISE))

        place = locate(content, codec, start, size)

        assert place.read(file.fileno()) == content.take(start, size) == NOISE[start : start + size]


def test_of_snappy_only_the_blocks_are_read_that_a_part_is_in(tmp_path: Path) -> None:
    ends = store(tmp_path / "file", "snappy")
    with (tmp_path / "file").open("rb") as file:
        content = Content(file.fileno(), "snappy", *ends, len(NOISE))

        inside = locate(content, "snappy", BLOCK + 10, 100)
        across = locate(content, "snappy", 2 * BLOCK - 1, 2)
        last = locate(content, "snappy", 5 * BLOCK, 321)

    assert (inside.expanded, inside.skip) == (BLOCK, 10)
    assert (across.expanded, across.skip) == (2 * BLOCK, BLOCK - 1)
    assert (last.expanded, last.skip) == (321, 0)
    assert BLOCK < inside.stored < BLOCK + 10
    assert across.stored == 2 * inside.stored
    assert across.offset == inside.offset


def test_a_snappy_stream_without_blocks_is_one_piece(tmp_path: Path) -> None:
    data = NOISE[: BLOCK - 1] + b"abc"
    stream = b"\x82\x80\x04" + b"\xf4\xfe\xff" + NOISE[: BLOCK - 1] + b"\x08abc"
    (tmp_path / "file").write_bytes(stream)
    with (tmp_path / "file").open("rb") as file:
        content = Content(file.fileno(), "snappy", 0, len(stream), len(data))

        place = locate(content, "snappy", BLOCK - 2, 3)

        assert (place.offset, place.stored, place.expanded) == (3, len(stream) - 3, len(data))
        assert place.read(file.fileno()) == data[BLOCK - 2 : BLOCK + 1]


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec])
def test_damage_is_said(tmp_path: Path, codec: str) -> None:
    start, end = store(tmp_path / "file", codec, b"some words, some words, " * 500)
    with (tmp_path / "file").open("rb+") as file:
        file.seek(start + 3)
        file.write(b"\xff" * (end - start - 3))
        file.flush()

        with pytest.raises(ValueError, match="cannot be decompressed"):
            Content(file.fileno(), codec, start, end, 12_000).take(0, 1)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    ends = store(tmp_path / "file", "")
    with (tmp_path / "file").open("rb") as file:
        content = Content(file.fileno(), "", *ends, len(NOISE))
        for start, size in [(-1, 2), (0, -1), (len(NOISE) - 1, 2)]:
            with pytest.raises(ValueError, match="bytes"):
                content.take(start, size)
        with pytest.raises(ValueError, match="instead of"):
            Content(file.fileno(), "", *ends, len(NOISE) + 1)
        with pytest.raises(ValueError, match="ends at byte"):
            Place(len(NOISE), 100, 0, 0, 100).read(file.fileno())
        with pytest.raises(ValueError, match=f"ends at byte {9 + len(NOISE) + 4}"):
            read_exactly(file.fileno(), len(NOISE), 1 << 20)
    store(tmp_path / "file", "snappy")
    with (tmp_path / "file").open("rb") as file, pytest.raises(ValueError, match="instead of 7"):
        Content(file.fileno(), "snappy", *ends, 7)


def test_a_piece_that_is_read_again_is_read_from_the_file_that_is_there(tmp_path: Path) -> None:
    read = []
    for letter in (b"a", b"b"):
        start, end = store(tmp_path / "file", "zstd", letter * 500)
        os.utime(tmp_path / "file", (0, ord(letter)))
        with (tmp_path / "file").open("rb") as file:
            place = Place(start, end - start, 500, 100, 3, "zstd")
            read += [place.read(file.fileno()), place.read(file.fileno())]

    assert read == [b"aaa", b"aaa", b"bbb", b"bbb"]


numbers = st.integers(0, 1 << 60)


@given(
    st.one_of(
        st.builds(lambda at, size: Place(at, size, 0, 0, size), numbers, numbers),
        st.builds(Place, numbers, numbers, numbers, numbers, numbers, st.sampled_from(CODECS[1:])),
    )
)
def test_a_place_survives_being_text(place: Any) -> None:
    assert Place.parse(str(place)) == place


@pytest.mark.parametrize("text", ["", "1", "a-b", "1-2-3", "1-2-3-4-x-snappy", "1-2-3-4-5-snappy-6"])
def test_other_text_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"no place|invalid literal"):
        Place.parse(text)
