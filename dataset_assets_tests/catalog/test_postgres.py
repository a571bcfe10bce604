import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from sqlalchemy import URL, Connection, select, text

from dataset_assets.catalog.captions import SourceIdentity, load_spending, record_answers, register_source
from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.images import count_images, insert_images
from dataset_assets.catalog.schema import captions, slots
from dataset_assets.catalog.slots import slot_table, take_slots
from dataset_assets.errors import CatalogError
from dataset_assets_tests import children
from dataset_assets_tests.captions.captioned import answer
from dataset_assets_tests.catalog.rows import add_images, image
from dataset_assets_tests.postgres import GUARDED, PASSWORD, Server

MODEL = SourceIdentity(variant="caption_a", backend="openai", model="m")

WITHOUT_PSYCOPG = """
import sys
sys.modules["psycopg"] = None
from dataset_assets.catalog.database import Catalog
from dataset_assets.errors import CatalogError
try:
    Catalog("postgresql://me:s3cret@host/x")
except CatalogError as error:
    print(error)
"""
LOADED = """
import sys
import dataset_assets.cli
from dataset_assets.catalog.database import Catalog
Catalog(f"sqlite:///{sys.argv[1]}").close()
print("psycopg" in sys.modules)
"""


def refused(url: URL | str) -> str:
    with pytest.raises(CatalogError) as caught:
        Catalog(url)
    return str(caught.value)


def add(catalog: Catalog, name: str) -> None:
    with catalog.writing() as connection:
        insert_images(connection, [image(name)])


def count(catalog: Catalog) -> int:
    with catalog.reading() as connection:
        return sum(count_images(connection).values())


def test_the_driver_is_imported_only_where_it_is_asked_for(tmp_path: Any) -> None:
    assert children.run(LOADED, tmp_path / "dataset.sqlite") == "False"


def test_a_driver_that_is_not_installed_is_named_with_how_to_install_it() -> None:
    said = children.run(WITHOUT_PSYCOPG)

    assert said == "a catalog on PostgreSQL needs the Python package psycopg: pip install 'dataset_assets[postgres]'"


def test_a_server_that_does_not_run(postgres_server: Server) -> None:
    url = postgres_server.url("x", user="me", password="s3cret").set(query={"host": "/nowhere"})

    said = refused(url)

    assert said.startswith("catalog postgresql://me:***@/x?host=%2Fnowhere: connection to server on socket ")
    assert said.endswith(": is the server running, and can this machine reach it?")
    assert "\n" not in said


def test_a_port_where_nobody_listens() -> None:
    said = refused("postgresql://me:s3cret@127.0.0.1:9/x?password=s3cret")

    assert said.startswith("catalog postgresql://me:***@127.0.0.1:9/x: connection to server at ")
    assert said.endswith("is the server running, and can this machine reach it?")
    assert "s3cret" not in said


def test_a_database_that_is_not_there(postgres_server: Server) -> None:
    said = refused(postgres_server.url("none"))

    assert 'database "none" does not exist: make the database first: createdb' in said


@pytest.mark.parametrize("password", ["wr0ng", None])
def test_a_password_that_is_wrong_or_missing(postgres_server: Server, password: str | None) -> None:
    said = refused(postgres_server.url("postgres", user=GUARDED, password=password))

    assert said.startswith(f"catalog postgresql://{GUARDED}")
    assert said.endswith(": set it in the URL of dataset.catalog, or in PGPASSWORD or ~/.pgpass")
    assert "wr0ng" not in said


def test_the_right_password_lets_in_from_the_url_and_from_the_environment(
    postgres: URL, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert postgres.database
    given = postgres_server.url(postgres.database, user=GUARDED, password=PASSWORD)
    for url in (given, given.render_as_string(hide_password=False), given.set(drivername="postgresql+psycopg")):
        with closing(Catalog(url)) as catalog:
            add(catalog, str(count(catalog)))
            assert PASSWORD not in catalog.name + catalog.spelled + repr(catalog.url)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with closing(Catalog(postgres_server.url(postgres.database, user=GUARDED))) as catalog:
        assert count(catalog) == 3


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://me@h/x?password=s3cret",
        "mysql://me:s3cret@h/x?password=s3cret&user=a",
        "postgresql://me:no@s3cret@127.0.0.1:9/x",
        "postgresql://me:no/more@s3cret@127.0.0.1:9/x",
    ],
)
def test_a_password_is_in_no_message_about_a_url(url: str) -> None:
    said = refused(url)

    assert said.startswith("dataset.catalog: ")
    assert "s3cret" not in said


