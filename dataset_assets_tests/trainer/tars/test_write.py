"""Tars of texts are what Python's tarfile makes of the same, and their indexes what hfutils makes of them."""

import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hfutils.index import tar_create_index

from dataset_assets.trainer.tars import write as tars
from dataset_assets.trainer.tars.write import IndexedTar, measure_members, measure_tar

TEXTS = {
    0: "the first",
    7: "",
    9: "x" * 511,
    10: "x" * 512,
    12: "é" * 257,
    345: "two\nlines\r\n and \u2028 one\u0000",
    1_000_000: "🦊" * 250_001,
    2**31: "a",
    2**63 - 1: "the last",
}
LAST = max(TEXTS)


def write(path: Path, texts: dict[int, str], *, calls: int = 1) -> IndexedTar:
    """Write a tar of texts, with some calls, and its index."""
    column = pa.array(texts.values(), pa.large_string())
    ids = np.array(list(texts), np.int64)
    step = -(-max(len(ids), 1) // calls)
    with path.open("wb") as file:
        tar = IndexedTar(file, ".caption", measure_tar(measure_members(column)))
        for start in range(0, len(ids), step):
            tar.add(ids[start : start + step], column.slice(start, step))
        tar.close()
    path.with_suffix(".json").write_bytes(b"".join(tar.list_index()))
    return tar


def write_reference(path: Path, texts: dict[int, str]) -> None:
    with tarfile.open(path, "w") as tar:
        for one, text in texts.items():
            if text:
                member = tarfile.TarInfo(f"{one}.caption")
                member.size = len(text.encode())
                tar.addfile(member, BytesIO(text.encode()))


@pytest.mark.parametrize("texts", [TEXTS, {}, {3: ""}, {3: "", 4: "four"}, dict.fromkeys(range(20), "x" * 20_000)])
@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("chunk", [1, 4096, 1 << 30])
def test_a_tar_and_its_index_are_those_of_tarfile_and_hfutils(
    texts: dict[int, str], calls: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars, "_CHUNK", chunk)

    tar = write(tmp_path / "0000.tar", texts, calls=calls)

    write_reference(tmp_path / "reference.tar", texts)
    tar_create_index(str(tmp_path / "reference.tar"), silent=True)
    assert (tmp_path / "0000.tar").read_bytes() == (tmp_path / "reference.tar").read_bytes()
    assert (tmp_path / "0000.json").read_bytes() == (tmp_path / "reference.json").read_bytes()
    assert tar.count == sum(1 for text in texts.values() if text)
    assert tar.bytes == (tmp_path / "0000.tar").stat().st_size


def test_texts_can_be_a_slice_of_other_texts(tmp_path: Path) -> None:
    column = pa.array(TEXTS.values(), pa.large_string()).slice(3, 4)
    out = BytesIO()
    tar = IndexedTar(out, ".caption", measure_tar(measure_members(column)))
    tar.add(np.array(list(TEXTS))[3:7], column)
    tar.close()

    write_reference(tmp_path / "reference.tar", dict(list(TEXTS.items())[3:7]))
    assert out.getvalue() == (tmp_path / "reference.tar").read_bytes()


@pytest.mark.parametrize(
    ("first", "then"), [([], [1, 3, 2]), ([], [1, 1]), ([], [-1]), ([1, 2], [2, 3]), ([LAST], [0])]
)
def test_ids_that_do_not_ascend_are_refused(first: list[int], then: list[int]) -> None:
    tar = IndexedTar(BytesIO(), ".txt", 10_240)
    tar.add(np.array(first, np.int64), pa.array(["text"] * len(first), pa.large_string()))

    with pytest.raises(ValueError, match="the ids do not ascend from 0, each once"):
        tar.add(np.array(then), pa.array(["text"] * len(then), pa.large_string()))


def test_each_text_has_its_id() -> None:
    with pytest.raises(ValueError, match="2 ids, 1 texts"):
        IndexedTar(BytesIO(), ".txt", 10_240).add(np.array([1, 2]), pa.array(["one"], pa.large_string()))


@pytest.mark.parametrize("texts", [pa.array(["one", None], pa.large_string()), pa.array(["one"]), pa.array([1])])
def test_other_arrays_than_large_strings_without_nulls_are_refused(texts: pa.Array) -> None:
    with pytest.raises(TypeError, match="texts are large strings without nulls"):
        IndexedTar(BytesIO(), ".txt", 10_240).add(np.arange(len(texts)), texts)


def test_a_tar_of_another_size_than_was_said_is_refused() -> None:
    tar = IndexedTar(BytesIO(), ".txt", 20_480)
    tar.add(np.array([1]), pa.array(["one"], pa.large_string()))

    with pytest.raises(ValueError, match="the tar has 10240 bytes, not 20480"):
        tar.close()
