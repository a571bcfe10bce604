import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from tempfile import TemporaryFile

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.sources.parquet.snappy import BLOCK, find_blocks
from dataset_assets.sources.parquet.thrift import read_varint, write_varint

NOISE = random.Random(1).randbytes(3 * BLOCK)
# In Snappy's words: letters as they are, then the same again from so many bytes back.
ABC = b"\x08abc"
AGAIN = {3: b"\x05\x03", 600: b"\x0a\x58\x02", 70_000: b"\x0b\x70\x11\x01\x00"}


def compress(data: bytes) -> bytes:
    """Return the elements of the stream, without the length before them."""
    stream = pa.Codec("snappy").compress(data, asbytes=True)
    return bytes(stream[read_varint(stream, 0)[1] :])


@contextmanager
def stored(data: bytes) -> Iterator[int]:
    with TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.fileno()


def find(elements: bytes, size: int) -> list[int] | None:
    with stored(b"before" + elements + b"behind") as file:
        return find_blocks(file, 6, 6 + len(elements), size)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a",
        NOISE[: BLOCK - 1],
        NOISE[:BLOCK],
        NOISE[: BLOCK + 1],
        NOISE,
        bytes(3 * BLOCK + 7),
        b"".join(NOISE[i : i + 50] + b"the same words in between " for i in range(0, 2 * BLOCK, 50)),
    ],
    ids=len,
)
def test_every_block_is_found_and_stands_by_itself(data: bytes) -> None:
    elements = compress(data)

    edges = find(elements, len(data))

    assert edges is not None
    assert (edges[0], edges[-1]) == (6, 6 + len(elements))
    blocks = [elements[start - 6 : end - 6] for start, end in pairwise(edges)]
    sizes = [min(BLOCK, len(data) - BLOCK * index) for index in range(len(blocks))]
    codec = pa.Codec("snappy")
    made = [
        codec.decompress(write_varint(size) + block, size, asbytes=True)
        for block, size in zip(blocks, sizes, strict=True)
    ]
    assert b"".join(made) == data
    assert all(len(one) == BLOCK for one in made[:-1])


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(1, 400)), max_size=30))
def test_any_data_is_walked_to_its_end(parts: list[tuple[bytes, int]]) -> None:
    data = b"".join(part * count for part, count in parts)
    elements = compress(data)

    edges = find(elements, len(data))

    assert edges is not None
    assert edges[-1] == 6 + len(elements)
    assert len(edges) == max(1, -(-len(data) // BLOCK)) + 1


@pytest.mark.parametrize(
    ("elements", "size"),
    [
        (ABC + AGAIN[3], 8),
        (b"\xf4\x57\x02" + NOISE[:600] + AGAIN[600], 603),
        (b"\xfc" + (BLOCK - 1).to_bytes(4, "little") + NOISE[:BLOCK], BLOCK),
    ],
)
def test_elements_of_every_kind(elements: bytes, size: int) -> None:
    assert find(elements, size) == [6, 6 + len(elements)]


@pytest.mark.parametrize(
    ("elements", "size"),
    [
        (ABC, 4),  # shorter than it says
        (ABC, 2),
        (ABC[:-1], 3),  # an element that ends behind the stream
        (ABC + b"\xf4", 3),  # half an element
        (ABC + b"\x05", 7),
        (ABC + b"\x0a\x03", 6),
        (b"\x05\x03" + ABC, 8),  # nothing is there to refer to
    ],
)
def test_what_is_no_stream_has_no_blocks(elements: bytes, size: int) -> None:
    with stored(elements) as file:
        assert find_blocks(file, 0, len(elements), size) is None


def test_blocks_that_refer_to_the_one_before_are_none() -> None:
    first = b"\xf4\xff\xff" + NOISE[:BLOCK]

    assert find(first + ABC + AGAIN[3], BLOCK + 8) is not None
    assert find(first + ABC + AGAIN[600], BLOCK + 6) is None
    assert find(first + ABC + AGAIN[70_000], BLOCK + 6) is None


def test_a_writer_of_other_blocks_has_none() -> None:
    elements = b"\xf4\xfe\xff" + NOISE[: BLOCK - 1] + ABC  # letters over the end of a block

    assert find(elements, BLOCK + 2) is None
