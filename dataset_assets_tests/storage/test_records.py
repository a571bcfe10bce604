import sqlite3
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from dataset_assets.storage.records import quick_records

FULL, NORMAL = 2, 1


def write(path: Path) -> int:
    """Write a row as Dagster does, with an engine of its own; return how the connection waits for the disk."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO events DEFAULT VALUES"))
        return int(connection.execute(text("PRAGMA synchronous")).scalar_one())


def make(path: Path) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return path


def count_open() -> int:
    """Return how many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
    finally:
        connection.close()


def test_the_log_of_a_file_stays_from_one_connection_to_the_next(tmp_path: Path) -> None:
    path = make(tmp_path / "runs.db")

    with quick_records(tmp_path):
        assert [write(path), write(path)] == [NORMAL, NORMAL]
        assert log_of(path).stat().st_size > 0
        assert count(path) == 2

    assert not log_of(path).exists()
    assert count(path) == 2
    assert write(path) == FULL
    assert not log_of(path).exists()


def test_a_file_that_gets_its_log_later_is_kept_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"

    with quick_records(tmp_path):
        write(path)
        make(path)
        write(path)
        assert log_of(path).exists()

    assert count(path) == 2


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "other.db")

    with quick_records(tmp_path / "home"):
        assert write(path) == FULL
        assert not log_of(path).exists()


def test_of_many_files_only_those_in_use_are_kept_open(tmp_path: Path) -> None:
    paths = [make(tmp_path / f"{number}.db") for number in range(40)]
    before = count_open()

    with quick_records(tmp_path):
        for path in paths:
            write(path)
            write(paths[0])
        assert count_open() - before < 40
        assert log_of(paths[0]).exists()
        assert not log_of(paths[1]).exists()

    assert count_open() == before
    assert [count(path) for path in paths] == [41] + [1] * 39


def test_another_process_can_write_in_the_meantime(tmp_path: Path) -> None:
    path = make(tmp_path / "runs.db")

    with quick_records(tmp_path):
        write(path)
        other = sqlite3.connect(path, timeout=0)
        other.execute("INSERT INTO events DEFAULT VALUES")
        other.commit()
        other.close()

    assert count(path) == 2
