import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dataset_assets.errors import StorageError
from dataset_assets.shards.job import TarTask, pack_task, writing_tars
from dataset_assets.shards.pack import Shard


class Deadly:
    """Ends the process that it comes to."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.abort, ()


def task(folder: Path, shard: Any) -> TarTask:
    captions = pa.table({"slot": pa.array([0])})
    tar, crops = folder / "a.tar", folder / "crops.parquet"
    return TarTask(shard=shard, crops=crops, captions=captions, path=tar, index=folder / "index.parquet")


def test_a_process_that_is_ended_from_outside_is_a_line_that_says_so(tmp_path: Path) -> None:
    line = rf"a process that was writing {tmp_path / 'a.tar'} was ended from outside"
    with writing_tars(2) as write, pytest.raises(StorageError, match=line):
        write(task(tmp_path, Deadly()))


def test_what_a_process_gets_is_of_one_shard(tmp_path: Path) -> None:
    captions = pa.table({"slot": pa.array(range(100_000)), "text": pa.array(["a caption"] * 100_000)})
    part = replace(task(tmp_path, None), captions=captions.slice(500, 10))

    packed = pickle.dumps(pack_task(part))

    assert len(packed) < 10_000 < len(pickle.dumps(part))
    assert pickle.loads(packed).captions.equals(part.captions)


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_wrong_is_said_wherever_the_tar_is_written(tmp_path: Path, processes: int) -> None:
    shard = Shard(
        path="a.tar", bucket_id="b", target=(8, 8), image_mode="reencode_jpeg", missing_caption_policy="keep_empty"
    )
    with writing_tars(processes) as write, pytest.raises(StorageError, match=r"crops\.parquet"):
        write(task(tmp_path, shard))
