import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy import URL

from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.locks import ServerLocks, open_locks
from dataset_assets.errors import CatalogError, StorageError
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.lock import FileLocks, Locks
from dataset_assets_tests import children
from dataset_assets_tests.postgres import Server

HOLD = """
import sys
from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.locks import ServerLocks

locks = ServerLocks(Catalog(sys.argv[1]))
hold = {"build": locks.building, "all": locks.holding, "asking": lambda: locks.waiting("asking")}.get(
    sys.argv[2], lambda: locks.holding(sys.argv[2:])
)
print("waiting", flush=True)
with hold():
    print("held", flush=True)
    sys.stdin.read()
"""

PATIENCE = 60  # seconds
LOST = r"the connection was lost: .* Run this again"


@pytest.fixture
def locks(postgres: URL) -> Iterator[ServerLocks]:
    with closing(Catalog(postgres)) as catalog:
        yield ServerLocks(catalog)


def see_queue(server: Server, waiting: int) -> None:
    """Return when so many sessions of the server wait for a lock."""
    found = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    deadline = time.monotonic() + PATIENCE
    with server.connect() as connection:
        while connection.execute(found).fetchone() != (waiting,):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def cut_off(server: Server, url: URL) -> None:
    """End every session that has a lock in a database, as a server does that loses its connections."""
    ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with server.connect(str(url.database)) as connection:
        connection.execute(ended)
        while connection.execute(ended).fetchall():
            time.sleep(0.02)


class Other:
    """Another process that wants locks, and keeps them until it is ended."""

    def __init__(self, url: URL, names: tuple[str, ...]) -> None:
        self._child = children.start(HOLD, url.render_as_string(hide_password=False), *names)
        assert self._child.stdout is not None
        self._printed = self._child.stdout
        self.name = f"process {self._child.pid} on {socket.gethostname()}"
        assert self._printed.readline() == "waiting\n"

    @property
    def runs(self) -> bool:
        return self._child.poll() is None

    def see_held(self) -> None:
        """Return when it has its locks."""
        assert self._printed.readline() == "held\n"

    def see_nothing(self, seconds: float) -> None:
        """See that it gets no further for a while."""
        assert select.select([self._printed], [], [], seconds)[0] == []

    def end(self, by: signal.Signals | None = None) -> tuple[str, str]:
        """Let it end by itself, or by a signal, and return what it printed since, and its complaints."""
        if by is not None:
            self._child.send_signal(by)
        return self._child.communicate(timeout=PATIENCE)


class Others:
    """Starts other processes for a test."""

    def __init__(self, url: URL, server: Server) -> None:
        self._url = url
        self._server = server
        self._started: list[Other] = []

    def hold(self, *names: str) -> Other:
        """Return a process that holds locks."""
        other = self._start(names)
        other.see_held()
        return other

    def wait(self, *names: str, place: int = 1) -> Other:
        """Return a process that waits for locks, at this place of the server's queue."""
        other = self._start(names)
        see_queue(self._server, place)
        return other

    def end(self) -> None:
        """End all, who came first before who may wait for them."""
        for other in self._started:
            other.end()

    def _start(self, names: tuple[str, ...]) -> Other:
        self._started.append(Other(self._url, names))
        return self._started[-1]


@pytest.fixture
def others(postgres: URL, postgres_server: Server) -> Iterator[Others]:
    started = Others(postgres, postgres_server)
    yield started
    started.end()


@pytest.mark.parametrize("on_server", [False, True])
def test_where_the_catalog_is_decides_where_the_locks_are(
    tmp_path: Path, request: pytest.FixtureRequest, on_server: bool
) -> None:
    url = request.getfixturevalue("postgres") if on_server else f"sqlite:///{tmp_path / 'dataset.sqlite'}"
    with closing(Catalog(url)) as catalog:
        chosen: Locks = open_locks(catalog, Layout(tmp_path))

        assert isinstance(chosen, ServerLocks if on_server else FileLocks)
        with chosen.building(), chosen.holding(["a"]), chosen.waiting("asking"):
            assert chosen.is_building()
            assert {path.name for path in tmp_path.glob(".*")} == (set() if on_server else {".build.lock", ".locks"})
        assert not chosen.is_building()


@pytest.mark.parametrize(("mine", "other"), [(["a", "b"], ["c"]), (["a"], ["b"])])
def test_stages_of_other_partitions_run_side_by_side(locks: ServerLocks, mine: list[str], other: list[str]) -> None:
    with locks.holding(mine), locks.holding(other, wait_seconds=0):
        pass


