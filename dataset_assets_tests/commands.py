"""The command line in tests: a dataset's settings file, and `dataset-assets` and `dagster` as processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import dataset_assets

_ROOT = Path(dataset_assets.__file__).parents[1]
_POWERS = "-dac_override,-dac_read_search,-fowner"  # by which root passes over file permissions
_PATIENCE = 120  # seconds
_UNSTABLE = ("dataset.sqlite", ".")  # what each build writes to: the catalog, locks and Dagster's records

SETTINGS = """\
[dataset]
root = "{root}"
catalog = "{catalog}"
[[sources]]
path = "raw"
[buckets]
base_resolutions = [{base}]
divisible = 8
[images]
quality = {quality}
[shards]
shard_size = 4
shards_per_partition = 2
[work]
workers = {workers}
"""


def write_settings(
    folder: Path, *, root: str = "out", catalog: str = "", base: int = 64, quality: int = 95, workers: int = 1
) -> Path:
    """Write the settings of a small dataset as `folder`/dataset.toml and return its path."""
    path = folder / "dataset.toml"
    path.write_text(SETTINGS.format(root=root, catalog=catalog, base=base, quality=quality, workers=workers))
    return path


def model_table(url: str, **keys: Any) -> dict[str, Any]:
    """Return the table of a variant, caption_a, that the chat server at `url` makes, with these keys in it."""
    return {"name": "caption_a", "backend": "openai", "model": "test/one", "api_key_env": "", "base_url": url, **keys}


def add_model(config: Path, url: str, **keys: Any) -> None:
    """Add such a variant to a settings file."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in model_table(url, **keys).items()]
    with config.open("a") as file:
        file.write("\n".join(["[[captions.variants]]", *lines, ""]))


def start(
    folder: Path,
    *arguments: object,
    powerless: bool = False,
    module: str = "dataset_assets.cli",
    log: Path | None = None,
    **environment: str,
) -> subprocess.Popen[str]:
    """Start a command in `folder`, as the first of a process group.

    `powerless`: permissions count, for root as well. What it prints goes to the file `log`, else to pipes.
    """
    call = "from dataset_assets.cli import main; main()" if module == "dataset_assets.cli" else ""
    command = [sys.executable, *(["-c", call] if call else ["-m", module]), *map(str, arguments)]
    if powerless and os.geteuid() == 0:
        command = ["setpriv", f"--bounding-set={_POWERS}", f"--inh-caps={_POWERS}", *command]
    kept = {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", "DATASET_CONFIG")}
    with ExitStack() as stack:
        output = stack.enter_context(log.open("w")) if log else subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, "PYTHONPATH": str(_ROOT), **environment},
            stdout=output,
            stderr=output,
            text=True,
            process_group=0,
        )


def run(
    folder: Path, *arguments: object, powerless: bool = False, module: str = "dataset_assets.cli", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder` to its end."""
    child = start(folder, *arguments, powerless=powerless, module=module, log=None, **environment)
    printed, complaints = child.communicate(timeout=_PATIENCE)
    return subprocess.CompletedProcess(child.args, child.returncode, printed, complaints)


def wait_for(what: Callable[[], object], *, every: float = 0.01) -> None:
    """Return when `what`, asked `every` so many seconds, is true."""
    deadline = time.monotonic() + _PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(every)


def children_of(process: int) -> list[int]:
    """Return the ids of a process's children and theirs."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, listed.splitlines())}
    found: list[int] = []
    level = [process]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found


def alive(process: int) -> bool:
    """Return whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def artifacts(root: Path) -> dict[str, tuple[str, int]]:
    """Return digest and time of every file under a dataset's root but those that each build writes to."""
    return {
        path.relative_to(root).as_posix(): (sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.relative_to(root).parts[0].startswith(_UNSTABLE)
    }
