import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset_assets.compare.export import Tar, open_export
from dataset_assets.compare.rows import ROW, list_fields, read_rows, read_sample, show_key
from dataset_assets.errors import StorageError
from dataset_assets.records import sample_key
from dataset_assets.shards.sample import SAMPLE_FIELDS
from dataset_assets.shards.tar import make_header
from dataset_assets_tests.exports import SQUARE_0, Members, make_draft, write_tar

ALL = frozenset(SAMPLE_FIELDS)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    make_draft().write(tmp_path)
    return tmp_path


def first_tar(export: Path) -> Tar:
    return open_export(export).tars[0]


def any_tar(path: str = SQUARE_0) -> Tar:
    """Return a tar of which the manifest says nothing but the path."""
    return Tar(path=path, bucket="p1024x1024", count=None, bytes=None, sha256="")


def rewrite(export: Path, how: int, order: tuple[int, ...] = (0, 1, 2)) -> None:
    """Write the first tar as another program would."""
    with tarfile.open(export / SQUARE_0, "w", format=how) as tar:
        for sample in make_draft().tars[SQUARE_0]:
            for number in order:
                name, data = sample[number]
                info = tarfile.TarInfo(f"./{name}" if how == tarfile.PAX_FORMAT else name)
                info.size, info.mtime = len(data), 1_700_000_000.5
                tar.addfile(info, io.BytesIO(data))


def test_a_row_says_where_its_sample_lies_and_what_it_is_called(export: Path) -> None:
    read = read_rows(export, first_tar(export), ALL)

    rows = np.frombuffer(read.rows, ROW)
    assert [bytes(key).hex() for key in rows["key"]] == [sample_key("a.png"), sample_key("b.png")]
    assert [read.variants[number] for number in rows["variant"]] == ["caption_title", "caption_sidecar"]
    assert rows["place"][0] == 512
    assert rows.dtype.itemsize == 120


@pytest.mark.parametrize("how", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0)])
def test_tars_of_other_programs_give_the_same_rows(export: Path, how: int, order: tuple[int, ...]) -> None:
    ours = read_rows(export, first_tar(export), ALL)

    rewrite(export, how, order)
    others = read_rows(export, any_tar(), ALL)

    rows, expected = np.frombuffer(others.rows, ROW), np.frombuffer(ours.rows, ROW)
    columns = [name for name in ROW.names or () if name != "place"]
    assert rows[columns].tolist() == expected[columns].tolist()
    assert rows["place"].tolist() == [-1, -1]
    assert others.variants == ours.variants


@pytest.mark.parametrize("ours", [True, False])
def test_a_sample_is_found_again(export: Path, ours: bool) -> None:
    if not ours:
        rewrite(export, tarfile.GNU_FORMAT, (2, 0, 1))
    tar = first_tar(export) if ours else any_tar()
    place = int(np.frombuffer(read_rows(export, tar, ALL).rows, ROW)["place"][1])

    jpeg, caption, fields = read_sample(export, tar, sample_key("b.png"), place)

    assert jpeg == make_draft().sample("b.png")[0][1]
    assert caption == "two\nlines"
    assert fields["image_id"] == "b.png"


def test_fields_are_those_of_the_first_sample(export: Path) -> None:
    assert list_fields(export, first_tar(export)) == ALL


def cut_off(data: bytes) -> bytes:
    return data[:2_000]


def flip_a_header(data: bytes) -> bytes:
    return data[:3] + b"\xff" + data[4:]


def flip_a_pixel(data: bytes) -> bytes:
    return data[:2_000] + bytes([data[2_000] ^ 1]) + data[2_001:]


def empty(_: bytes) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_off, "the last 9100 bytes of a member are missing"),
        (flip_a_header, "not a tar: no header, or one whose checksum is wrong"),
        (flip_a_pixel, "but the manifest says"),
        (empty, "the file is empty"),
    ],
)
def test_a_damaged_tar_is_named_with_the_place(export: Path, damage: Callable[[bytes], bytes], said: str) -> None:
    path = export / SQUARE_0
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(StorageError) as caught:
        read_rows(export, first_tar(export), ALL)

    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert str(caught.value).endswith(f"`dataset-assets verify {export}` says more")


def test_a_pipe_is_no_tar(export: Path) -> None:
    (export / SQUARE_0).unlink()
    os.mkfifo(export / SQUARE_0)

    with pytest.raises(StorageError, match=r"shard-000000\.tar: is not a regular file"):
        read_rows(export, any_tar(), ALL)


def test_a_member_that_no_memory_has_room_for_is_refused(export: Path) -> None:
    with (export / SQUARE_0).open("wb") as tar:  # with a hole in place of the JPEG
        tar.write(make_header(f"{'0' * 64}.jpg", 1 << 32))
        tar.seek(1 << 32, io.SEEK_CUR)
        for extension in ("txt", "json"):
            tar.write(make_header(f"{'0' * 64}.{extension}", 2) + b"{}".ljust(512, b"\0"))
        tar.write(bytes(1024))

    with pytest.raises(StorageError, match=r"byte 512: the sample '0{64}' has a member of more than 268435456 bytes"):
        read_rows(export, any_tar(), ALL)


def test_a_tar_that_is_gone_is_named(export: Path) -> None:
    with pytest.raises(StorageError, match=r"shard-000009\.tar: cannot be read: No such file"):
        read_rows(export, any_tar("buckets/p1024x1024/shard-000009.tar"), ALL)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("a.jpg", b""), ("a.txt", b"\n"), ("a.json", b"{}")], "'a' is not named by the 64 digits of a hash"),
        ([("0" * 64 + ".jpg", b""), ("0" * 64 + ".txt", b"\n")], "has no text or no JSON"),
        ([("0" * 64 + ".jpg", b""), ("0" * 64 + ".txt", b""), ("0" * 64 + ".json", b"[]")], f"sample '{'0' * 64}'"),
        ([("0" * 64 + ".jpg", b""), ("0" * 64 + ".txt", b""), ("0" * 64 + ".json", b"{\xff")], f"sample '{'0' * 64}'"),
        (
            [("0" * 64 + ".jpg", b""), ("0" * 64 + ".txt", b""), ("0" * 64 + ".json", b"[" * 100_000)],
            f"sample '{'0' * 64}'",
        ),
    ],
)
def test_a_sample_that_is_none_is_named(tmp_path: Path, members: Members, said: str) -> None:
    write_tar(tmp_path, SQUARE_0, [members])

    with pytest.raises(StorageError) as caught:
        read_rows(tmp_path, any_tar(), ALL)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fields_that_are_not_compared_change_no_row(export: Path) -> None:
    few = ALL - {"crop"}
    draft = make_draft()
    draft.fields("a.png", crop={"scale": 0.1, "x": 0, "y": 0, "corner": 0})
    draft.write(export / "other")

    assert read_rows(export, first_tar(export), few) == read_rows(export / "other", first_tar(export / "other"), few)
    assert read_rows(export, first_tar(export), ALL) != read_rows(export / "other", first_tar(export / "other"), ALL)


@pytest.mark.parametrize(("key", "digits"), [(b"", ""), (b"a", "61"), (b"\0\1" + bytes(30), "0001")])
def test_a_key_is_shown_with_the_zeros_that_numpy_takes_off(key: bytes, digits: str) -> None:
    rows = np.zeros(1, ROW)
    rows["key"] = key

    assert show_key(rows["key"][0]) == digits.ljust(64, "0")
