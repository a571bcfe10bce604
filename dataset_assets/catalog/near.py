"""Which images look alike, as they were found last. Finding them is images/near.py's."""

from collections.abc import Iterable, Sequence

import pyarrow as pa
from sqlalchemy import Connection, delete, select

from dataset_assets.catalog.database import cut, insert_rows
from dataset_assets.catalog.schema import images, near_duplicates, slots
from dataset_assets.catalog.tables import fetch_table

NAMED_SCHEMA = pa.schema([("id", pa.int64()), ("image_id", pa.string()), ("source", pa.string()), ("uri", pa.string())])


def seated_named(connection: Connection, image_ids: Sequence[str]) -> pa.Table:
    """Return the images in slots that have these ids, with the columns of `NAMED_SCHEMA`."""
    tables = [NAMED_SCHEMA.empty_table()]
    for some in cut(image_ids):
        wanted = images.c.image_id.in_(some)
        columns = (images.c[name] for name in NAMED_SCHEMA.names)
        tables.append(fetch_table(connection, select(*columns).join_from(images, slots).where(wanted), NAMED_SCHEMA))
    return pa.concat_tables(tables)


def replace_groups(connection: Connection, found: Iterable[tuple[int, int, str]]) -> None:
    """Make these all that is known of images that look alike: an image's row, its group and its look each."""
    rows = [{"image": image, "group_id": group_id, "look": look} for image, group_id, look in found]
    connection.execute(delete(near_duplicates))
    insert_rows(connection, near_duplicates, rows)
