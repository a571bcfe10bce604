"""A Ray cluster on this machine, and Dagster's daemon that launches runs on it, all on loopback and with a token.

Every process is known by a variable in its environment, which children inherit, or by who started it: so a node can be
killed with all that runs on it, as if its machine had lost its power, and nothing is left behind by a test that fails.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, Any, Self
from uuid import uuid4

import dataset_assets
from dataset_assets_tests.commands import alive, children_of

ROOT = Path(dataset_assets.__file__).parents[1]
_MARK = "DATASET_TEST_PROCESS"
_RUN = re.compile(r'execute_run.*"pipeline_run_id": "([0-9a-f-]{36})"', re.DOTALL)
_PATIENCE = 600  # seconds, of a machine that has much to do
_MEMORY = 80_000_000  # bytes of each node's object store: the least that Ray takes, and runs use none of it
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "60000",  # of a node that is slow: one that is gone answers nothing at once
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_metrics_collection": "0",
}


class Cluster:
    """Nodes, each known by its name, and a daemon. Use it as a context manager: at its end none of them is left."""

    def __init__(self, environment: Mapping[str, str], config: Path) -> None:
        """`environment` is what every process gets; `config` the settings file of the dataset."""
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short, as the paths of sockets have to be
        self._mark = uuid4().hex
        self.home = self.folder / "home"  # Dagster's
        self._port, dashboard = find_ports(2)
        self.address = f"http://127.0.0.1:{dashboard}"  # where Ray takes jobs
        self._addresses = (f"127.0.0.{number}" for number in count(2))  # Ray takes .1 for any address of the machine
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "DAGSTER_"))},
            **_QUIET,
            **environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # where a job looks for `dagster`
            "PYTHONPATH": str(ROOT),
            "DATASET_CONFIG": str(config),
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_EVENT_BATCH_SIZE": "100",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._mark,
            "RAY_API_SERVER_ADDRESS": self.address,
        }

    def __enter__(self) -> Self:
        self.home.mkdir()
        shutil.copy(ROOT / "deploy" / "ray" / "dagster.yaml", self.home)
        return self

    def __exit__(self, *_: object) -> None:
        self._kill(self._started.values(), "")
        shutil.rmtree(self.folder)

    def start_head(self, name: str, *, cores: int) -> None:
        """Start the node that the others, and the daemon, ask; return when it takes jobs."""
        host, _, port = self.address.removeprefix("http://").partition(":")
        (client,) = find_ports(1)
        options = [f"--dashboard-host={host}", f"--dashboard-port={port}", f"--ray-client-server-port={client}"]
        self._head = next(self._addresses)
        self._start_node(name, self._head, "--head", f"--port={self._port}", f"--num-cpus={cores}", *options)
        self.wait_for(lambda: len(self.list_nodes()) == 1)

    def start_worker(self, name: str) -> None:
        """Start another node, which has one core; return when the head knows it."""
        known = len(self.list_nodes())
        self._start_node(name, next(self._addresses), f"--address={self._head}:{self._port}", "--num-cpus=1")
        self.wait_for(lambda: len(self.list_nodes()) == known + 1)

    def start_daemon(self) -> None:
        """Start Dagster's daemon, whose sensor asks for what is stale."""
        self._start("daemon", sys.executable, "-m", "dagster._daemon", "run", "-m", "dataset_assets.definitions")

    def kill_node(self, name: str) -> None:
        """Kill a node and all that runs on it, at once, and return when none of its processes is left."""
        self._kill([self._started[name]], name)

    def list_runs(self, name: str) -> list[str]:
        """Return the ids of the runs whose process is on a node."""
        calls = [_read_call(process) for process in children_of(self._started[name].pid)]
        return sorted({match[1] for call in calls if (match := _RUN.search(call))})

    def list_nodes(self) -> list[Any]:
        """Return the nodes that the head takes for alive; none while it does not answer."""
        request = urllib.request.Request(
            f"{self.address}/nodes?view=summary", headers={"Authorization": f"Bearer {self._mark}"}
        )
        with suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
            nodes = json.load(answer)["data"]["summary"]
            return [node for node in nodes if node["raylet"].get("state") == "ALIVE"]
        return []

    def tell(self) -> str:
        """Return the last lines of all logs, for a test that failed."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

    def wait_for(self, what: Callable[[], object], *, every: float = 0.2) -> None:
        """Return when `what`, asked `every` so many seconds, is true. Fails with the logs when that takes too long."""
        deadline = time.monotonic() + _PATIENCE
        while not what():
            assert time.monotonic() < deadline, f"it never happened\n{self.tell()}"
            time.sleep(every)

    def _start_node(self, name: str, address: str, *options: str) -> None:
        self._start(
            name,
            sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options,
            f"--node-ip-address={address}", f"--object-store-memory={_MEMORY}",
            f"--temp-dir={self.folder}", "--disable-usage-stats",
            node=name,
        )  # fmt: skip

    def _start(self, name: str, *command: str, node: str = "") -> None:
        environment = {**self._environment, _MARK: self._mark, **({"DATASET_NODE": node} if node else {})}
        log: IO[bytes]
        with (self.folder / f"{name}.log").open("wb") as log:
            # It ends with this thread, and so with this process, also when that is killed.
            call = ["setpriv", "--pdeathsig", "TERM", *command]
            self._started[name] = subprocess.Popen(
                call, cwd=self.folder, env=environment, stdout=log, stderr=log, process_group=0
            )

    def _kill(self, started: Iterable[subprocess.Popen[bytes]], node: str) -> None:
        """Kill these, what they started, and what has the node's name in its environment; "" is every process."""
        deadline = time.monotonic() + _PATIENCE
        found = {child for process in started for child in (process.pid, *children_of(process.pid))}
        while True:
            found |= {process for process, name in find_processes(self._mark) if node in ("", name)}
            left = [process for process in found if alive(process)]
            if not left:
                break
            for one in left:
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        for process in started:
            process.wait()


def _read_call(process: int) -> str:
    """Return the command line of a process, "" where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace")
    return ""


def find_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def find_processes(mark: str) -> Iterator[tuple[int, str]]:
    """Yield the processes that have a mark in their environment, each with its node; "" where that is not there."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            lines = (folder / "environ").read_text(errors="replace").split("\0")
            if f"{_MARK}={mark}" in lines and alive(int(folder.name)):
                said = dict(line.split("=", 1) for line in lines if "=" in line)
                yield int(folder.name), said.get("DATASET_NODE", "")
