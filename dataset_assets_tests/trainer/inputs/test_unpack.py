import gzip
import json
import os
import tarfile
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pytest

from dataset_assets.errors import SourceError
from dataset_assets.storage.atomic import sweep
from dataset_assets.trainer.inputs.unpack import unpacking
from dataset_assets_tests.children import run
from dataset_assets_tests.trainer.metas import LATENTS, merge, source, write_inputs

OBJECT = json.dumps(LATENTS).encode()
LINES = b"".join(json.dumps({key: entry}).encode() + b"\n" for key, entry in LATENTS.items())


def make_tar(**members: bytes) -> bytes:
    """Return a tar of members, of whose names `__` is the dot."""
    made = BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("lat.json.gz", gzip.compress(OBJECT, mtime=0)),
        ("lat.jsonl.gz", gzip.compress(LINES, mtime=0)),
        ("lat.json.zst", pa.compress(OBJECT, "zstd", asbytes=True)),
        ("lat.JSONL.ZST", pa.compress(LINES, "zstd", asbytes=True)),
        ("lat.tar.gz", gzip.compress(make_tar(note__txt=b"x", meta_lat__json=OBJECT, __hidden__json=b"y"), mtime=0)),
        ("lat.tar.zst", pa.compress(make_tar(meta__jsonl=LINES), "zstd", asbytes=True)),
        ("lat.tar", make_tar(meta__json=OBJECT)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_packed_inputs_merge_as_plain_ones_do(tmp_path: Path, name: str, data: bytes) -> None:
    inputs = write_inputs(tmp_path)
    expected = merge(inputs, tmp_path)
    (tmp_path / name).write_bytes(data)
    there = sorted(tmp_path.iterdir())
    assert merge([*inputs[:2], source(tmp_path / name, "ids", "latents")], tmp_path, step=100) == expected
    assert sorted(tmp_path.iterdir()) == there


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json.gz", gzip.compress(OBJECT, mtime=0)[:-20], r"a\.json\.gz cannot be unpacked: it ends in the middle"),
        ("a.json.gz", gzip.compress(b"[]", mtime=0), r"a\.json\.gz is not a JSON object"),
        ("a.json.gz", b"{}", r"a\.json\.gz cannot be unpacked: "),
        ("a.tar.gz", gzip.compress(b"{}" * 600, mtime=0), r"a\.tar\.gz cannot be unpacked: "),
        ("a.tar.gz", gzip.compress(make_tar(a__txt=b""), mtime=0), r"one \.json or \.jsonl file in it, and has none"),
        ("a.tar", make_tar(a__json=b"{}", b__json=b"{}"), r"and has 2: a\.json, b\.json"),
        ("a.csv.gz", gzip.compress(b"id", mtime=0), r"a\.csv\.gz: its name does not say what it is"),
        ("a.parquet.gz", gzip.compress(b"id", mtime=0), r"a\.parquet\.gz: its name does not say what it is"),
    ],
)
def test_what_cannot_be_unpacked_is_refused_and_leaves_nothing(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=message):
        merge([source(tmp_path / name, "ids")], tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_a_packed_file_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot read .*a\.json\.gz: No such file"):
        merge([source(tmp_path / "a.json.gz", "ids")], tmp_path)


def test_what_a_killed_process_unpacked_is_swept(tmp_path: Path) -> None:
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(OBJECT, mtime=0))
    with unpacking([source(tmp_path / "a.json.gz", "ids")], tmp_path) as (found,):
        assert found.place.read_bytes() == OBJECT
        left = found.place.name
    gone = int(run("import os; print(os.getpid())"))
    (tmp_path / left.replace(f".{os.getpid()}.", f".{gone}.")).write_bytes(OBJECT)
    assert sweep([tmp_path]) == 1
