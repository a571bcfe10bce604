"""Query results as Arrow tables: what the stages compute on."""

from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, Select

_FETCH = 1_000  # rows a fetch: few Python objects alive at once, which the collector would look through again and again


def fetch_table(connection: Connection, statement: Select[Any], schema: pa.Schema) -> pa.Table:
    """Return the rows of `statement`, whose columns stand in the order of `schema`, as a table of that schema."""
    # A server sends them in such portions as well: of all at a time it would be their texts that are in memory.
    result = connection.execute(statement, execution_options={"stream_results": True, "max_row_buffer": _FETCH})
    batches = []
    while rows := result.fetchmany(_FETCH):
        columns = zip(*rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        batches.append(pa.record_batch(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema=schema)
