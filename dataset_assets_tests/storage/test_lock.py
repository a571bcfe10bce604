import signal
from pathlib import Path

import pytest

from dataset_assets.errors import StorageError
from dataset_assets.storage.lock import locked
from dataset_assets_tests import children

HOLD = """
import sys
from pathlib import Path
from dataset_assets.storage.lock import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
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
    with pytest.raises(StorageError, match=r"cannot open .*/nowhere/lock: No such file or directory"), \
            locked(tmp_path / "nowhere" / "lock"):  # fmt: skip
        pass
