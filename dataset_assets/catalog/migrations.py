"""Brings a catalog to the newest schema, step by step, each step in one transaction. No queries of stages here.

A published step is never edited: a change to schema.py comes with a new step at the end of `STEPS`.
"""

from collections.abc import Callable

from sqlalchemy import Connection, func, insert, inspect, select

from dataset_assets.catalog.schema import metadata, schema_version
from dataset_assets.errors import CatalogError


def _create(connection: Connection) -> None:
    metadata.create_all(connection)


STEPS: tuple[Callable[[Connection], None], ...] = (_create,)


def current_version(connection: Connection) -> int:
    """Return the number of steps the catalog has taken: 0 for an empty database."""
    if not inspect(connection).has_table(schema_version.name):
        return 0
    newest: int | None = connection.execute(select(func.max(schema_version.c.version))).scalar_one()
    return newest or 0


def migrate(connection: Connection) -> None:
    """Take the steps the catalog still lacks. The caller commits.

    Raises CatalogError for a catalog that a newer version of this package has made.
    """
    version = current_version(connection)
    if version > len(STEPS):
        raise CatalogError(
            f"the catalog has schema version {version}, this version of dataset_assets knows {len(STEPS)}: upgrade it"
        )
    for number, step in enumerate(STEPS[version:], start=version + 1):
        step(connection)
        connection.execute(insert(schema_version).values(version=number))
