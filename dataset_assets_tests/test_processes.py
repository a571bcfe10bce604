import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ENDS = """
import os, sys, time
from dataset_assets.processes import end_with_parent, ignored_by_children, prepare_forks

def sleep():
    end_with_parent()
    print("child", os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    context = prepare_forks("json")
    with ignored_by_children():
        process = context.Process(target=sleep)
        process.start()
    process.join()
"""
WITHOUT = """
import sys
from dataset_assets.processes import refuse_pandas

refuse_pandas()
import pyarrow as pa

assert pa.array([1, None]).to_pylist() == [1, None]
assert "pandas" not in sys.modules
try:
    import pandas
except ModuleNotFoundError as error:
    print(error.name)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(ENDS)
    return path


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_ends_with_the_one_that_started_it(program: Path, ending: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        _, number = parent.stdout.readline().split()
        child = int(number)
        assert is_alive(child)
        parent.send_signal(ending)
        parent.wait(10)
        end = time.monotonic() + 10
        while is_alive(child):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_an_interrupt_is_the_parents(program: Path) -> None:
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline().split()[1])
        os.kill(child, signal.SIGINT)
        time.sleep(0.3)
        assert is_alive(child)
        parent.kill()


def test_arrow_does_without_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "pandas\n"
