import fcntl
import os
import select
import signal
from pathlib import Path
from threading import Timer

import pytest

from dataset_assets.errors import StorageError
from dataset_assets.storage.lock import FileLocks, holding, is_locked, locked
from dataset_assets_tests import children

HOLD = """
import sys
from pathlib import Path
from dataset_assets.storage.lock import holding, is_locked, locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

HOLD_PARTITIONS = """
import sys
from pathlib import Path
from dataset_assets.storage.lock import holding

with holding(Path(sys.argv[1]), sys.argv[2:]):
    print("held", flush=True)
    sys.stdin.read()
"""
COPY = """
import os, signal, sys
from pathlib import Path
from dataset_assets.storage.lock import holding

with holding(Path(sys.argv[1]), wait_seconds=0):
    child = os.fork()  # it has all open files until it becomes another program
    if child == 0:
        signal.pause()
try:
    with holding(Path(sys.argv[1]), wait_seconds=0):
        print("free")
finally:
    os.kill(child, signal.SIGKILL)
"""


def test_the_lock_names_its_holder_and_is_freed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    child = children.start(HOLD, path)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"

    with pytest.raises(StorageError, match=f"^process {child.pid} is building this dataset"), locked(path):
        pass
    child.communicate(timeout=60)

    with locked(path):
        assert path.read_text() != str(child.pid)


def test_a_killed_holder_leaves_a_lock_that_the_next_one_takes(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    child = children.start(HOLD, path)
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    assert path.read_text() == str(child.pid)

    with locked(path), pytest.raises(StorageError), locked(path):
        pass


def test_an_exception_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock"):
        raise ZeroDivisionError

    with locked(tmp_path / "lock"):
        pass


def test_a_refused_holder_does_not_touch_the_name_of_the_other(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path):
        before = path.read_text()
        for _ in range(2):
            with pytest.raises(StorageError), locked(path):
                pass
        assert path.read_text() == before


def test_a_lock_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match=r"cannot open .*/file/lock: "), locked(tmp_path / "file" / "lock"):
        pass


def test_one_can_look_whether_a_build_runs(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    assert not is_locked(path)
    assert not path.exists()
    with locked(path):
        assert is_locked(path)
    assert not is_locked(path)


@pytest.mark.parametrize(("mine", "other"), [(["a", "b"], ["c"]), (["a"], ["b"])])
def test_stages_of_other_partitions_run_side_by_side(tmp_path: Path, mine: list[str], other: list[str]) -> None:
    with holding(tmp_path, mine), holding(tmp_path, other, wait_seconds=0):
        pass


@pytest.mark.parametrize(
    ("mine", "other", "name"),
    [(["a", "b"], ["b", "c"], "b"), (None, ["a"], "dataset"), (["a"], None, "dataset"), (None, None, "dataset")],
)
def test_stages_that_touch_the_same_exclude_each_other(
    tmp_path: Path, mine: list[str] | None, other: list[str] | None, name: str
) -> None:
    with (
        holding(tmp_path, mine),
        pytest.raises(StorageError, match=f"is working on {name}: try again"),
        holding(tmp_path, other, wait_seconds=0),
    ):
        pass

    with holding(tmp_path, other, wait_seconds=0):
        pass


def test_a_stage_waits_until_the_other_has_ended(tmp_path: Path) -> None:
    child = children.start(HOLD, tmp_path / "a.lock")
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)

    with holding(tmp_path, ["a"], wait_seconds=60):
        child.communicate(timeout=60)


@pytest.mark.parametrize("name", ["b", "dataset"])
def test_a_stage_of_another_process_is_named_and_its_partitions_are_free_after_it(tmp_path: Path, name: str) -> None:
    child = children.start(HOLD_PARTITIONS, tmp_path, "a", "b")
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    wanted = ["b"] if name == "b" else None

    with holding(tmp_path, ["c"], wait_seconds=0):
        pass
    with pytest.raises(StorageError, match=f"is working on {name}: "), holding(tmp_path, wanted, wait_seconds=0.3):
        pass
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)

    with holding(tmp_path, wanted, wait_seconds=0):
        pass


def test_who_waits_for_a_partition_is_served_when_the_other_process_ends(tmp_path: Path) -> None:
    first = children.start(HOLD_PARTITIONS, tmp_path, "a")
    second = children.start(HOLD_PARTITIONS, tmp_path, "b", "a")
    assert first.stdout is not None
    assert second.stdout is not None
    ready, _, _ = select.select([first.stdout, second.stdout], [], [], 60)
    winner, other = (first, second) if ready[0] is first.stdout else (second, first)
    assert winner.stdout is not None
    assert other.stdout is not None
    assert winner.stdout.readline() == "held\n"
    assert select.select([other.stdout], [], [], 0.5)[0] == []

    winner.communicate(timeout=60)

    assert other.stdout.readline() == "held\n"
    other.communicate(timeout=60)


def test_looking_whether_a_build_runs_never_turns_one_away(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("a") as glance:
        fcntl.flock(glance, fcntl.LOCK_SH)  # what `is_locked` of another process holds for a moment
        timer = Timer(0.3, lambda: fcntl.flock(glance, fcntl.LOCK_UN))
        timer.start()

        with locked(path):
            assert is_locked(path)
            assert path.read_text() == str(os.getpid())
        timer.join()


def test_a_lock_is_free_at_once_also_where_a_child_has_a_copy_of_its_file(tmp_path: Path) -> None:
    assert children.run(COPY, tmp_path) == "free"


def test_what_is_waited_for_has_nothing_to_fear_for_its_lock(tmp_path: Path) -> None:
    locks = FileLocks(build=tmp_path / "build", folder=tmp_path / "folder")

    with locks.waiting("asking") as confirm:
        confirm()


def test_the_folder_of_a_lock_is_made_where_it_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"

    assert not is_locked(path)
    with locked(path):
        assert is_locked(path)
