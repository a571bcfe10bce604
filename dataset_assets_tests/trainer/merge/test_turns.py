import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Condition

import pytest

from dataset_assets.errors import StorageError
from dataset_assets.trainer.merge.turns import Block, Turns


def open_turns(folder: Path, heads: Sequence[bytes]) -> tuple[Turns, list[Path]]:
    paths = [folder / str(number) for number in range(len(heads))]
    for path, head in zip(paths, heads, strict=True):
        path.write_bytes(head)
    starts = [len(head) for head in heads]
    return Turns(paths, starts, condition=Condition(), ends=list(starts), turn=[0]), paths


def test_whoever_comes_first_the_bytes_are_in_order_with_joints_between(tmp_path: Path) -> None:
    turns, paths = open_turns(tmp_path, [b"{", b""])
    numbers = list(range(20))
    random.Random(1).shuffle(numbers)

    def write(number: int) -> None:
        blocks = [Block(file=0, data=b"<%d>" % number, joint=b", ")] if number % 3 else []
        turns.write(number, [*blocks, Block(file=1, data=memoryview(b"%d\n" % number))])

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(write, numbers))
    assert paths[0].read_bytes() == b"{" + b", ".join(b"<%d>" % number for number in range(20) if number % 3)
    assert paths[1].read_bytes() == b"".join(b"%d\n" % number for number in range(20))
    assert turns.ends == [path.stat().st_size for path in paths]


def test_those_who_wait_for_one_that_failed_are_told(tmp_path: Path) -> None:
    turns, _ = open_turns(tmp_path, [b""])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(turns.write, 1, [])
        turns.fail()
        with pytest.raises(StorageError, match="could not be written"):
            waiting.result(timeout=30)


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    turns, (path,) = open_turns(tmp_path, [b""])
    path.unlink()
    with pytest.raises(StorageError, match=r"cannot write .*: No such file"):
        turns.write(0, [Block(file=0, data=b"x")])
