"""Brings a catalog to the newest schema: an empty one at once, an older one step by step. No queries of stages here.

A published step is never edited: a change to schema.py comes with a new step at the end of `STEPS`, which makes the
same change to catalogs that are there already.
"""

from collections.abc import Callable

from sqlalchemy import Connection, func, insert, inspect, select

from dataset_assets.catalog.schema import metadata, schema_version

STEPS: tuple[Callable[[Connection], None], ...] = ()  # the first makes version 2 of version 1


def newest_version() -> int:
    """Return the version of the schema that schema.py describes."""
    return 1 + len(STEPS)


def current_version(connection: Connection) -> int:
    """Return the version of the catalog's schema: 0 for an empty database."""
    if not inspect(connection).has_table(schema_version.name):
        return 0
    newest: int | None = connection.execute(select(func.max(schema_version.c.version))).scalar_one()
    return newest or 0


def migrate(connection: Connection) -> None:
    """Bring the catalog to the newest version. The caller commits."""
    version = current_version(connection)
    if version == 0:
        metadata.create_all(connection)
    for step in STEPS[version - 1 :] if version else ():
        step(connection)
    if version < newest_version():
        connection.execute(insert(schema_version).values(version=newest_version()))
