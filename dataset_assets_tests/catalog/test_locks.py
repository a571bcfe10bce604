import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

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
with hold():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def locks(postgres: URL) -> Iterator[ServerLocks]:
    with closing(Catalog(postgres)) as catalog:
        yield ServerLocks(catalog)


def hold(url: URL, *names: str) -> subprocess.Popen[str]:
    """Start a process that holds locks, and return when it has them."""
    child = children.start(HOLD, url.render_as_string(hide_password=False), *names)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def process(child: subprocess.Popen[str]) -> str:
    return f"process {child.pid} on {socket.gethostname()}"


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


def test_a_build_is_named_and_the_next_one_begins_when_it_is_killed(locks: ServerLocks, postgres: URL) -> None:
    child = hold(postgres, "build")
    assert locks.is_building()
    with pytest.raises(StorageError, match=f"^{process(child)} is building this dataset: wait"), locks.building():
        pass

    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)

    while locks.is_building():  # until the server sees that the connection is gone
        pass
    with locks.building():
        assert locks.is_building()


@pytest.mark.parametrize("name", ["b", "dataset"])
def test_a_killed_stage_leaves_its_partitions_free(locks: ServerLocks, postgres: URL, name: str) -> None:
    child = hold(postgres, "a", "b")
    wanted = ["b"] if name == "b" else None
    with locks.holding(["c"], wait_seconds=0):
        pass
    said = f"^{process(child)} is working on {name}: "
    with pytest.raises(StorageError, match=said), locks.holding(wanted, wait_seconds=0.3):
        pass

    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)

    with locks.holding(wanted, wait_seconds=60):
        pass


def test_who_waits_is_served_when_the_other_process_ends(locks: ServerLocks, postgres: URL) -> None:
    first = hold(postgres, "asking")
    second = children.start(HOLD, postgres.render_as_string(hide_password=False), "asking")
    assert second.stdout is not None
    assert select.select([second.stdout], [], [], 1)[0] == []

    first.communicate(timeout=60)

    assert second.stdout.readline() == "held\n"
    second.communicate(timeout=60)


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
    with pytest.raises(CatalogError, match=r"the connection was lost: .* Run this again"), locks.holding(["a"]):
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
