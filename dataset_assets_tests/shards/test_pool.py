import os
from multiprocessing import parent_process
from threading import current_thread, main_thread

import pytest

from dataset_assets.errors import StorageError
from dataset_assets.shards import pool
from dataset_assets.shards.pool import read_side_by_side

TASKS = list(range(20))
LARGE = 100 << 30  # bytes: worth processes


def place(number: int) -> tuple[int, str]:
    """Return a task, and where it is done."""
    if parent_process():
        return number, "process"
    return number, "here" if current_thread() is main_thread() else "thread"


def end(number: int) -> int:
    if number == 7:
        os._exit(1)
    return number


@pytest.mark.parametrize(
    ("workers", "size", "decoding", "where"),
    [
        (1, LARGE, True, "here"),
        (2, 0, False, "thread"),
        (2, LARGE, False, "process"),
        (2, 0, True, "process"),
    ],
)
def test_what_is_read_comes_in_the_order_of_the_tasks_wherever_it_is_read(
    workers: int, size: int, decoding: bool, where: str
) -> None:
    done = list(read_side_by_side(place, TASKS, workers=workers, size=size, module=__name__, decoding=decoding))

    assert done == [(number, where) for number in TASKS]


def test_one_tar_and_no_tar_need_no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pool, "_make_pool")

    assert list(read_side_by_side(place, [3], workers=8, size=LARGE, module=__name__)) == [(3, "here")]
    assert list(read_side_by_side(place, [], workers=8, size=LARGE, module=__name__)) == []


def test_a_process_that_ends_is_told() -> None:
    with pytest.raises(StorageError, match="a process that reads tars was ended: for want of memory perhaps"):
        list(read_side_by_side(end, TASKS, workers=2, size=LARGE, module=__name__))