def test_how_to_write_an_at_sign_in_a_password_is_said() -> None:
    said = "dataset.catalog: an @ in the password of a URL has to be escaped: write %40"

    assert refused("postgresql://me:s3@cret@host/x") == said


def test_a_user_who_may_not_make_tables(postgres: URL, postgres_server: Server) -> None:
    with postgres_server.connect(str(postgres.database)) as connection:
        connection.execute("DROP ROLE IF EXISTS visitor")
        connection.execute("CREATE ROLE visitor LOGIN")

    said = refused(postgres_server.url(str(postgres.database), user="visitor"))

    assert said.endswith("permission denied for schema public: may this user make tables in it, and write to them?")


@pytest.mark.parametrize(
    ("table", "columns"), [("schema_version", "installed_rank int, script text"), ("images", "x int")]
)
def test_tables_of_another_program_are_left_alone(
    postgres: URL, postgres_server: Server, table: str, columns: str
) -> None:
    with postgres_server.connect(str(postgres.database)) as connection:
        connection.execute(f"CREATE TABLE {table} ({columns})".encode())

        said = refused(postgres)

        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert said.endswith(
        f": its table {table} is another program's: give the catalog a database of its own, or a schema"
    )
    assert found == [(table,)]


def test_one_that_computes_while_it_writes_keeps_its_connection(postgres: URL, postgres_server: Server) -> None:
    with postgres_server.connect() as connection:
        limit = f"ALTER DATABASE {postgres.database} SET idle_in_transaction_session_timeout = '100ms'"
        connection.execute(limit.encode())

    with closing(Catalog(postgres)) as catalog:
        with catalog.writing() as connection:
            insert_images(connection, [image("a")])
            time.sleep(0.5)
        assert count(catalog) == 1


def test_what_is_in_a_row_is_not_in_a_message(postgres: URL) -> None:
    with closing(Catalog(postgres)) as catalog:
        add(catalog, "a secret name")

        with pytest.raises(CatalogError) as caught:
            add(catalog, "a secret name")

    assert str(caught.value).endswith(': duplicate key value violates unique constraint "images_source_uri"')


def test_texts_are_sorted_by_their_bytes_whatever_the_locale(postgres: URL, postgres_server: Server) -> None:
    Catalog(postgres).close()

    with postgres_server.connect(str(postgres.database)) as connection:
        found = connection.execute(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type IN ('text', 'character varying')"
        ).fetchall()

    assert len(found) > 30
    assert {collation for _, _, collation in found} == {"C"}


def test_a_reader_cannot_write(postgres: URL) -> None:
    with closing(Catalog(postgres)) as catalog:
        with pytest.raises(CatalogError, match="read-only transaction"), catalog.reading() as connection:
            insert_images(connection, [image("x")])
        add(catalog, "x")  # the connection is as it was before
        assert count(catalog) == 1


def test_one_that_records_waits_for_one_that_writes_and_not_for_its_like(postgres: URL) -> None:
    with closing(Catalog(postgres)) as catalog, closing(Catalog(postgres, lock_seconds=0.2)) as hasty:
        with catalog.writing() as connection:
            insert_images(connection, [image("a")])
            with pytest.raises(CatalogError, match="another process is writing to it"):
                hasty.record(lambda other: insert_images(other, [image("b")]))

        def write(connection: Connection) -> None:
            insert_images(connection, [image("b")])
            hasty.record(lambda other: insert_images(other, [image("c")]))

        catalog.record(write)
        assert count(catalog) == 3


def test_what_is_recorded_is_repeated_where_the_server_gave_it_up(postgres: URL, postgres_server: Server) -> None:
    calls = []
    stopped = threading.Event()

    def write(connection: Connection) -> int:
        insert_images(connection, [image("a")])
        calls.append(1)
        if len(calls) == 1:
            connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$")
        if len(calls) == 2:
            postgres_server.stop()
            stopped.set()
            connection.exec_driver_sql("SELECT 1")
        return len(calls)

    with closing(Catalog(postgres)) as catalog, ThreadPoolExecutor(1) as pool:
        recording = pool.submit(catalog.record, write)
        assert stopped.wait(60)
        postgres_server.start()
        assert recording.result(60) == 3
        assert count(catalog) == 1


