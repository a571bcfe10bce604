import pytest

from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.slots import (
    count_slots,
    next_slots,
    release_slots,
    seated_images,
    slot_table,
    take_slots,
)
from dataset_assets.errors import CatalogError
from dataset_assets_tests.catalog.rows import add_images


def seat(image: int, bucket_id: str, slot: int) -> dict[str, object]:
    return {"image": image, "bucket_id": bucket_id, "slot": slot}


@pytest.fixture
def ids(catalog: Catalog) -> dict[str, int]:
    """Return four images, of which three sit in slots."""
    with catalog.writing() as connection:
        ids = add_images(connection, "a", "b", "c", "d")
        take_slots(
            connection,
            [seat(ids["a"], "wide", 1), seat(ids["b"], "wide", 0), seat(ids["c"], "tall", 0)],
            {"wide": 2, "tall": 1},
        )
    return ids


def test_images_are_seated_by_bucket_and_slot(catalog: Catalog, ids: dict[str, int]) -> None:
    with catalog.reading() as connection:
        seated = seated_images(connection)
        taken = slot_table(connection).to_pylist()
        assert next_slots(connection) == {"wide": 2, "tall": 1}
        assert count_slots(connection) == {"tall": 1, "wide": 2}

    assert [(row["bucket_id"], row["slot"], row["uri"], row["id"]) for row in seated.to_pylist()] == [
        ("tall", 0, "c", ids["c"]),
        ("wide", 0, "b", ids["b"]),
        ("wide", 1, "a", ids["a"]),
    ]
    assert {(row["id"], row["bucket_id"], row["slot"]) for row in taken} == {
        (ids["a"], "wide", 1),
        (ids["b"], "wide", 0),
        (ids["c"], "tall", 0),
    }


@pytest.mark.parametrize(
    ("seats", "names"),
    [(("wide", range(2)), "ba"), (("wide", range(1, 9)), "a"), (("tall", range(1)), "c"), (("none", range(9)), "")],
)
@pytest.mark.usefixtures("ids")
def test_a_range_of_slots(catalog: Catalog, seats: tuple[str, range], names: str) -> None:
    with catalog.reading() as connection:
        assert seated_images(connection, seats)["uri"].to_pylist() == list(names)


def test_a_released_slot_is_empty_and_not_the_next(catalog: Catalog, ids: dict[str, int]) -> None:
    with catalog.writing() as connection:
        release_slots(connection, [ids["a"], ids["c"]])
        release_slots(connection, [])

    with catalog.reading() as connection:
        assert seated_images(connection)["uri"].to_pylist() == ["b"]
        assert count_slots(connection) == {"wide": 1}
        assert next_slots(connection) == {"wide": 2, "tall": 1}


def test_an_image_may_leave_its_bucket_for_another_at_once(catalog: Catalog, ids: dict[str, int]) -> None:
    with catalog.writing() as connection:
        release_slots(connection, [ids["a"]])
        take_slots(connection, [seat(ids["a"], "tall", 1), seat(ids["d"], "wide", 2)], {"tall": 2, "wide": 3})

    with catalog.reading() as connection:
        assert seated_images(connection)["uri"].to_pylist() == ["c", "a", "b", "d"]
        assert next_slots(connection) == {"wide": 3, "tall": 2}


@pytest.mark.parametrize(
    "row",
    [("d", "wide", 1), ("a", "wide", 2), ("d", "unheard", 0)],
    ids=["a slot that is taken", "an image that sits", "a bucket that is not there"],
)
def test_what_must_not_be_is_refused(catalog: Catalog, ids: dict[str, int], row: tuple[str, str, int]) -> None:
    name, bucket_id, slot = row

    with pytest.raises(CatalogError), catalog.writing() as connection:
        take_slots(connection, [seat(ids[name], bucket_id, slot)], {})

    with catalog.reading() as connection:
        assert seated_images(connection)["uri"].to_pylist() == ["c", "b", "a"]


def test_an_image_that_is_not_there_has_no_slot(catalog: Catalog) -> None:
    with pytest.raises(CatalogError), catalog.writing() as connection:
        take_slots(connection, [seat(1, "wide", 0)], {"wide": 1})