@pytest.mark.parametrize(
    ("mine", "other", "name"),
    [(["a", "b"], ["b", "c"], "b"), (None, ["a"], "dataset"), (["a"], None, "dataset"), (None, None, "dataset")],
)
def test_stages_that_touch_the_same_exclude_each_other(
    locks: ServerLocks, mine: list[str] | None, other: list[str] | None, name: str
) -> None:
    said = f"^process {os.getpid()} on {socket.gethostname()} is working on {name}: try again"
    with locks.holding(mine), pytest.raises(StorageError, match=said), locks.holding(other, wait_seconds=0):
        pass

    with locks.holding(other, wait_seconds=0):
        pass


def test_a_build_is_named_and_the_next_one_begins_when_it_is_killed(locks: ServerLocks, others: Others) -> None:
    other = others.hold("build")
    assert locks.is_building()
    with pytest.raises(StorageError, match=f"^{other.name} is building this dataset: wait"), locks.building():
        pass

    other.end(signal.SIGKILL)

    while locks.is_building():  # until the server sees that the connection is gone
        pass
    with locks.building():
        assert locks.is_building()


@pytest.mark.parametrize("name", ["b", "dataset"])
def test_a_killed_stage_leaves_its_partitions_free(locks: ServerLocks, others: Others, name: str) -> None:
    other = others.hold("a", "b")
    wanted = ["b"] if name == "b" else None
    with locks.holding(["c"], wait_seconds=0):
        pass
    said = f"^{other.name} is working on {name}: "
    with pytest.raises(StorageError, match=said), locks.holding(wanted, wait_seconds=0.3):
        pass

    other.end(signal.SIGKILL)

    with locks.holding(wanted, wait_seconds=60):
        pass


def test_who_waits_is_served_when_the_other_process_ends(others: Others) -> None:
    first = others.hold("asking")
    second = others.wait("asking")
    second.see_nothing(1)

    first.end()

    second.see_held()


def test_an_exception_frees_it_and_comes_through(locks: ServerLocks) -> None:
    with pytest.raises(ZeroDivisionError), locks.holding():
        raise ZeroDivisionError

    with locks.holding(wait_seconds=0), pytest.raises(StorageError), locks.holding(wait_seconds=0):
        pass


def test_locks_are_those_of_one_catalog(locks: ServerLocks, postgres_server: Server) -> None:
    name = postgres_server.make_database()
    with closing(Catalog(postgres_server.url(name))) as opened, locks.building(), locks.holding():
        other = ServerLocks(opened)
        with other.building(), other.holding(wait_seconds=0):
            pass
    with postgres_server.connect(name) as connection:
        connection.execute("CREATE SCHEMA second")
    beside = postgres_server.url(name).update_query_dict({"options": "-csearch_path=second"})
    with closing(Catalog(postgres_server.url(name))) as first, closing(Catalog(beside)) as second:
        here, there = ServerLocks(first), ServerLocks(second)
        with here.building(), there.building():
            pass
    postgres_server.drop_database(name)


def test_a_lock_that_was_lost_with_its_connection_is_told(locks: ServerLocks, postgres_server: Server) -> None:
    with pytest.raises(CatalogError, match=LOST), locks.holding(["a"]):
        postgres_server.restart()

    with locks.holding(["a"], wait_seconds=0):
        pass


def test_what_failed_meanwhile_is_told_and_not_that_the_lock_was_lost(
    locks: ServerLocks, postgres_server: Server
) -> None:
    def fail() -> None:
        postgres_server.restart()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), locks.holding(["a"]):
        fail()


def test_who_waits_while_the_server_goes_away_is_told(locks: ServerLocks, postgres_server: Server) -> None:
    def ask() -> None:
        with locks.waiting("asking"):
            pass

    def restart() -> None:
        with locks.waiting("asking"):
            waiting.append(pool.submit(ask))
            see_queue(postgres_server, 1)
            postgres_server.restart()

    waiting: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(CatalogError, match=LOST):
            restart()
        with pytest.raises(CatalogError, match=LOST):
            waiting[0].result(60)

    ask()


def test_ctrl_c_ends_waiting_and_nothing_else_is_told(others: Others, postgres_server: Server) -> None:
    first = others.hold("asking")
    second = others.wait("asking")

    printed, said = second.end(signal.SIGINT)

    assert (printed, said.splitlines()[-1], said.count("Traceback")) == ("", "KeyboardInterrupt", 1)
    see_queue(postgres_server, 0)
    assert first.runs


