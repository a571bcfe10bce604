"""What a command costs with all the processes it starts: wall time, CPU, memory, bytes written. Linux only.

What is run and what is made of the figures is not here.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVERY = 0.5  # seconds between two looks at the memory
PATIENCE = 30  # seconds that processes may outlive the command that started them
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one command took, and what it said in its last line."""

    wall: float  # seconds, until the command itself ended
    cpu: float  # seconds, user and system, of all processes
    peak: int  # bytes, the most that was seen of all processes' proportional set sizes
    written: int  # bytes to files on disks, as the kernel counts them when pages become dirty; not pipes, not tmpfs
    said: dict[str, Any]


def measure(command: Sequence[str | Path], log: Path) -> Usage:
    """Run a command and return what it cost; it prints a JSON object as its last line. Ends the program if it fails.

    Exact for CPU and bytes, also of processes that nobody waits for: they become children of this one when their parent
    ends, and the kernel adds up what each child had when it is waited for.
    """
    _adopt_orphans()
    log.parent.mkdir(parents=True, exist_ok=True)
    os.sync()  # what was written before is not this command's
    before = _read_written()
    with log.open("w") as errors, log.with_suffix(".out").open("w+") as output:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=errors, start_new_session=True)
        peak = _watch(process.pid)
        wall = time.monotonic() - started
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime + sum(_reap_orphans())
        output.seek(0)
        said = output.read().splitlines()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\nended with {process.returncode}:\n{log.read_text()[-2000:]}")
    return Usage(wall=wall, cpu=cpu, peak=peak, written=_read_written() - before, said=json.loads(said[-1]))


def list_family(process: int) -> list[int]:
    """Return a process and all below it."""
    found = [process]
    for one in found:
        try:
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        except OSError:
            continue  # it has ended meanwhile
    return found


def read_pss(process: int) -> int:
    """Return a process's proportional set size, bytes; 0 of one that is gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def read_steal() -> tuple[float, float]:
    """Return the seconds that the machine's cores were taken away by its host so far, and all their seconds."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    second = os.sysconf("SC_CLK_TCK")
    return ticks[7] / second, sum(ticks) / second


def _watch(process: int) -> int:
    """Return the most memory that was seen until a process ended, which is noticed at once."""
    peak = 0
    handle = os.pidfd_open(process)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        while not poll.poll(EVERY * 1000):
            peak = max(peak, sum(map(read_pss, list_family(os.getpid())[1:])))
    finally:
        os.close(handle)
    return peak


def _adopt_orphans() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _reap_orphans() -> Iterator[float]:
    """Wait for the processes that are left and yield the CPU seconds of each, with those it waited for."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            process, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process:
            yield usage.ru_utime + usage.ru_stime
        elif time.monotonic() > until:
            left = list_family(os.getpid())[1:]
            for one in left:
                os.kill(one, signal.SIGKILL)
            raise SystemExit(f"{len(left)} processes went on {PATIENCE} seconds after their command")
        else:
            time.sleep(0.02)


def _read_written() -> int:
    """Return the bytes that this process and all children it has waited for wrote to disks so far."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])
