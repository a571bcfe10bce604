"""A server on loopback that takes connections and what comes through them, and never answers."""

import socket
from threading import Thread
from typing import Self


class SilentServer:
    """Use it as a context manager. It counts the connections that were made."""

    def __init__(self) -> None:
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._take, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # which ends `accept`
        self._thread.join()
        for one in (self._listener, *self._held):
            one.close()

    def _take(self) -> None:
        while True:
            try:
                taken, _ = self._listener.accept()
            except OSError:
                return
            self._held.append(taken)
            self.connections += 1
