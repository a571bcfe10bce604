import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.pool import NullPool

from dataset_assets.defs import engines as module
from dataset_assets.defs.engines import shared_engines
from dataset_assets_tests.descriptors import count_open

FULL, NORMAL = 2, 1


@contextmanager
def noting(engines: list[Engine]) -> Iterator[None]:
    """Note the engine of every connection that is made in the block."""

    def note(connection: Connection) -> None:
        engines.append(connection.engine)

    event.listen(Engine, "engine_connect", note)
    try:
        yield
    finally:
        event.remove(Engine, "engine_connect", note)


def report(folder: Path, names: list[str]) -> list[str]:
    """Report materializations to a new instance, and return which assets it knows by then."""
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        for name in names:
            instance.report_runless_asset_event(dg.AssetMaterialization(name))
        return sorted(key.to_user_string() for key in instance.all_asset_keys())


def test_each_file_has_one_engine_while_the_block_lasts_and_no_longer(tmp_path: Path) -> None:
    names = [f"asset_{number:02d}" for number in range(12)]
    shared: list[Engine] = []
    own: list[Engine] = []

    with shared_engines(), noting(shared):
        assert report(tmp_path / "one", names) == names
    with noting(own):
        assert report(tmp_path / "two", names) == names

    written = [engine for engine in shared if "schedules" not in str(engine.url)]  # nothing of ours is there
    assert len({id(engine) for engine in written}) == len({engine.url for engine in written})
    assert len({id(engine) for engine in own}) > len(names) > len({engine.url for engine in own})


def write(path: Path) -> int:
    """Write a row as Dagster does; return the number that says how the connection waits for the disk."""
    engine = vars(sqlite_event_log)["create_engine"](f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("PRAGMA journal_mode = WAL"))
        connection.execute(text("CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO events DEFAULT VALUES"))
        waits = int(connection.execute(text("PRAGMA synchronous")).scalar_one())
    engine.dispose()
    return waits


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
    finally:
        connection.close()


def test_the_log_of_a_file_stays_from_one_event_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"

    with shared_engines():
        assert [write(path), write(path)] == [NORMAL, NORMAL]
        assert log_of(path).stat().st_size > 0
        assert count(path) == 2

    assert not log_of(path).exists()
    assert count(path) == 2
    assert write(path) == FULL
    assert not log_of(path).exists()


def test_another_process_can_write_in_the_meantime(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"

    with shared_engines():
        write(path)
        other = sqlite3.connect(path, timeout=0)
        other.execute("INSERT INTO events DEFAULT VALUES")
        other.commit()
        other.close()
        assert write(path) == NORMAL

    assert count(path) == 3


def test_of_many_files_only_those_in_use_are_kept_open(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.db" for number in range(40)]
    before = count_open()

    with shared_engines():
        for path in paths:
            write(path)
            write(paths[0])
        assert count_open() - before < 40
        assert log_of(paths[0]).exists()
        assert not log_of(paths[1]).exists()

    assert count_open() == before
    assert [count(path) for path in paths] == [41] + [1] * 39


def test_a_dagster_that_has_them_elsewhere_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STORAGES", ("dagster._core.none.of_this", "dagster._core.nothing", "json"))

    with shared_engines():
        assert report(tmp_path / "one", ["a"]) == ["a"]