def test_a_conflict_that_does_not_end_is_told(postgres: URL) -> None:
    calls = []

    def write(connection: Connection) -> None:
        calls.append(1)
        connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$")

    with closing(Catalog(postgres)) as catalog, pytest.raises(CatalogError, match="again"):
        catalog.record(write)
    assert len(calls) == 6


def test_a_mistake_is_not_repeated(postgres: URL) -> None:
    calls = []

    def write(connection: Connection) -> None:
        calls.append(1)
        connection.execute(text("SELECT 1 / 0"))

    with closing(Catalog(postgres)) as catalog, pytest.raises(CatalogError, match="division by zero"):
        catalog.record(write)
    assert len(calls) == 1


def test_a_server_that_was_restarted_is_found_again(postgres: URL, postgres_server: Server) -> None:
    def write(connection: Connection) -> None:
        insert_images(connection, [image("b")])
        postgres_server.restart()
        insert_images(connection, [image("c")])

    with closing(Catalog(postgres)) as catalog:
        add(catalog, "a")
        with pytest.raises(CatalogError, match="the connection was lost"), catalog.writing() as connection:
            write(connection)
        assert count(catalog) == 1

        postgres_server.stop()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(add, catalog, "d")
            time.sleep(0.5)
            assert not waiting.done()
            postgres_server.start()
            waiting.result(60)
        assert count(catalog) == 2


def test_a_server_that_stays_away_is_told(postgres: URL, postgres_server: Server) -> None:
    with closing(Catalog(postgres, lock_seconds=0.3)) as catalog:
        postgres_server.stop()
        with pytest.raises(CatalogError, match="is the server running, and can this machine reach it"):
            count(catalog)
        postgres_server.start()
        assert count(catalog) == 0


def test_many_connections_record_captions_at_once_and_none_is_lost(postgres: URL) -> None:
    connections, batches, size = 64, 6, 4
    with closing(Catalog(postgres)) as catalog:
        with catalog.writing() as connection:
            rows = list(add_images(connection, *(f"{number:04d}" for number in range(connections * size))).values())
            source = register_source(connection, MODEL)
        start = threading.Barrier(connections)

        def work(number: int) -> None:
            mine = rows[number * size : (number + 1) * size]
            with closing(Catalog(postgres)) as own:
                start.wait(60)
                for turn in range(batches):
                    # The neighbours' images, too: two write the same rows, each in an order of its own.
                    shared = [rows[(number * size + size) % len(rows)]] if turn % 2 else []
                    answers = [answer(row, f"{number}-{turn}", cost=1.0) for row in [*reversed(mine), *shared]]
                    own.record(partial(record_answers, source=source, rows=answers))

        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(work, range(connections)))
        asked = connections * (batches * size + batches // 2)
        with catalog.reading() as connection:
            spending = load_spending(connection)["caption_a"]
            kept = connection.execute(select(captions.c.image, captions.c.attempts, captions.c.cost)).all()
    assert (spending.requests, spending.cost) == (asked, asked)
    assert sorted(row for row, _, _ in kept) == rows
    assert sum(attempts for _, attempts, _ in kept) == asked
    assert sum(cost for _, _, cost in kept) == asked


def test_a_slot_that_is_given_twice_is_refused(postgres: URL) -> None:
    with closing(Catalog(postgres)) as catalog:
        with catalog.writing() as connection:
            ids = add_images(connection, "a", "b")
            take_slots(connection, [{"image": ids["a"], "bucket_id": "wide", "slot": 0}], {"wide": 1})
        with pytest.raises(CatalogError, match="slots_bucket_slot"), catalog.writing() as connection:
            take_slots(connection, [{"image": ids["b"], "bucket_id": "wide", "slot": 0}], {"wide": 2})
        with catalog.reading() as connection:
            assert slot_table(connection).to_pylist() == [{"id": ids["a"], "bucket_id": "wide", "slot": 0}]
            assert connection.execute(select(slots.c.slot)).scalars().all() == [0]
