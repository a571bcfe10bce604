"""The tars byte for byte against Python's tarfile, read by GNU tar, and what the strict reader refuses."""

import io
import pickle
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.shards.tar import (
    BLOCK,
    LARGEST_MEMBER,
    RECORD,
    Member,
    Place,
    TarError,
    TarReader,
    TarWriter,
    list_places,
    make_header,
)

PART = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="/"), min_size=1, max_size=30)
NAMES = st.lists(PART.filter(lambda part: part not in (".", "..")), min_size=1, max_size=3).map("/".join)
SIZES = st.one_of(st.integers(0, 3 * BLOCK), st.sampled_from([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, RECORD - 3 * BLOCK]))
MEMBERS = st.lists(st.tuples(NAMES, SIZES), max_size=12)


def data_of(size: int) -> bytes:
    return bytes(range(1, 256)) * (size // 255) + bytes(range(size % 255))


def write_ours(members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    writer = TarWriter(file)
    for name, data in members:
        writer.add(name, data)
    writer.close()
    return file.getvalue()


def write_theirs(members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


@given(MEMBERS)
def test_members_added_together_are_those_added_one_by_one(members: list[tuple[str, int]]) -> None:
    content = [(name, data_of(size)) for name, size in members]
    file = io.BytesIO()
    writer = TarWriter(file)

    offsets = writer.add_all((name, memoryview(data)) for name, data in content)
    offsets += writer.add_all([])
    offsets += writer.add_all([("large", data_of(100_000)), ("small", b"x"), ("empty", b"")])
    writer.close()

    more = [("large", data_of(100_000)), ("small", b"x"), ("empty", b"")]
    assert file.getvalue() == write_ours([*content, *more])
    assert offsets == [place.offset for place in list_places(file)]
    assert writer.sha256 == sha256(file.getvalue()).hexdigest()


@given(MEMBERS)
def test_the_bytes_are_those_of_tarfile(members: list[tuple[str, int]]) -> None:
    content = [(name, data_of(size)) for name, size in members]
    assert write_ours(content) == write_theirs(content)


@given(MEMBERS)
def test_what_is_written_is_read(members: list[tuple[str, int]]) -> None:
    content = [(name, data_of(size)) for name, size in members]
    file = io.BytesIO()
    writer = TarWriter(file)
    expected = [Member(name=name, data=data, offset=writer.add(name, data)) for name, data in content]
    writer.close()
    tar = file.getvalue()
    reader = TarReader(io.BytesIO(tar))
    assert list(reader) == expected
    assert (writer.bytes, writer.sha256) == (reader.bytes, reader.sha256) == (len(tar), sha256(tar).hexdigest())
    assert all(tar[member.offset :].startswith(member.data) for member in expected)
    assert len(tar) % RECORD == 0


def test_the_largest_size_is_what_tarfile_can_say() -> None:
    info = tarfile.TarInfo("0001.npz")
    info.size = LARGEST_MEMBER
    assert make_header("0001.npz", LARGEST_MEMBER) == info.tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ValueError, match="at most 8589934591 bytes"):
        make_header("0001.npz", LARGEST_MEMBER + 1)


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "./a", "a\0b", "a\nb", "é", "n" * 101, "d/" * 50 + "n"]
)
def test_a_name_that_a_reader_could_misread_is_refused(name: str) -> None:
    file = io.BytesIO()
    with pytest.raises(ValueError, match="a member's name must be"):
        TarWriter(file).add(name, b"")
    assert file.getvalue() == b""


