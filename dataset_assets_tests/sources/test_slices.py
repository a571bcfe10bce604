from io import SEEK_CUR, SEEK_END, BufferedReader
from pathlib import Path

import pytest

from dataset_assets.sources.slices import Slice
from dataset_assets_tests.descriptors import count_open


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"before|what is in it|behind")
    return path


def test_a_slice_is_a_file_of_its_own(path: Path) -> None:
    with path.open("rb") as file, Slice(file.fileno(), 7, 13) as part:
        assert part.readable()
        assert part.seekable()
        assert (part.read(4), part.tell(), part.read(), part.read(1)) == (b"what", 4, b" is in it", b"")
        assert (part.seek(-2, SEEK_END), part.read()) == (11, b"it")
        assert (part.seek(5), part.seek(3, SEEK_CUR), part.read(99)) == (5, 8, b"in it")
        assert (part.seek(100), part.read()) == (100, b"")
        with pytest.raises(ValueError, match="before the beginning"):
            part.seek(-1)


def test_it_stays_open_when_the_file_is_closed_and_reads_beside_it(path: Path) -> None:
    with path.open("rb") as file:
        part = BufferedReader(Slice(file.fileno(), 7, 4))
        assert (file.read(6), part.read(), file.read(2)) == (b"before", b"what", b"|w")

    part.seek(0)
    assert part.read() == b"what"
    part.close()
    part.close()


def test_a_file_that_is_shorter_ends_the_slice(path: Path) -> None:
    with path.open("rb") as file, Slice(file.fileno(), 21, 100) as part:
        assert part.read() == b"behind"


def test_closing_it_leaves_no_descriptor(path: Path) -> None:
    with path.open("rb") as file:
        before = count_open()
        Slice(file.fileno(), 0, 1).close()
        Slice(file.fileno(), 0, 1)  # forgotten
        assert count_open() == before
