import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import URL

from dataset_assets.catalog import migrations
from dataset_assets.catalog.database import Catalog, sqlite_url
from dataset_assets.catalog.images import count_images, insert_images
from dataset_assets.catalog.state import StageState, load_states, put_state
from dataset_assets.errors import CatalogError
from dataset_assets_tests import children
from dataset_assets_tests.catalog.rows import image

OPEN = """
import sys
from pathlib import Path
from dataset_assets.catalog.database import Catalog, sqlite_url
from dataset_assets.catalog.images import count_images, insert_images
from dataset_assets.catalog.state import StageState, load_states, put_state
from dataset_assets.errors import CatalogError
from dataset_assets_tests.catalog.rows import image

url = sys.argv[1]
"""
HOLD = (
    OPEN
    + """
with Catalog(url).writing() as connection:
    insert_images(connection, [image("theirs")])
    print("locked", flush=True)
    sys.stdin.readline()
"""
)
COUNT = (
    OPEN
    + """
print("ready", flush=True)
sys.stdin.readline()
catalog = Catalog(url)
for number in range(25):
    with catalog.writing() as connection:
        state = load_states(connection).get(("raw_images", ""))
        put_state(connection, StageState(
            stage="raw_images", fingerprint="x", output="y", report={"count": state.report["count"] + 1 if state else 1}
        ))
        insert_images(connection, [image(f"{sys.argv[2]}-{number}")])
"""
)
OPEN_MANY = (
    OPEN
    + """
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    Catalog(sqlite_url(Path(sys.argv[1], f"{number}.sqlite"))).close()
"""
)
KILLED = (
    OPEN
    + """
import os, signal
with Catalog(url).writing() as connection:
    insert_images(connection, [image(str(number)) for number in range(20_000)])
    os.kill(os.getpid(), signal.SIGKILL)
"""
)
FULL = (
    OPEN
    + """
import resource
catalog = Catalog(url)
with catalog.writing() as connection:
    insert_images(connection, [image("first")])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # the disk ends here
try:
    with catalog.writing() as connection:
        insert_images(connection, [image(str(number)) for number in range(20_000)])
except CatalogError as error:
    print(error)
"""
)
REFUSED = (
    OPEN
    + """
try:
    with Catalog(url).writing() as connection:
        insert_images(connection, [image("mine")])
except CatalogError as error:
    print(error)
"""
)


def count(catalog: Catalog) -> int:
    with catalog.reading() as connection:
        return sum(count_images(connection).values())


def add(catalog: Catalog, name: str) -> None:
    with catalog.writing() as connection:
        insert_images(connection, [image(name)])


def spell(url: URL | Path) -> str:
    """Return a URL, or that of a file, with its password."""
    return (sqlite_url(url) if isinstance(url, Path) else url).render_as_string(hide_password=False)


def refused(url: str) -> str:
    with pytest.raises(CatalogError) as caught:
        Catalog(url)
    return str(caught.value)


def test_what_is_written_is_there_when_it_is_opened_again(catalog_url: URL) -> None:
    for expected in (1, 2):
        catalog = Catalog(catalog_url)
        add(catalog, str(expected))
        assert count(catalog) == expected
        catalog.close()


