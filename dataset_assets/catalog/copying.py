"""A whole catalog from one database into another, whichever kind each is. Nothing is known here of what it is about."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, select, text

from dataset_assets.catalog.database import BATCH, Catalog, insert_rows
from dataset_assets.catalog.schema import metadata, schema_version
from dataset_assets.errors import CatalogError
from dataset_assets.progress import Progress, Silence

TABLES = tuple(table for table in metadata.sorted_tables if table is not schema_version)  # each after those it names


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What was copied: rows by table."""

    rows: Mapping[str, int]


def copy_catalog(source: Catalog, target: Catalog, *, progress: Progress | None = None) -> Copied:
    """Return what was copied of `source`, as it was at one moment, into `target`, which must be empty.

    All of it is committed together: what is killed leaves the target as empty as it was. Raises CatalogError where it
    is not empty, cannot be written, or has not what was read at the end; then nothing is written.
    """
    progress = progress or Silence()
    with source.reading() as reader, target.writing() as writer:
        if held := [name for name, rows in _count(writer).items() if rows]:
            raise CatalogError(
                f"catalog {target.name}: it is not empty ({', '.join(held)}); a copy needs a database with nothing in "
                "it, so that no slot and no caption is lost"
            )
        expected = _count(reader)
        progress.start("catalog copy", sum(expected.values()), "rows")
        for table in TABLES:
            _copy_table(reader, writer, table, progress)
            _set_sequence(writer, table)
        progress.finish()
        copied = _count(writer)
        if copied != expected:
            raise CatalogError(f"catalog {target.name}: {copied} rows arrived of {expected}; nothing is kept of them")
    return Copied(rows=copied)


def _count(connection: Connection) -> dict[str, int]:
    """Return how many rows each table has."""
    return {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in TABLES}


def _copy_table(reader: Connection, writer: Connection, table: Table, progress: Progress) -> None:
    names = table.columns.keys()
    for batch in reader.execute(select(table), execution_options={"yield_per": BATCH}).partitions():
        insert_rows(writer, table, [dict(zip(names, row, strict=True)) for row in batch])
        progress.advance(len(batch))


def _set_sequence(connection: Connection, table: Table) -> None:
    """Let the database go on numbering after the rows that brought their numbers with them."""
    column = table.autoincrement_column
    if column is None or connection.dialect.name != "postgresql":
        return  # SQLite goes on after the largest
    sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
    newest = f"SELECT max({column.name}) AS newest FROM {table.name}"
    connection.execute(text(f"SELECT setval({sequence}, newest) FROM ({newest}) AS numbers WHERE newest IS NOT NULL"))
