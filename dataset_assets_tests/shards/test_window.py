"""Samples where they lie in a tar, against the exact reader: at any piece size, and that only whole tars are whole."""

import io
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.shards import window as module
from dataset_assets.shards.tar import BLOCK, RECORD, TarReader, TarWriter, make_header
from dataset_assets.shards.window import Headers, Window

KEYS = [sha256(b"%d" % number).hexdigest() for number in range(4)]
SIZES = st.integers(0, 3 * BLOCK)
SAMPLES = st.lists(st.tuples(SIZES, SIZES, SIZES), max_size=4)


def write(samples: list[tuple[int, int, int]]) -> bytes:
    file = io.BytesIO()
    writer = TarWriter(file)
    for key, sizes in zip(KEYS, samples, strict=False):
        for extension, size in zip(("jpg", "txt", "json"), sizes, strict=True):
            writer.add(f"{key}.{extension}", (extension.encode() * size)[:size])
    writer.close()
    return file.getvalue()


class Drips(io.BytesIO):
    """A file that gives little at a time, as a slow disk may."""

    def readinto(self, room: memoryview) -> int:  # type: ignore[override]
        return super().readinto(room[:700])


def read(file: io.BytesIO) -> tuple[list[tuple[int, bytes]], Window]:
    window = Window(file, len(file.getvalue()))  # type: ignore[arg-type]
    members = [
        (window.base + start, bytes(window.buffer[start:end])) for spans in window.samples() for start, end in spans
    ]
    return members, window


@given(SAMPLES, st.sampled_from([512, 1024, 5000, 1 << 20]), st.sampled_from([io.BytesIO, Drips]))
def test_members_are_those_of_the_exact_reader(
    samples: list[tuple[int, int, int]], piece: int, kind: type[io.BytesIO]
) -> None:
    tar = write(samples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE", piece)
        members, window = read(kind(tar))
    assert members == [(member.offset, member.data) for member in TarReader(io.BytesIO(tar))]
    assert (window.whole, window.bytes, window.sha256) == (True, len(tar), sha256(tar).hexdigest())


GOOD = write([(700, 10, 500)])
END = 8 * BLOCK  # where the end blocks start


@pytest.mark.parametrize(
    "tar",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:700], id="cut in the first member"),
        pytest.param(GOOD[: END - 100], id="cut in the padding"),
        pytest.param(GOOD[:END], id="no end blocks"),
        pytest.param(GOOD[: END + 2 * BLOCK], id="not padded to a record"),
        pytest.param(GOOD + bytes(RECORD), id="a record too many"),
        pytest.param(GOOD + b"x", id="a byte too many"),
        pytest.param(GOOD[:-1] + b"x", id="no zero at the end"),
        pytest.param(GOOD[: END + 1] + b"x" + GOOD[END + 2 :], id="no zero in the end blocks"),
        pytest.param(GOOD[:124] + b"00077777777" + GOOD[135:], id="a size beyond the end"),
        pytest.param(GOOD[:124] + b"-0000000001" + GOOD[135:], id="a size below zero"),
    ],
)
def test_only_what_ends_as_a_tar_must_is_whole(tar: bytes) -> None:
    assert not read(io.BytesIO(tar))[1].whole


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        read(io.BytesIO(GOOD[:124] + b"not a size!" + GOOD[135:]))


def test_a_sample_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE", 1 << 10)
    monkeypatch.setattr(module, "_LARGEST_SAMPLE", 1 << 11)
    with pytest.raises(ValueError, match="too large"):
        read(io.BytesIO(write([(4000, 1, 1)])))


@given(st.sampled_from(KEYS), st.tuples(SIZES, SIZES, SIZES))
def test_headers_are_those_that_the_writer_makes(key: str, sizes: tuple[int, int, int]) -> None:
    buffer, spans = bytearray(), []
    for extension, size in zip(("jpg", "txt", "json"), sizes, strict=True):
        buffer += make_header(f"{key}.{extension}", size)
        spans.append((len(buffer), len(buffer) + size))
        buffer += bytes(size + -size % BLOCK)
    first, second, third = spans
    assert Headers().fit(buffer, (first, second, third), key.encode())
    assert not Headers().fit(buffer, (first, second, third), KEYS[0].replace("5", "6").encode())
