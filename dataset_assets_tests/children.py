"""Child processes for tests of what cannot be tried in the test's own process: being killed, limits, no permission.

A child runs a piece of Python; what it prints comes back.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dataset_assets

_ROOT = Path(dataset_assets.__file__).parents[1]
_POWERS = "-dac_override,-dac_read_search,-fowner"  # by which root passes over file permissions


def start(code: str, *arguments: object, powerless: bool = False) -> subprocess.Popen[str]:
    """Start Python on `code`, whose sys.argv[1:] are `arguments`; `powerless`: permissions count, for root as well."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    if powerless and os.geteuid() == 0:
        command = ["setpriv", f"--bounding-set={_POWERS}", f"--inh-caps={_POWERS}", *command]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code: str, *arguments: object, powerless: bool = False) -> str:
    """Return what `code` prints; it must end well."""
    child = start(code, *arguments, powerless=powerless)
    printed, complaints = child.communicate(timeout=120)
    if child.returncode:
        pytest.fail(f"the child ended with {child.returncode}:\n{complaints}")
    return printed.strip()