def test_an_exception_undoes_the_transaction(catalog: Catalog) -> None:
    with pytest.raises(ZeroDivisionError), catalog.writing() as connection:
        insert_images(connection, [image("x"), image(str(1 // 0))])

    assert count(catalog) == 0


def test_a_constraint_that_fails_undoes_the_transaction(catalog: Catalog) -> None:
    add(catalog, "x")

    with pytest.raises(CatalogError, match=r"(?i)unique"), catalog.writing() as connection:
        insert_images(connection, [image("y"), image("x")])

    assert count(catalog) == 1


@pytest.mark.parametrize("name", ["a?b.sqlite", '50%20 #1\'s "ü".sqlite', "file:x;y.sqlite"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "dataset.sqlite"
    path.parent.mkdir()
    catalog = Catalog(sqlite_url(path))
    add(catalog, "x")

    assert path.stat().st_size > 0
    assert catalog.name == str(path)
    assert {one.name for one in tmp_path.rglob("*.sqlite")} == {name, "dataset.sqlite"}
    catalog.close()


def test_a_reader_sees_one_state_while_another_writes(catalog: Catalog) -> None:
    add(catalog, "before")

    with catalog.reading() as connection:
        assert sum(count_images(connection).values()) == 1
        add(catalog, "after")
        assert sum(count_images(connection).values()) == 1

    assert count(catalog) == 2


def test_threads_write_side_by_side(catalog: Catalog) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add(catalog, str(number)), range(80)))

    assert count(catalog) == 80


def test_processes_write_side_by_side_from_the_first_moment(catalog_url: URL) -> None:
    writers = [children.start(COUNT, spell(catalog_url), name) for name in "abcd"]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()

    assert [(writer.communicate(timeout=100)[1], writer.returncode) for writer in writers] == [("", 0)] * 4
    catalog = Catalog(catalog_url)
    with catalog.reading() as connection:
        assert load_states(connection)["raw_images", ""].report == {"count": 100}
    assert count(catalog) == 100
    catalog.close()


def test_processes_open_a_new_catalog_at_once(tmp_path: Path) -> None:
    openers = [children.start(OPEN_MANY, tmp_path, 40) for _ in range(3)]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()

    assert [(opener.communicate(timeout=100)[1], opener.returncode) for opener in openers] == [("", 0)] * 3


def test_a_lock_is_waited_for_then_named(catalog_url: URL) -> None:
    Catalog(catalog_url).close()
    holder = children.start(HOLD, spell(catalog_url))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    hasty, patient = Catalog(catalog_url, lock_seconds=0.1), Catalog(catalog_url, lock_seconds=100)

    assert count(hasty) == 0  # reading needs no lock
    with pytest.raises(CatalogError) as caught:
        add(hasty, "mine")
    reason = "database is locked" if catalog_url.drivername == "sqlite" else "canceling statement due to lock timeout"
    assert str(caught.value).startswith(f"catalog {hasty.name}: {reason}: another process is writing to it; ")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(add, patient, "mine")
        holder.communicate("go on\n", timeout=60)
        waiting.result(timeout=60)

    assert count(hasty) == 2
    hasty.close()
    patient.close()


def test_a_lock_is_named_when_a_new_catalog_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "dataset.sqlite"
    holder = sqlite3.connect(path)
    holder.execute("BEGIN EXCLUSIVE")

    with pytest.raises(CatalogError, match=f"catalog {path}: database is locked: another process"):
        Catalog(sqlite_url(path), lock_seconds=0.1)

    holder.rollback()
    holder.close()
    catalog = Catalog(sqlite_url(path), lock_seconds=0.1)
    assert count(catalog) == 0
    catalog.close()


def test_a_killed_writer_leaves_what_was_committed(catalog: Catalog) -> None:
    add(catalog, "before")

    child = children.start(KILLED, spell(catalog.url))
    child.communicate(timeout=60)

    assert child.returncode == -signal.SIGKILL
    assert count(catalog) == 1
    add(catalog, "after")
    assert count(catalog) == 2


def test_a_full_disk_is_said_and_leaves_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "dataset.sqlite"

    said = children.run(FULL, spell(path))

    assert said.startswith(f"catalog {path}: ")
    assert "disk" in said
    catalog = Catalog(sqlite_url(path))
    assert count(catalog) == 1
    add(catalog, "second")
    assert count(catalog) == 2
    catalog.close()


@pytest.mark.parametrize("mode", [0o500, 0o400])
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_permission(tmp_path: Path, mode: int, there: bool) -> None:
    path = tmp_path / "root" / "dataset.sqlite"
    path.parent.mkdir()
    if there:
        Catalog(sqlite_url(path)).close()
        path.chmod(0o400)
    path.parent.chmod(mode)
    said = children.run(REFUSED, spell(path), powerless=True)
    path.parent.chmod(0o700)

    assert said.startswith(f"catalog {path}: ")
    assert said.endswith(": is its folder there, and may this user write to it?")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "no" / "dataset.sqlite"

    assert refused(str(sqlite_url(path))).startswith(f"catalog {path}: unable to open database file: is its folder")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "dataset.sqlite"
    path.write_bytes(b"this is no database, but it is long enough to be one. " * 50)

    said = refused(str(sqlite_url(path)))

    assert said.startswith(f"catalog {path}: file is not a database: it is damaged; ")


def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "dataset.sqlite"
    Catalog(sqlite_url(path)).close()
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xff" * (len(data) - 100))

    assert "it is damaged; put a copy of it back" in refused(str(sqlite_url(path)))


def test_an_empty_file_becomes_a_catalog(tmp_path: Path) -> None:
    path = tmp_path / "dataset.sqlite"
    path.touch()

    catalog = Catalog(sqlite_url(path))

    assert count(catalog) == 0
    catalog.close()


def test_a_catalog_of_a_newer_version_is_left_alone(catalog: Catalog) -> None:
    newer = migrations.newest_version() + 7
    with catalog.writing() as connection:
        connection.exec_driver_sql(f"INSERT INTO schema_version VALUES ({newer})")

    said = refused(spell(catalog.url))

    assert said.startswith(
        f"catalog {catalog.name}: it has schema version {newer}, and this version of dataset_assets knows "
    )
    assert said.endswith("upgrade dataset_assets")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("dataset.sqlite", "dataset.catalog: this is no database's URL; allowed: postgresql://"),
        ("mysql://me@host/x", "dataset.catalog: mysql://me@host/x given; allowed: postgresql://"),
        ("nosuch://me:secret@host/x", "dataset.catalog: nosuch://me:***@host/x given; allowed: postgresql://"),
        ("sqlite://", "dataset.catalog:  given; allowed: postgresql://"),
        ("sqlite:///dataset.sqlite", "dataset.catalog: dataset.sqlite given; allowed: postgresql://"),
    ],
)
def test_urls_that_are_not_supported(url: str, said: str) -> None:
    assert refused(url).startswith(said)
    assert "secret" not in refused(url)


def test_the_state_of_a_stage_is_kept(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        put_state(connection, StageState(stage="raw_images", fingerprint="f", output="o", report={"é\0😀": [1, None]}))

    with catalog.reading() as connection:
        state = load_states(connection)["raw_images", ""]
    assert (state.fingerprint, state.output, state.report) == ("f", "o", {"é\0😀": [1, None]})
    assert not state.interrupted
