"""Brings a catalog to the newest schema: an empty one at once, an older one step by step. No queries of stages here.

A published step is never edited: a change to schema.py comes with a new step at the end of `STEPS`, which makes the
same change to catalogs that are there already.
"""

from collections.abc import Callable

from sqlalchemy import Connection, func, insert, inspect, select

from dataset_assets.catalog.schema import metadata, schema_version


def _add_model_captions(connection: Connection) -> None:
    """What a model's answer cost and who gave it, the prompts, and the account of each variant."""
    text, string = _sorted_by_bytes(connection, "TEXT"), _sorted_by_bytes(connection, "VARCHAR")
    additions = {
        "caption_sources": (
            "activated_at FLOAT NOT NULL DEFAULT 0",
            f"system_prompt {text} NOT NULL DEFAULT ''",
            f"user_prompt {text} NOT NULL DEFAULT ''",
        ),
        "captions": (
            "attempts INTEGER NOT NULL DEFAULT 1",
            f"finish_reason {string} NOT NULL DEFAULT ''",
            f"provider {string} NOT NULL DEFAULT ''",
            "prompt_tokens BIGINT NOT NULL DEFAULT 0",
            "completion_tokens BIGINT NOT NULL DEFAULT 0",
            "cost FLOAT NOT NULL DEFAULT 0",
            "latency FLOAT NOT NULL DEFAULT 0",
        ),
    }
    for table, columns in additions.items():
        for column in columns:
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column}")
    connection.exec_driver_sql("UPDATE caption_sources SET activated_at = created_at")
    connection.exec_driver_sql("CREATE INDEX captions_input ON captions (caption_source, input_version)")
    # A sidecar that is not there was called unavailable, which now is what a model says that sees no image.
    connection.exec_driver_sql("UPDATE captions SET status = 'missing' WHERE status = 'unavailable'")
    connection.exec_driver_sql(
        f"CREATE TABLE spending (variant {string} NOT NULL PRIMARY KEY, requests BIGINT NOT NULL, "
        "prompt_tokens BIGINT NOT NULL, completion_tokens BIGINT NOT NULL, cost FLOAT NOT NULL)"
    )


def _add_near_duplicates(connection: Connection) -> None:
    """Which images look alike."""
    connection.exec_driver_sql(
        "CREATE TABLE near_duplicates (image BIGINT NOT NULL PRIMARY KEY REFERENCES images (id), "
        f"group_id INTEGER NOT NULL, look {_sorted_by_bytes(connection, 'VARCHAR(16)')} NOT NULL)"
    )


def _sorted_by_bytes(connection: Connection, text: str) -> str:
    """Return a type of texts as the schema has it (schema.py)."""
    return f'{text} COLLATE "C"' if connection.dialect.name == "postgresql" else text


def _make_version_2(connection: Connection) -> None:
    _add_model_captions(connection)
    _add_near_duplicates(connection)


STEPS: tuple[Callable[[Connection], None], ...] = (_make_version_2,)  # of version 1


def newest_version() -> int:
    """Return the version of the schema that schema.py describes."""
    return 1 + len(STEPS)


def current_version(connection: Connection) -> int:
    """Return the version of the catalog's schema: 0 for an empty database."""
    if not _is_ours(connection):
        return 0
    newest: int | None = connection.execute(select(func.max(schema_version.c.version))).scalar_one()
    return newest or 0


def find_foreign(connection: Connection) -> str:
    """Return the name of a table that stands where one of a new catalog would be made, "" where there is none."""
    if _is_ours(connection):
        return ""
    there = inspect(connection)
    return next((name for name in metadata.tables if there.has_table(name)), "")


def _is_ours(connection: Connection) -> bool:
    """Return whether the database has our schema_version; other programs call a table so, too."""
    there, name = inspect(connection), schema_version.name
    return there.has_table(name) and any(one["name"] == "version" for one in there.get_columns(name))


def migrate(connection: Connection) -> None:
    """Bring the catalog to the newest version. The caller commits."""
    version = current_version(connection)
    if version == 0:
        metadata.create_all(connection)
    for step in STEPS[version - 1 :] if version else ():
        step(connection)
    if version < newest_version():
        connection.execute(insert(schema_version).values(version=newest_version()))
