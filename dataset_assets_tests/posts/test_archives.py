import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from dataset_assets.posts.archives import CutShortError, PackedDamageError, read_bytes

TEXT = b"".join(b"line %d of a file that is packed\n" % number for number in range(100_000))


def pack_gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def pack_zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


PACKERS = {".gz": pack_gzip, ".zst": pack_zstd}


def write(folder: Path, ending: str, data: bytes) -> Path:
    path = folder / f"some.jsonl{ending}"
    path.write_bytes(data)
    return path


def drain(path: Path) -> tuple[bytes, Exception | None]:
    """Return what a file has, and what ended it."""
    found = b""
    try:
        for data in read_bytes(path):
            found += data
    except (CutShortError, PackedDamageError) as error:
        return found, error
    return found, None


def test_a_file_that_is_not_packed_comes_as_it_is(tmp_path: Path) -> None:
    assert b"".join(read_bytes(write(tmp_path, "", TEXT))) == TEXT


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("name", ["some.jsonl", "SOME.JSONL"])
def test_a_packed_file_comes_unpacked(tmp_path: Path, ending: str, name: str) -> None:
    path = tmp_path / f"{name}{ending.upper() if name.isupper() else ending}"
    path.write_bytes(PACKERS[ending](TEXT))

    assert b"".join(read_bytes(path)) == TEXT


@pytest.mark.parametrize("ending", PACKERS)
def test_several_put_together_are_one(tmp_path: Path, ending: str) -> None:
    pack = PACKERS[ending]
    path = write(tmp_path, ending, pack(b"one\n") + pack(b"") + pack(TEXT) + pack(b"three\n"))

    assert b"".join(read_bytes(path)) == b"one\n" + TEXT + b"three\n"


def test_zeros_behind_a_gzip_member_are_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, ".gz", pack_gzip(b"one\n") + bytes(3000) + pack_gzip(b"two\n") + bytes(512))

    assert b"".join(read_bytes(path)) == b"one\ntwo\n"


@pytest.mark.parametrize("ending", PACKERS)
def test_a_little_that_unpacks_to_a_lot_comes_in_small_parts(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path, ending, PACKERS[ending](bytes(50_000_000)))

    sizes = [len(data) for data in read_bytes(path)]

    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 4 << 20


@pytest.mark.parametrize("ending", PACKERS)
def test_what_comes_before_a_cut_is_there(tmp_path: Path, ending: str) -> None:
    packed = PACKERS[ending](TEXT)
    path = write(tmp_path, ending, packed[: len(packed) // 2])

    found, error = drain(path)

    assert isinstance(error, CutShortError)
    assert len(TEXT) // 4 < len(found) < len(TEXT)
    assert TEXT.startswith(found)


def test_a_gzip_file_cut_anywhere_is_a_cut(tmp_path: Path) -> None:
    packed = pack_gzip(b"a line\n" * 3)
    for length in range(1, len(packed)):
        with pytest.raises(CutShortError):
            list(read_bytes(write(tmp_path, ".gz", packed[:length])))


@pytest.mark.parametrize(("ending", "data"), [(".gz", b"no gzip at all"), (".zst", b"no zstd at all, neither")])
def test_what_is_not_packed_as_its_name_says_is_damaged(tmp_path: Path, ending: str, data: bytes) -> None:
    with pytest.raises(PackedDamageError):
        list(read_bytes(write(tmp_path, ending, data)))


@pytest.mark.parametrize("ending", PACKERS)
def test_what_comes_before_damage_is_there(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path, ending, PACKERS[ending](TEXT) + b"something else")

    found, error = drain(path)

    assert isinstance(error, PackedDamageError)
    assert found == TEXT


def test_a_gzip_file_whose_checksum_is_wrong_is_damaged(tmp_path: Path) -> None:
    packed = bytearray(pack_gzip(TEXT))
    packed[-8] ^= 1

    with pytest.raises(PackedDamageError, match="incorrect data check"):
        list(read_bytes(write(tmp_path, ".gz", bytes(packed))))


def test_a_zstd_file_whose_checksum_is_wrong_is_damaged(tmp_path: Path) -> None:
    packed = bytearray(pack_zstd(TEXT))
    packed[4] |= 4  # says that a checksum follows

    with pytest.raises(PackedDamageError, match="checksum"):
        list(read_bytes(write(tmp_path, ".zst", bytes(packed) + bytes(4))))


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_bytes(tmp_path / "none.jsonl.gz"))


def test_an_empty_file_has_nothing(tmp_path: Path) -> None:
    assert list(read_bytes(write(tmp_path, "", b""))) == []
    assert list(read_bytes(write(tmp_path, ".gz", b""))) == []
    with pytest.raises(CutShortError, match="it is empty"):
        list(read_bytes(write(tmp_path, ".zst", b"")))
