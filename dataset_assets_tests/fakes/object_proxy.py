"""What stands between a client and a server of objects: it notes every request, and does wrong to some, as it is told.

What goes through is what the server says, byte for byte, where no fault is due.
"""

import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Literal, Self

_ENTRY = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
_OF_A_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


@dataclass(slots=True, kw_only=True)
class ObjectFault:
    """What is done wrong to the next requests of a method whose target matches."""

    kind: Literal["error", "reset", "delay", "cut", "shorten", "hide"]
    method: str = "GET"
    target: str = ""  # a pattern that is searched for in path and query
    times: int = 1
    seconds: float = 0  # of a delay
    key: str = ""  # a pattern of the keys that a listing hides
    status: int = 500
    code: str = "InternalError"  # S3's word for an error

    def is_due(self, method: str, target: str) -> bool:
        """Return whether it is this request's turn."""
        return self.times > 0 and method == self.method and bool(re.search(self.target, target))


@dataclass(slots=True)
class ObjectProxy:
    """A server on loopback that asks another one. Use it as a context manager."""

    upstream: tuple[str, int]
    requests: list[tuple[str, str]] = field(default_factory=list)  # method and target, in their order
    faults: list[ObjectFault] = field(default_factory=list)
    received: int = 0  # bytes of the bodies that clients were sent
    most: int = 0  # requests under way at a time
    _under_way: int = 0
    _lock: Any = field(default_factory=Lock)
    _server: Any = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, kind: Any, method: str = "GET", target: str = "", **said: Any) -> None:
        """Do wrong to the next requests; the other arguments are those of ObjectFault."""
        with self._lock:
            self.faults.append(ObjectFault(kind=kind, method=method, target=target, **said))

    def forget(self) -> None:
        """Begin anew: no request was seen, and nothing is to be done wrong."""
        with self._lock:
            self.requests, self.faults, self.received, self.most = [], [], 0, 0

    def note(self, method: str, target: str) -> ObjectFault | None:
        """Note a request and return the fault that is due for it."""
        with self._lock:
            self.requests.append((method, target))
            due = next((fault for fault in self.faults if fault.is_due(method, target)), None)
            if due:
                due.times -= 1
            return due

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what the block does as a request under way."""
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def written(self) -> list[str]:
        """Return the targets of everything that was put, once each, in order; parts of one object are one."""
        puts = (target.partition("?")[0] for method, target in self.requests if method == "PUT")
        return list(dict.fromkeys(puts))

    def count(self, method: str) -> int:
        """Return how many requests of a method there were."""
        return sum(1 for one, _ in self.requests if one == method)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # of connections: one that is turned away is tried again a second later

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for 40 ms
    owner: ObjectProxy

    def _pass_on(self) -> None:
        with self.owner.counting():
            self._do()

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.owner.note(self.command, self.path)
        kind = fault.kind if fault else ""
        if kind == "reset":
            self._reset()
        elif fault and kind == "error":
            error = f"<Error><Code>{fault.code}</Code><Message>told to</Message></Error>"
            self._answer(fault.status, {}, error.encode())
        else:
            if fault:
                time.sleep(fault.seconds)
            with self._ask(body) as (answer, whole):
                said = whole
                headers = {name: value for name, value in answer.getheaders() if name.lower() not in _OF_A_HOP}
                if fault and kind == "hide":
                    said = _ENTRY.sub(lambda entry: _unless(entry[0], fault.key), said)
                if kind == "shorten":
                    said = said[: len(said) // 2]
                length = None if self.command == "HEAD" or kind in ("hide", "shorten") else len(said)
                self._answer(answer.status, headers, said, length=length, cut=kind == "cut", head=answer)

    @contextmanager
    def _ask(self, body: bytes) -> Iterator[tuple[HTTPResponse, bytes]]:
        connection = HTTPConnection(*self.owner.upstream)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_A_HOP}
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            yield answer, answer.read()
        finally:
            connection.close()

    def _answer(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes,
        *,
        length: int | None = None,
        cut: bool = False,
        head: HTTPResponse | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        stated = (head.getheader("Content-Length") if head and self.command == "HEAD" else None) or length or len(body)
        self.send_header("Content-Length", str(stated))
        self.end_headers()
        self.owner.received += len(body)
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.wfile.flush()
        if cut:
            self._reset()

    def _reset(self) -> None:
        """End the connection as a machine does that lost it."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Print nothing."""


def _unless(entry: bytes, key: str) -> bytes:
    return b"" if re.search(key.encode(), entry) else entry