def test_whoever_wants_all_of_the_dataset_is_served_before_those_who_come_later(
    locks: ServerLocks, others: Others
) -> None:
    before = others.hold("a")
    whole = others.wait("all")
    later = others.wait("b", place=2)
    said = f"^{before.name} is working on dataset: "
    with pytest.raises(StorageError, match=said), locks.holding(["c"], wait_seconds=0.3):
        pass

    before.end()

    whole.see_held()
    later.see_nothing(0.5)
    whole.end()
    later.see_held()


def test_who_was_killed_while_waiting_keeps_nobody_waiting(locks: ServerLocks, others: Others) -> None:
    first = others.hold("a")
    whole = others.wait("all")

    whole.end(signal.SIGKILL)

    with locks.holding(["b"], wait_seconds=60):  # which shares with the first
        assert first.runs


def test_a_session_that_waited_is_like_any_other_afterwards(locks: ServerLocks, others: Others, postgres: URL) -> None:
    names = ("lock_timeout", "statement_timeout", "client_connection_check_interval")
    other = others.hold("a")
    with pytest.raises(StorageError), locks.holding(["a"], wait_seconds=0.1):
        pass
    other.end()

    with closing(Catalog(postgres)) as fresh:
        expected, found = ([read(catalog, name) for name in names] for catalog in (fresh, locks._catalog))
    assert found == expected


def read(catalog: Catalog, setting: str) -> str:
    with catalog.reading() as connection:
        return str(connection.exec_driver_sql(f"SHOW {setting}").scalar_one())


def test_a_wait_is_not_cut_short_by_what_the_database_allows_a_statement(
    others: Others, postgres: URL, postgres_server: Server
) -> None:
    with postgres_server.connect() as connection:
        connection.execute(f"ALTER DATABASE {postgres.database} SET statement_timeout = '300ms'".encode())
    other = others.hold("a")
    with closing(Catalog(postgres)) as catalog, ThreadPoolExecutor(1) as pool:

        def work() -> str:
            with ServerLocks(catalog).holding(["a"], wait_seconds=60):
                return "worked"

        waiting = pool.submit(work)
        see_queue(postgres_server, 1)
        time.sleep(1)
        other.end()
        assert waiting.result(60) == "worked"


class Wire:
    """A way to a server that can lose its clients without a word to the server, as routers do."""

    def __init__(self, folder: Path, server: Server) -> None:
        name = ".s.PGSQL.5432"
        self._target = str(server.folder / name)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / name))
        self._listener.listen()
        self._clients: list[socket.socket] = []
        self._servers: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._clients, *self._servers):
            with suppress(OSError):  # it was cut
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut(self) -> None:
        """Lose whom it has so far."""
        for client in self._clients:
            with suppress(OSError):  # it was cut before
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                self._clients.append(client)
                self._servers.append(server)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)


def test_a_lock_that_was_lost_is_taken_again_where_nobody_has_it(
    locks: ServerLocks, others: Others, postgres: URL, postgres_server: Server
) -> None:
    with locks.waiting("asking") as confirm:
        confirm()
        cut_off(postgres_server, postgres)
        confirm()
        second = others.wait("asking")
        confirm()

    second.see_held()


def test_a_lock_that_the_server_keeps_for_a_connection_that_is_gone_is_taken_again(
    tmp_path: Path, others: Others, postgres: URL, postgres_server: Server
) -> None:
    with Wire(tmp_path, postgres_server) as wire:
        url = postgres.set(query={"host": str(tmp_path)})
        with closing(Catalog(url)) as catalog, ServerLocks(catalog).waiting("asking") as confirm:
            for _ in range(2):
                wire.cut()
                confirm()
            second = others.wait("asking")
            confirm()

        second.see_held()


def test_a_lock_that_was_lost_to_another_is_told(
    locks: ServerLocks, others: Others, postgres: URL, postgres_server: Server
) -> None:
    with locks.waiting("asking") as confirm:
        cut_off(postgres_server, postgres)
        second = others.hold("asking")
        said = f"asking was lost with its connection, and {second.name} has taken it: run this again"
        with pytest.raises(CatalogError, match=said):
            confirm()


def test_locks_of_more_partitions_than_the_server_has_room_for() -> None:
    server = Server(settings={"max_connections": "10", "max_locks_per_transaction": "10"})
    said = "out of shared memory: .* raise its max_locks_per_transaction, or lower partitions_per_run"
    with closing(Catalog(server.url(server.make_database()))) as catalog:
        locks = ServerLocks(catalog)
        with pytest.raises(CatalogError, match=said), locks.holding(f"p{number}" for number in range(10_000)):
            pass
        with locks.holding(wait_seconds=0):
            pass
    server.remove()
