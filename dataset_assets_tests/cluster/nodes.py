"""A Ray cluster on this machine, and Dagster's daemon that launches runs on it, all on loopback and with a token.

Every process is known by a variable in its environment, which children inherit: so a node can be killed with all that
runs on it, as if its machine had lost its power, and nothing is left behind by a test that fails.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self
from uuid import uuid4

import dataset_assets

ROOT = Path(dataset_assets.__file__).parents[1]
DEPLOY = ROOT / "deploy" / "ray"
_MARK = "DATASET_TEST_PROCESS"
_PATIENCE = 180  # seconds, of a machine that has much to do
_ENDING = 20
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
        self._port, self._dashboard = find_ports(2)
        self._started: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "DAGSTER_"))},
            **_QUIET,
            **environment,
            "PYTHONPATH": str(ROOT),
            "DATASET_CONFIG": str(config),
            "DAGSTER_HOME": str(self.folder / "home"),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._mark,
            "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{self._dashboard}",
        }

    def __enter__(self) -> Self:
        (self.folder / "home").mkdir()
        shutil.copy(DEPLOY / "dagster.yaml", self.folder / "home")
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._started):
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _ENDING
        while any(process.poll() is None for process in self._started) and time.monotonic() < deadline:
            time.sleep(0.1)
        self._kill(lambda _: True)
        for process in self._started:
            process.wait(_PATIENCE)
        left = list(find_processes(self._mark))
        shutil.rmtree(self.folder)
        assert left == []

    def start_head(self, name: str) -> None:
        """Start the node that the others, and the daemon, ask; return when it takes jobs."""
        (client,) = find_ports(1)
        options = ["--head", f"--port={self._port}", f"--dashboard-port={self._dashboard}"]
        self._start_node(name, *options, "--dashboard-host=127.0.0.1", f"--ray-client-server-port={client}")
        self._wait(lambda: len(self.list_nodes()) == 1)

    def start_worker(self, name: str) -> None:
        """Start another node; return when the head knows it."""
        known = len(self.list_nodes())
        self._start_node(name, f"--address=127.0.0.1:{self._port}")
        self._wait(lambda: len(self.list_nodes()) == known + 1)

    def start_daemon(self) -> None:
        """Start Dagster's daemon, whose sensor asks for what is stale."""
        self._start("daemon", sys.executable, "-m", "dagster._daemon", "run", "-m", "dataset_assets.definitions")

    def kill_node(self, name: str) -> None:
        """Kill a node and all that runs on it, at once, and return when none of its processes is left."""
        self._kill(lambda environment: environment.get("DATASET_NODE") == name)

    def list_nodes(self) -> list[Any]:
        """Return the nodes that the head takes for alive; none while it does not answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._dashboard}/nodes?view=summary",
            headers={"Authorization": f"Bearer {self._mark}"},
        )
        with suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
            nodes = json.load(answer)["data"]["summary"]
            return [node for node in nodes if node["raylet"].get("state") == "ALIVE"]
        return []

    def tell(self) -> str:
        """Return the last lines of all logs, for a test that failed."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

    def wait_for(self, what: Any, *, every: float = 0.2, seconds: float = _PATIENCE) -> None:
        """Return when `what` is true. Fails with the logs when that takes too long, or a process ended."""
        self._wait(what, every=every, seconds=seconds)

    def _wait(self, what: Any, *, every: float = 0.2, seconds: float = _PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, f"it never happened\n{self.tell()}"
            time.sleep(every)

    def _start_node(self, name: str, *options: str) -> None:
        ports = find_ports(1)
        self._start(
            name,
            sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options,
            "--node-ip-address=127.0.0.1", "--num-cpus=1", f"--object-store-memory={_MEMORY}",
            f"--dashboard-agent-listen-port={ports[0]}", f"--temp-dir={self.folder}", "--disable-usage-stats",
            node=name,
        )  # fmt: skip

    def _start(self, name: str, *command: str, node: str = "") -> None:
        environment = {**self._environment, _MARK: self._mark, **({"DATASET_NODE": node} if node else {})}
        log: IO[bytes]
        with (self.folder / f"{name}.log").open("wb") as log:
            # It ends with this thread, and so with this process, also when that is killed.
            call = ["setpriv", "--pdeathsig", "TERM", *command]
            self._started.append(
                subprocess.Popen(call, cwd=self.folder, env=environment, stdout=log, stderr=log, process_group=0)
            )

    def _kill(self, chosen: Any) -> None:
        deadline = time.monotonic() + _PATIENCE
        while found := [process for process, said in find_processes(self._mark) if chosen(said)]:
            for process in found:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            for process in self._started:
                process.poll()  # else it stays as a name without a process
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


def find_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def find_processes(mark: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the processes that have a mark in their environment, each with that."""
    wanted = f"{_MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            lines = (folder / "environ").read_bytes().split(b"\0")
            if wanted in lines:
                texts = (line.decode(errors="replace").partition("=") for line in lines)
                yield int(folder.name), {name: value for name, _, value in texts}
