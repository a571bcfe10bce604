import pyarrow as pa
import pytest
from sqlalchemy import select

from dataset_assets.catalog import tables
from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.images import KNOWN_SCHEMA, insert_images, known_images
from dataset_assets.catalog.schema import images
from dataset_assets_tests.catalog.rows import image


@pytest.mark.parametrize("count", [0, 1, 6, 7])
def test_rows_are_fetched_in_parts(catalog: Catalog, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(tables, "_FETCH", 3)
    with catalog.writing() as connection:
        insert_images(connection, [image(str(number)) for number in range(count)])

    with catalog.reading() as connection:
        table = known_images(connection)

    assert table.schema == KNOWN_SCHEMA
    assert table["uri"].to_pylist() == [str(number) for number in range(count)]
    assert set(table["removed"].to_pylist()) <= {False}


def test_columns_must_be_those_of_the_schema(catalog: Catalog) -> None:
    schema = pa.schema([("a", pa.int32())])

    with catalog.writing() as connection:
        insert_images(connection, [image("a")])

    with catalog.reading() as connection, pytest.raises(ValueError, match="zip"):
        tables.fetch_table(connection, select(*images.c), schema)
