from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from sqlalchemy import Connection, Engine, event

from dataset_assets.defs import engines as module
from dataset_assets.defs.engines import shared_engines


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


def test_of_many_files_only_some_engines_are_kept(tmp_path: Path) -> None:
    with shared_engines():
        make = vars(sqlite_event_log)["create_engine"]
        first = make(f"sqlite:///{tmp_path}/0.db")
        for number in range(1, 20):
            url = f"sqlite:///{tmp_path}/{number}.db"
            assert make(url) is make(url)
        assert make(f"sqlite:///{tmp_path}/0.db") is not first


def test_a_dagster_that_has_them_elsewhere_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STORAGES", ("dagster._core.none.of_this", "dagster._core.nothing", "json"))

    with shared_engines():
        assert report(tmp_path / "one", ["a"]) == ["a"]
