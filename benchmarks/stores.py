"""An object store on loopback whose answers take as long as they are told to, in a process of its own.

The server is moto's; what waits and counts is the tests' proxy, in this process. What is asked for is not known here.
"""

import logging
import multiprocessing
import os
import time
from http.server import ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Self
from unittest.mock import patch

from dataset_assets.storage.objects import ObjectPath
from dataset_assets_tests.fakes.object_proxy import ObjectProxy

BUCKET = "photographs"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
ASKED = 21  # requests, to find out how long one takes
FOREVER = 1 << 60
QUEUE = 256  # connections that wait to be accepted: of more than fit the kernel lets each try again after a second


class Store:
    """A store with the JPEGs of a folder. Use it as a context manager, by one process that is asked for nothing else.

    Processes that are started in the block find it by their environment.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.jpg"))]

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        self._life, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._proxy = ObjectProxy(self._life.recv())
        with patch.object(ThreadingHTTPServer, "request_queue_size", QUEUE):
            self._proxy.__enter__()
        os.environ |= {**ENVIRONMENT, "AWS_ENDPOINT_URL": self._proxy.url}
        self._fill()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._proxy.__exit__()
        self._life.close()
        self._process.join()

    @property
    def url(self) -> str:
        """Where the images are."""
        return f"s3://{BUCKET}"

    def begin(self, delay: float) -> None:
        """Count anew, and let every answer to a GET of an image come so many seconds later."""
        self._proxy.forget()
        if delay:
            self._proxy.fail("delay", target=r"\.jpg", times=FOREVER, seconds=delay)

    @property
    def most(self) -> int:
        """How many requests were under way at a time, at most, since `begin`."""
        return self._proxy.most

    @property
    def read(self) -> int:
        """How many GETs of images there were since `begin`."""
        return sum(method == "GET" and ".jpg" in target for method, target in self._proxy.requests)

    @property
    def cpu(self) -> float:
        """The CPU seconds of the server and of this process so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return time.process_time() + sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def time_answer(self) -> float:
        """Return how many seconds an image takes by itself without a delay, in the median."""
        self.begin(0)
        place = ObjectPath(self.url)
        took = []
        for name in (self._names * ASKED)[:ASKED]:
            started = time.monotonic()
            place.store.cat_file(f"{BUCKET}/{name}")
            took.append(time.monotonic() - started)
        return median(took)

    def _fill(self) -> None:
        place = ObjectPath(self.url)
        place.store.mkdir(BUCKET)
        for name in self._names:
            place.store.pipe_file(f"{BUCKET}/{name}", (self._folder / name).read_bytes())


def _serve(life: Connection) -> None:
    """Live as the process of the server, until the other end of the pipe is closed."""
    from moto.server import ThreadedMotoServer  # takes half a second, which only this process has to spend

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would print a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    life.send(server.get_host_and_port())
    try:
        life.recv()
    except EOFError:
        server.stop()
