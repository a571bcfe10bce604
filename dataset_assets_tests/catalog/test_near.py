from collections.abc import Sequence

from sqlalchemy import select

from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.near import replace_groups, seated_named
from dataset_assets.catalog.schema import near_duplicates
from dataset_assets.catalog.slots import take_slots
from dataset_assets_tests.catalog.rows import add_images


def seat(catalog: Catalog, *names: str, free: Sequence[str] = ()) -> dict[str, int]:
    """Add images and give them slots, those in `free` none; return the numbers of their rows by name."""
    with catalog.writing() as connection:
        rows = add_images(connection, *names, *free)
        seated = [{"image": rows[name], "bucket_id": "p1x1", "slot": slot} for slot, name in enumerate(names)]
        take_slots(connection, seated, {"p1x1": len(names)})
    return rows


def groups(catalog: Catalog) -> list[tuple[int, int, str]]:
    with catalog.reading() as connection:
        return [tuple(row) for row in connection.execute(select(near_duplicates).order_by(near_duplicates.c.image))]


def test_images_in_slots_are_found_by_their_ids(catalog: Catalog) -> None:
    rows = seat(catalog, "a.jpg", "b.jpg", "c.jpg", free=["d.jpg"])

    with catalog.reading() as connection:
        found = seated_named(connection, ["c.jpg", "a.jpg", "d.jpg", "nowhere.jpg"]).to_pylist()

    assert sorted(found, key=lambda row: str(row["image_id"])) == [
        {"id": rows[name], "image_id": name, "source": "folder", "uri": name} for name in ("a.jpg", "c.jpg")
    ]


def test_no_ids_no_images(catalog: Catalog) -> None:
    seat(catalog, "a.jpg")

    with catalog.reading() as connection:
        assert seated_named(connection, []).num_rows == 0


def test_more_ids_than_a_statement_holds(catalog: Catalog) -> None:
    names = [f"{number}.jpg" for number in range(2_000)]
    rows = seat(catalog, *names)

    with catalog.reading() as connection:
        found = seated_named(connection, names[1:]).to_pydict()

    assert dict(zip(found["image_id"], found["id"], strict=True)) == {name: rows[name] for name in names[1:]}


def test_new_groups_take_the_place_of_all_others(catalog: Catalog) -> None:
    rows = seat(catalog, "a.jpg", "b.jpg", "c.jpg")
    first, second, third = rows.values()
    with catalog.writing() as connection:
        replace_groups(connection, [(first, 1, "0" * 16), (second, 1, "1" * 16)])
    assert groups(catalog) == [(first, 1, "0" * 16), (second, 1, "1" * 16)]

    with catalog.writing() as connection:
        replace_groups(connection, [(second, 2, "2" * 16), (third, 2, "3" * 16)])
    assert groups(catalog) == [(second, 2, "2" * 16), (third, 2, "3" * 16)]

    with catalog.writing() as connection:
        replace_groups(connection, [])
    assert groups(catalog) == []
