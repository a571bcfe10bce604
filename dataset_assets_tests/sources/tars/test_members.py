import os
import tarfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.sources.tars.members import Contents, Damage, Member, read_members
from dataset_assets_tests.sources.tarballs import entry, header, make_tar, seal

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
END = bytes(1024)
NO_HEADER = "no header, or one whose checksum is wrong"
THREE = {"a.jpg": b"a" * 600, "b.jpg": b"b" * 600, "c.jpg": b"c" * 600}  # headers at 0, 1536 and 3072


def read(data: bytes) -> Contents:
    with TemporaryFile() as file:
        file.write(data)
        file.flush()
        return read_members(file.fileno(), len(data))


def names(data: bytes) -> list[str]:
    contents = read(data)
    assert contents.damages == []
    return [member.name for member in contents.members]


def read_bytes() -> int:
    """Return how many bytes this process has asked of files so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("form", FORMATS)
def test_members_lie_where_tarfile_finds_them(form: int) -> None:
    files = {
        "a.jpg": b"x",
        "b.jpg": b"",
        "deep/" * 18 + "a name.jpg": b"y" * 512,
        "deep/" * 20 + "prefixed" * 6 + ".jpg": b"z" * 513,
        "./c.json": b"{}",
        "日本語/😀.jpg": b"unicode",
        "no utf8 \udce9.jpg": b"latin",
    }
    data = make_tar(files, form=form)

    contents = read(data)

    with tarfile.open(fileobj=BytesIO(data), errors="surrogateescape") as tar:
        expected = [Member(one.name, one.offset_data, one.size, "") for one in tar]
    assert contents == Contents(expected, [])
    assert {one.name: data[one.offset : one.offset + one.size] for one in contents.members} == files


@given(
    st.lists(st.tuples(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=300), st.binary())),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_any_name_is_read(files: list[tuple[str, bytes]], form: int) -> None:
    files = [(name.encode(errors="replace").decode().rstrip("/") or "x", data) for name, data in files]
    data = make_tar(files, form=form)

    contents = read(data)

    assert [(one.name, data[one.offset : one.offset + one.size]) for one in contents.members] == files
    assert contents.damages == []


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_member_of_more_than_eight_gigabytes(tmp_path: Path, form: Literal[1, 2]) -> None:
    size = 9 << 30
    with (tmp_path / "large.tar").open("wb+") as file:
        file.write(entry("large.jpg", size=size).tobuf(form))
        start = file.tell()
        file.seek(start + size)
        file.write(header("after.jpg"))
        file.truncate(start + size + 512 + 1024)
        before = read_bytes()

        contents = read_members(file.fileno(), os.fstat(file.fileno()).st_size)

    assert read_bytes() - before < 2_000_000
    assert contents.members == [
        Member("large.jpg", start, size, ""),
        Member("after.jpg", start + size + 512, 0, ""),
    ]
    assert contents.damages == []


def test_what_is_no_plain_file_says_so() -> None:
    data = make_tar(
        [
            entry("folder", tarfile.DIRTYPE),
            entry("album.jpg", tarfile.DIRTYPE),
            entry("symbolic.jpg", tarfile.SYMTYPE, link="a.jpg"),
            entry("hard.jpg", tarfile.LNKTYPE, link="a.jpg", size=1000),  # of what it leads to: no data follows
            entry("pipe.jpg", tarfile.FIFOTYPE),
            entry("device.jpg", tarfile.CHRTYPE),
            ("plain.jpg", b"plain"),
        ]
    )

    contents = read(data)

    assert [(one.name, one.problem) for one in contents.members] == [
        ("symbolic.jpg", "a link"),
        ("hard.jpg", "a link"),
        ("pipe.jpg", "not a regular file"),
        ("device.jpg", "not a regular file"),
        ("plain.jpg", ""),
    ]
    assert contents.damages == []


def test_kinds_of_other_systems() -> None:
    data = (
        header("contiguous.jpg", kind=tarfile.CONTTYPE)
        + header("oldest.jpg", kind=tarfile.AREGTYPE)
        + header("oldest folder/", kind=tarfile.AREGTYPE)
        + header("somebody's own.jpg", kind=b"Q", size=b"00000000005\0")
        + b"bytes".ljust(512, b"\0")
        + header("last.jpg")
        + END
    )

    contents = read(data)

    assert [(one.name, one.problem) for one in contents.members] == [
        ("contiguous.jpg", ""),
        ("oldest.jpg", ""),
        ("somebody's own.jpg", "not a regular file"),
        ("last.jpg", ""),
    ]


def test_sparse_files_are_none_that_can_be_read() -> None:
    gnu = bytearray(header("gnu.jpg", kind=b"S", size=b"00000000005\0"))
    gnu[482] = 1  # its map goes on in another block
    more = bytearray(512)
    pax = entry("GNUSparseFile.0/pax.jpg", size=5)
    pax.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "pax.jpg"}
    data = seal(gnu) + more + b"bytes".ljust(512, b"\0") + pax.tobuf(tarfile.PAX_FORMAT) + b"bytes".ljust(512, b"\0")

    contents = read(data + header("last.jpg") + END)

    assert [(one.name, one.problem) for one in contents.members] == [
        ("gnu.jpg", "a sparse file"),
        ("pax.jpg", "a sparse file"),
        ("last.jpg", ""),
    ]


def test_what_stands_before_headers() -> None:
    git = tarfile.TarInfo.create_pax_global_header({"comment": "a commit", "path": "not this"})
    linked = entry("a" * 50, tarfile.SYMTYPE, link="l" * 300).tobuf(tarfile.GNU_FORMAT)
    sized = entry("sized.jpg", size=5)
    sized.pax_headers = {"size": "6"}

    data = git + linked + sized.tobuf(tarfile.PAX_FORMAT) + bytes(512) + header("last.jpg") + END

    assert [(one.name, one.size) for one in read(data).members] == [("a" * 50, 0), ("sized.jpg", 6), ("last.jpg", 0)]


def test_what_gnu_tar_keeps_after_the_name_is_no_part_of_it() -> None:
    block = bytearray(entry("a.jpg").tobuf(tarfile.GNU_FORMAT))
    block[345:369] = b"14712345670\x0014712345670\0"  # when it was read and changed last

    assert names(seal(block) + END) == ["a.jpg"]


def test_a_name_ends_where_tar_ends_it() -> None:
    info = entry("x")
    info.pax_headers = {"path": "a.jpg\0hidden"}

    assert names(info.tobuf(tarfile.PAX_FORMAT) + END) == ["a.jpg"]


def test_checksums_of_signed_bytes_are_taken() -> None:
    block = bytearray(header("é.jpg"))
    total = sum(byte - 256 if byte > 127 else byte for byte in seal(block)) - sum(block[148:156]) + 256
    block[148:156] = b"%06o\0 " % total

    assert names(bytes(block) + END) == ["é.jpg"]


def test_paths_are_only_names() -> None:
    paths = ["/etc/a.jpg", "../../a.jpg", "a/../b.jpg", "a//b.jpg"]

    assert names(make_tar(dict.fromkeys(paths, b""))) == paths


def test_a_tar_without_members_is_whole() -> None:
    assert read(make_tar({})) == Contents([], [])
    assert read(bytes(512)) == Contents([], [])


@pytest.mark.parametrize(
    ("size", "found", "damage"),
    [
        (0, 0, Damage(0, "the file is empty", 0)),
        (300, 0, Damage(0, "it ends inside a header", 0)),
        (512, 0, Damage(0, "the last 600 bytes of a member are missing", 0)),
        (1000, 0, Damage(0, "the last 112 bytes of a member are missing", 0)),
        (1536, 1, Damage(1536, "it ends without the mark of its end", 1)),
        (1537, 1, Damage(1536, "it ends inside a header", 1)),
        (4607, 2, Damage(3072, "the last 1 bytes of a member are missing", 2)),
        (4608, 3, Damage(4608, "it ends without the mark of its end", 3)),
    ],
)
def test_a_truncated_tar(size: int, found: int, damage: Damage) -> None:
    whole = {**THREE, "c.jpg": b"c" * 1024}

    contents = read(make_tar(whole)[:size])

    assert [one.name for one in contents.members] == list(whole)[:found]
    assert contents.damages == [damage]


def test_after_a_wrong_checksum_the_rest_is_used() -> None:
    data = bytearray(make_tar({**THREE, "d.jpg": b"", "e.jpg": b""}))
    data[1536] ^= 1
    data[4608] ^= 1

    contents = read(bytes(data))

    assert [one.name for one in contents.members] == ["a.jpg", "c.jpg", "e.jpg"]
    assert contents.damages == [Damage(1536, NO_HEADER, 1), Damage(4608, NO_HEADER, 2)]


def test_after_garbage_the_rest_is_used_however_far_it_lies() -> None:
    data = make_tar(THREE)
    garbage = b"ustar" * 1_000_000

    contents = read(data[:1536] + garbage + bytes(-len(garbage) % 512) + data[3072:])

    assert [one.name for one in contents.members] == ["a.jpg", "c.jpg"]
    assert contents.damages == [Damage(1536, NO_HEADER, 1)]


@pytest.mark.parametrize("data", [b"This is no tar.", b"\xff\xd8" + bytes(2000), make_tar(THREE)[100:]])
def test_what_does_not_begin_with_a_header_is_no_tar(data: bytes) -> None:
    what = NO_HEADER if len(data) >= 512 else "it ends inside a header"

    assert read(data) == Contents([], [Damage(0, what, 0)])


def test_two_tars_in_a_row_are_said() -> None:
    first, second = make_tar({"a.jpg": b""}), make_tar({"b.jpg": b""})

    contents = read(first + second)

    assert [one.name for one in contents.members] == ["a.jpg"]
    assert contents.damages == [Damage(len(first), "something follows the mark of the tar's end", 1)]


def extended(records: bytes, *, kind: bytes = b"x") -> bytes:
    return header("x", kind=kind, size=b"%011o\0" % len(records)) + records.ljust(
        len(records) + -len(records) % 512, b"\0"
    )


@pytest.mark.parametrize(
    "records",
    [
        b"path=a.jpg\n",
        b"0 path=a.jpg\n",
        b"15 path=a.jpg\n",
        b"99999999999999999999999 path=a.jpg\n",
        b"9 path a\n",
        b"-5 path=a\n",
        b"\xff\xff\xff",
    ],
)
def test_an_extended_header_that_says_nothing(records: bytes) -> None:
    contents = read(header("first.jpg") + extended(records) + header("short.jpg") + END)

    assert [one.name for one in contents.members] == ["first.jpg", "short.jpg"]
    assert contents.damages == [Damage(512, "an extended header that says nothing", 1)]


def test_an_extended_header_with_a_size_that_is_none() -> None:
    contents = read(header("first.jpg") + extended(b"10 size=x\n") + header("odd.jpg") + header("last.jpg") + END)

    assert [one.name for one in contents.members] == ["first.jpg", "last.jpg"]
    assert contents.damages == [Damage(1536, "an extended header that says nothing", 1)]


def test_an_extended_header_that_is_no_size_for_one() -> None:
    large = header("first.jpg") + extended(b"x" * (2 << 20), kind=b"L") + header("last.jpg") + END
    cut = header("first.jpg") + header("x", kind=b"x", size=b"00010000000\0") + b"12 path=a\n"

    assert read(large).damages == [Damage(512, "an extended header of 2097152 bytes", 1)]
    assert [one.name for one in read(large).members] == ["first.jpg", "last.jpg"]
    assert read(cut).damages == [Damage(512, "it ends inside an extended header", 1)]


def test_an_extended_header_without_a_member() -> None:
    contents = read(header("first.jpg") + extended(b"12 path=a.b\n") + END)

    assert [one.name for one in contents.members] == ["first.jpg"]
    assert contents.damages == [Damage(1536, NO_HEADER, 1)]


@pytest.mark.parametrize("size", [b"-1", b"+7", b"0o7", b"1_0", b"89", b"\xff" * 12, b"x"])
def test_a_size_that_is_none(size: bytes) -> None:
    contents = read(header("first.jpg") + header("odd.jpg", size=size) + header("last.jpg") + END)

    assert [one.name for one in contents.members] == ["first.jpg", "last.jpg"]
    assert contents.damages == [Damage(512, "a header without a size", 1)]


@pytest.mark.parametrize("size", [b"77777777777\0", b"\x80" + b"\xff" * 11])
def test_a_size_beyond_the_tar(size: bytes) -> None:
    contents = read(header("first.jpg") + header("liar.jpg", size=size) + header("last.jpg") + END)

    assert [one.name for one in contents.members] == ["first.jpg"]
    assert [one.offset for one in contents.damages] == [512]


@given(st.data())
def test_no_damage_is_too_odd(data: st.DataObject) -> None:
    whole = bytearray(make_tar({**THREE, "n" * 200: b"long"}, form=data.draw(st.sampled_from(FORMATS[1:]))))
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, 6143), st.integers(0, 255)), max_size=8)):
        whole[at] = byte
    cut = whole[: data.draw(st.integers(0, len(whole)))]

    contents = read(bytes(cut))

    assert all(0 <= one.offset <= one.offset + one.size <= len(cut) for one in contents.members)
    assert all(0 <= one.offset <= len(cut) for one in contents.damages)
    assert len(contents.members) == 4 or contents.damages


def test_only_headers_are_read(tmp_path: Path) -> None:
    with (tmp_path / "large.tar").open("wb+") as file:
        for number in range(10):
            file.write(header(f"{number}.jpg", size=b"%011o\0" % (100 << 20)))
            file.seek(100 << 20, os.SEEK_CUR)
        file.truncate(file.tell() + 1024)
        before = read_bytes()

        contents = read_members(file.fileno(), os.fstat(file.fileno()).st_size)

    assert read_bytes() - before < 100_000
    assert [one.size for one in contents.members] == [100 << 20] * 10
