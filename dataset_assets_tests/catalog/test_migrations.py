import pytest
from sqlalchemy import URL, Connection, inspect, text

from dataset_assets.catalog import migrations
from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.migrations import current_version, migrate, newest_version
from dataset_assets.catalog.near import replace_groups
from dataset_assets.catalog.schema import metadata
from dataset_assets_tests.catalog.rows import add_images

VERSION_2 = [  # columns that version 2 added
    *(("caption_sources", name) for name in ("activated_at", "system_prompt", "user_prompt")),
    *(("captions", name) for name in ("attempts", "finish_reason", "provider", "prompt_tokens", "completion_tokens")),
    *(("captions", name) for name in ("cost", "latency")),
]


def columns(catalog: Catalog) -> dict[str, set[tuple[str, str]]]:
    """Return names and types, as the database calls them: all whole numbers alike in SQLite, where they are alike."""
    alike = "BIGINT" if catalog.on_server else "INTEGER"
    with catalog.reading() as connection:
        described = inspect(connection)
        return {
            table: {(one["name"], str(one["type"]).replace("BIGINT", alike)) for one in described.get_columns(table)}
            for table in described.get_table_names()
        }


def version(catalog: Catalog) -> int:
    with catalog.reading() as connection:
        return current_version(connection)


def add_colour(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE images ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'"))


def break_down(_: Connection) -> None:
    raise ZeroDivisionError


def test_an_empty_database_becomes_what_the_schema_says(catalog: Catalog) -> None:
    expected = {table.name: {column.name for column in table.columns} for table in metadata.tables.values()}

    assert {table: {name for name, _ in there} for table, there in columns(catalog).items()} == expected
    assert version(catalog) == newest_version()


def test_migrating_twice_changes_nothing(catalog: Catalog) -> None:
    before = columns(catalog)

    with catalog.writing() as connection:
        migrate(connection)

    assert columns(catalog) == before
    assert version(catalog) == newest_version()


def test_an_older_catalog_takes_the_steps_it_lacks(
    catalog_url: URL, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = version(catalog)
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, add_colour))

    for _ in range(2):  # the second time there is nothing to do
        newer = Catalog(catalog_url)
        assert version(newer) == was + 1
        assert ("colour", "TEXT") in columns(newer)["images"]
        newer.close()


def test_a_catalog_of_version_1_becomes_what_the_schema_says(catalog_url: URL, catalog: Catalog) -> None:
    expected = columns(catalog)
    with catalog.writing() as connection:
        connection.exec_driver_sql("DROP TABLE near_duplicates")
        connection.exec_driver_sql("DROP TABLE spending")
        connection.exec_driver_sql("DROP INDEX captions_input")
        for table, name in VERSION_2:
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {name}")
        connection.exec_driver_sql("UPDATE schema_version SET version = 1")

    newer = Catalog(catalog_url)

    assert columns(newer) == expected
    assert version(newer) == newest_version()
    with newer.writing() as connection:
        (image,) = add_images(connection, "a.jpg").values()
        replace_groups(connection, [(image, 1, "0123456789abcdef")])
    newer.close()


def test_a_step_that_fails_leaves_the_catalog_as_it_was(
    catalog_url: URL, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, was = columns(catalog), version(catalog)
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, add_colour, break_down))

    with pytest.raises(ZeroDivisionError):
        Catalog(catalog_url)

    assert columns(catalog) == before
    assert version(catalog) == was