def test_gnu_tar_lists_and_extracts_without_a_word(tmp_path: Path) -> None:
    members = [("a.jpg", data_of(513)), ("n" * 100, b""), ("folder/b.json", b"{}"), ("with space.txt", b"\n")]
    (tmp_path / "our.tar").write_bytes(write_ours(members))
    listing = subprocess.run(["tar", "tvf", "our.tar"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert listing.stderr == ""
    assert [line.split(maxsplit=5)[0] for line in listing.stdout.splitlines()] == ["-rw-r--r--"] * 4
    assert [line.split(maxsplit=5)[-1] for line in listing.stdout.splitlines()] == [name for name, _ in members]
    extraction = subprocess.run(["tar", "xf", "our.tar"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert extraction.stderr == ""
    assert [(name, (tmp_path / name).read_bytes()) for name, _ in members] == members


def test_tarfile_reads_the_members(tmp_path: Path) -> None:
    members = [("a.jpg", data_of(513)), ("folder/b.json", b"{}")]
    (tmp_path / "our.tar").write_bytes(write_ours(members))
    with tarfile.open(tmp_path / "our.tar") as tar:
        infos = tar.getmembers()
        facts = {(info.type, info.mode, info.mtime, info.uid, info.gid, info.uname, info.gname) for info in infos}
        files = [tar.extractfile(info) for info in infos]
        assert [(info.name, file and file.read()) for info, file in zip(infos, files, strict=True)] == members
    assert facts == {(tarfile.REGTYPE, 0o644, 0, 0, 0, "", "")}


def resum(header: bytes) -> bytes:
    """The header with a checksum that is right for what else it says."""
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


GOOD = write_ours([("a.txt", b"one"), ("b.txt", b"two")])
SECOND = 2 * BLOCK  # where the second member's header starts
END = 4 * BLOCK  # where the end blocks start


def put(offset: int, data: bytes, *, summed: bool = False) -> bytes:
    tar = GOOD[:offset] + data + GOOD[offset + len(data) :]
    return tar[:SECOND] + resum(tar[SECOND : SECOND + BLOCK]) + tar[SECOND + BLOCK :] if summed else tar


@pytest.mark.parametrize(
    ("tar", "offset", "what"),
    [
        pytest.param(b"", 0, "the file ends where 512 bytes should follow", id="empty"),
        pytest.param(GOOD[:700], BLOCK + 3, "the file ends where 509 bytes should follow", id="cut in the padding"),
        pytest.param(GOOD[:514], BLOCK, "the file ends where 3 bytes should follow", id="cut in the data"),
        pytest.param(GOOD[:END], END, "the file ends where 512 bytes should follow", id="no end blocks"),
        pytest.param(GOOD[: END + BLOCK], END + BLOCK, "the file ends", id="one end block"),
        pytest.param(GOOD[: END + 2 * BLOCK], END + 2 * BLOCK, "the file ends", id="not padded to a record"),
        pytest.param(GOOD + bytes(RECORD), RECORD, "something after the end", id="a record too many"),
        pytest.param(put(SECOND, b"c"), SECOND, "checksum is wrong", id="name without its checksum"),
        pytest.param(put(SECOND, b"/", summed=True), SECOND, "not a header: a member's name", id="absolute name"),
        pytest.param(put(SECOND + 100, b"0000600", summed=True), SECOND, "header's mode", id="mode"),
        pytest.param(put(SECOND + 108, b"0001750", summed=True), SECOND, "header's uid", id="uid"),
        pytest.param(put(SECOND + 116, b"0001750", summed=True), SECOND, "header's gid", id="gid"),
        pytest.param(put(SECOND + 124, b"77777777777", summed=True), SECOND + BLOCK, "the file ends", id="huge size"),
        pytest.param(put(SECOND + 124, b"not a size!", summed=True), SECOND, "not a header", id="no size"),
        pytest.param(put(SECOND + 136, b"14000000000", summed=True), SECOND, "header's mtime", id="mtime"),
        pytest.param(put(SECOND + 156, b"5", summed=True), SECOND, "header's type", id="a folder"),
        pytest.param(put(SECOND + 157, b"a.txt", summed=True), SECOND, "header's link name", id="a link"),
        pytest.param(put(SECOND + 257, b"ustar  ", summed=True), SECOND, "header's magic", id="GNU magic"),
        pytest.param(put(SECOND + 265, b"root", summed=True), SECOND, "header's owner name", id="owner"),
        pytest.param(put(SECOND + 297, b"root", summed=True), SECOND, "header's group name", id="group"),
        pytest.param(put(SECOND + 345, b"folder", summed=True), SECOND, "header's prefix", id="prefix"),
        pytest.param(put(BLOCK + 3, b"!"), BLOCK + 3, "the padding of a member is not zeros", id="member padding"),
        pytest.param(put(END + BLOCK, b"!"), END + BLOCK, "the second end block is not zeros", id="end block"),
        pytest.param(put(RECORD - 1, b"!"), END + 2 * BLOCK, "the padding of the tar is not zeros", id="tar padding"),
    ],
)
def test_the_reader_refuses_what_the_writer_does_not_write(tar: bytes, offset: int, what: str) -> None:
    reader = TarReader(io.BytesIO(tar))
    with pytest.raises(TarError, match=what) as caught:
        list(reader)
    assert caught.value.offset == offset
    reader.drain()
    assert (reader.bytes, reader.sha256) == (len(tar), sha256(tar).hexdigest())


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_one_changed_byte_is_refused_or_is_in_the_data(offset: int, change: int) -> None:
    tar = put(offset, bytes([GOOD[offset] ^ change]))
    try:
        members = list(TarReader(io.BytesIO(tar)))
    except TarError:
        return
    assert [member.name for member in members] == ["a.txt", "b.txt"]
    assert [member.data for member in members] != [b"one", b"two"]


@given(MEMBERS)
def test_places_are_those_of_the_members(members: list[tuple[str, int]]) -> None:
    tar = write_ours([(name, data_of(size)) for name, size in members])
    read = [Place(member.name, member.offset, len(member.data)) for member in TarReader(io.BytesIO(tar))]
    assert list(list_places(io.BytesIO(tar))) == read


def test_data_may_be_read_between_two_places() -> None:
    file = io.BytesIO(GOOD)
    found = []
    for place in list_places(file):
        file.seek(place.offset)
        found.append((place.name, file.read(place.size)))
    assert found == [("a.txt", b"one"), ("b.txt", b"two")]


@pytest.mark.parametrize(
    ("tar", "offset", "what"),
    [
        (b"", 0, "the file ends"),
        (GOOD[: 2 * BLOCK], 2 * BLOCK, "the file ends"),
        (GOOD[: 3 * BLOCK - 1], 2 * BLOCK, "the file ends"),
        (put(2 * BLOCK, b"x"), 2 * BLOCK, "checksum is wrong"),
        (put(124, b"7"), 0, "checksum is wrong"),
    ],
)
def test_places_of_what_the_writer_does_not_write_are_refused(tar: bytes, offset: int, what: str) -> None:
    with pytest.raises(TarError, match=what) as caught:
        list(list_places(io.BytesIO(tar)))
    assert caught.value.offset == offset


def test_an_error_crosses_process_borders() -> None:
    error = pickle.loads(pickle.dumps(TarError(512, "what")))
    assert (error.offset, error.what, str(error)) == (512, "what", "byte 512: what")
