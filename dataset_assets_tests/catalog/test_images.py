import pytest
from sqlalchemy import select

from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.images import (
    KNOWN_SCHEMA,
    USABLE_SCHEMA,
    count_images,
    insert_images,
    known_images,
    record_checksums,
    update_images,
    usable_images,
)
from dataset_assets.catalog.schema import images
from dataset_assets.errors import CatalogError, DropReason
from dataset_assets_tests.catalog.rows import add_images, image


def test_an_empty_index_has_its_columns(catalog: Catalog) -> None:
    with catalog.reading() as connection:
        assert known_images(connection).schema == KNOWN_SCHEMA
        assert usable_images(connection).schema == USABLE_SCHEMA
        assert count_images(connection) == {}


def test_nothing_to_write_is_fine(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        insert_images(connection, [])
        update_images(connection, [])
        record_checksums(connection, [])
        assert count_images(connection) == {}


def test_any_text_and_large_numbers_come_back(catalog: Catalog) -> None:
    name = "new\nline '\"%41\\ 😀 " + "n" * 5000
    with catalog.writing() as connection:
        insert_images(connection, [image(name, size=1 << 45, width=2_000_000, height=1_000_000, sidecars="txt:1-2")])

    with catalog.reading() as connection:
        (row,) = known_images(connection).to_pylist()
        size = connection.execute(select(images.c.size)).scalar_one()
    assert (row["uri"], row["image_id"], row["width"], row["sidecars"]) == (name, name, 2_000_000, "txt:1-2")
    assert size == 1 << 45


def test_usable_are_those_without_a_reason_that_are_there(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        insert_images(
            connection,
            [
                image("good"),
                image("gone", removed=True),
                image("bad", reason=DropReason.DECODE_ERROR.value),
                image("empty", reason=DropReason.EMPTY_FILE.value),
                image("broken and gone", reason=DropReason.EMPTY_FILE.value, removed=True),
                image("good too"),
            ],
        )

    with catalog.reading() as connection:
        assert sorted(usable_images(connection)["image_id"].to_pylist()) == ["good", "good too"]
        assert count_images(connection) == {"": 2, DropReason.DECODE_ERROR: 1, DropReason.EMPTY_FILE: 1}
        assert known_images(connection).num_rows == 6


def test_the_same_name_may_be_in_two_sources_but_not_twice_in_one(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        insert_images(connection, [image("a"), image("a", source="other")])

    with pytest.raises(CatalogError, match=r"(?i)unique"), catalog.writing() as connection:
        insert_images(connection, [image("a", image_id="b")])


def test_an_update_touches_the_columns_and_rows_it_names(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        ids = add_images(connection, "a", "b", "c")
        update_images(connection, [{"id": ids["a"], "width": 10}, {"id": ids["b"], "width": 20}])
        record_checksums(connection, [(ids["b"], "f" * 64)])
        update_images(connection, [{"id": 999_999, "removed": True}])

    with catalog.reading() as connection:
        rows = {row["uri"]: row for row in known_images(connection).to_pylist()}
    assert {uri: (row["width"], row["checksum"]) for uri, row in rows.items()} == {
        "a": (10, ""),
        "b": (20, "f" * 64),
        "c": (640, ""),
    }
    assert {row["height"] for row in rows.values()} == {480}
    assert not any(row["removed"] for row in rows.values())
