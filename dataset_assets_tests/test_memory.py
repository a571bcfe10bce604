"""Each in a process of its own: what is set of the C library stays."""

import platform
import subprocess
import sys

import pytest

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is set is glibc's")

PROGRAM = """
import re
from pathlib import Path
from threading import Barrier, Lock, Thread

import pyarrow as pa
from dataset_assets.memory import give_back, keep_little

def held() -> int:
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024  # MB

def fill(keep: list[bytes]) -> None:
    parts = [bytes([1]) * 60_000 for _ in range(3_000)]  # 180 MB
    keep.extend(parts[::100])  # between those that are freed
"""


def run(program: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM + program], capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


@glibc
def test_what_was_freed_between_what_is_kept_is_given_back() -> None:
    before, freed, given = run("keep = []; print(held()); fill(keep); print(held()); give_back(); print(held())")

    assert freed - before > 150
    assert given - before < 30


@glibc
@pytest.mark.parametrize("kept", ["", "keep_little()"])
def test_threads_share_what_was_freed(kept: str) -> None:
    several = f"""
{kept}
before = held()
keep, turn, first, last = [], Lock(), Barrier(7), Barrier(7)

def work() -> None:
    first.wait()  # all are there: else a thread may take over the arena of one before it
    with turn:
        fill(keep)
    last.wait()

threads = [Thread(target=work) for _ in range(6)]
for thread in threads:
    thread.start()
first.wait()
last.wait()
print(held() - before)
"""

    (more,) = run(several)

    assert more < 500 if kept else more > 800  # of 180 MB each


def test_tables_lie_in_memory_that_can_be_given_back() -> None:
    backends = "print(pa.default_memory_pool().backend_name == 'system', file=__import__('sys').stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{PROGRAM}\nkeep_little()\n{backends}"], capture_output=True, text=True, check=True
    )

    assert done.stderr == "True\n"
