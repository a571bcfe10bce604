import time
from operator import attrgetter
from typing import Any

import pytest
from sqlalchemy import update

from dataset_assets.catalog.captions import (
    CAPTION_SCHEMA,
    CaptionSource,
    CaptionStatus,
    SourceIdentity,
    activate_source,
    count_captions,
    count_newest,
    list_sources,
    put_captions,
    register_source,
    seated_captions,
)
from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.schema import caption_sources
from dataset_assets.catalog.slots import take_slots
from dataset_assets.errors import CatalogError
from dataset_assets_tests.catalog.rows import add_images


def register(catalog: Catalog, variant: str, model: str = "txt", parameters: str = "{}") -> CaptionSource:
    with catalog.writing() as connection:
        return register_source(
            connection, SourceIdentity(variant=variant, backend="sidecar", model=model, parameters=parameters)
        )


def caption(image: int, source: int, text: str, status: CaptionStatus = CaptionStatus.OK) -> dict[str, Any]:
    return {
        "image": image,
        "caption_source": source,
        "status": status.value,
        "text": text,
        "detail": "",
        "input_version": "txt:1-2",
        "created_at": 1.5,
    }


@pytest.fixture
def ids(catalog: Catalog) -> dict[str, int]:
    """Return three images, of which two sit in slots 0 and 1."""
    with catalog.writing() as connection:
        ids = add_images(connection, "a", "b", "c")
        rows = [{"image": ids[name], "bucket_id": "wide", "slot": slot} for slot, name in enumerate("ab")]
        take_slots(connection, rows, {"wide": 2})
    return ids


def test_a_source_is_made_once_and_keeps_its_number(catalog: Catalog) -> None:
    before = int(time.time())
    first, other = register(catalog, "caption_a"), register(catalog, "caption_b")

    assert register(catalog, "caption_a") == first
    assert register(catalog, "caption_a", model="json:title").id not in (first.id, other.id)
    assert register(catalog, "caption_a", parameters='{"x":1}').id not in (first.id, other.id)
    with catalog.reading() as connection:
        sources = list_sources(connection)
    assert [source.id for source in sources] == [1, 2, 3, 4]
    assert sources[:2] == (first, other)
    assert (first.variant, first.backend, first.model) == ("caption_a", "sidecar", "txt")
    assert before <= first.created_at <= time.time()


def test_captions_of_a_range_of_slots(catalog: Catalog, ids: dict[str, int]) -> None:
    one, two = register(catalog, "caption_a"), register(catalog, "caption_b")
    with catalog.writing() as connection:
        put_captions(
            connection,
            [
                caption(ids["a"], one.id, "zero 😀\n'\"\\"),
                caption(ids["b"], one.id, "", CaptionStatus.EMPTY),
                caption(ids["b"], two.id, "one"),
                caption(ids["c"], one.id, "sits nowhere"),
            ],
        )
        put_captions(connection, [])

    with catalog.reading() as connection:
        table = seated_captions(connection, "wide", range(9))
        last = seated_captions(connection, "wide", range(1, 2))
        none = seated_captions(connection, "tall", range(9))
    assert table.schema == none.schema == CAPTION_SCHEMA
    rows = {(row["slot"], row["caption_source"]): (row["id"], row["status"], row["text"]) for row in table.to_pylist()}
    assert rows == {
        (0, one.id): (ids["a"], "ok", "zero 😀\n'\"\\"),
        (1, one.id): (ids["b"], "empty", ""),
        (1, two.id): (ids["b"], "ok", "one"),
    }
    assert set(last["slot"].to_pylist()) == {1}
    assert none.num_rows == 0


def test_a_caption_of_the_same_image_and_source_is_replaced(catalog: Catalog, ids: dict[str, int]) -> None:
    source = register(catalog, "caption_a")
    for text in ("first", "second"):
        with catalog.writing() as connection:
            put_captions(connection, [caption(ids["a"], source.id, text)])

    with catalog.reading() as connection:
        assert seated_captions(connection, "wide", range(9))["text"].to_pylist() == ["second"]


def test_images_in_slots_are_counted_once_a_variant(catalog: Catalog, ids: dict[str, int]) -> None:
    one, again, other = register(catalog, "x"), register(catalog, "x", model="caption"), register(catalog, "y")
    with catalog.writing() as connection:
        put_captions(
            connection,
            [
                caption(ids["a"], one.id, "1"),
                caption(ids["a"], again.id, "2"),
                caption(ids["b"], one.id, "", CaptionStatus.ERROR),
                caption(ids["b"], other.id, "3"),
                caption(ids["c"], other.id, "sits nowhere"),
            ],
        )

    with catalog.reading() as connection:
        every = count_captions(connection, list_sources(connection))
        newest = count_captions(connection, [again])

    assert every == {("x", "ok"): 1, ("x", "error"): 1, ("y", "ok"): 1}
    assert newest == {("x", "ok"): 1}


def test_an_image_counts_with_what_the_newest_source_of_its_variant_says(catalog: Catalog, ids: dict[str, int]) -> None:
    one, again, other = register(catalog, "x"), register(catalog, "x", model="caption"), register(catalog, "y")
    with catalog.writing() as connection:
        assert count_newest(connection, [one, again, other]) == {}
        put_captions(
            connection,
            [
                caption(ids["a"], one.id, "1"),
                caption(ids["a"], again.id, "", CaptionStatus.ERROR),
                caption(ids["a"], other.id, "2"),
                caption(ids["b"], one.id, "3"),
                caption(ids["c"], again.id, "sits nowhere"),
            ],
        )
        every = count_newest(connection, list_sources(connection))
        first = count_newest(connection, [one])
        activate_source(connection, one)  # the settings come back to it
        back = count_newest(connection, list_sources(connection))
        none = count_newest(connection, [])

    assert every == {("x", "error"): 1, ("x", "ok"): 1, ("y", "ok"): 1}
    assert first == {("x", "ok"): 2}
    assert back == {("x", "ok"): 2, ("y", "ok"): 1}
    assert none == {}


@pytest.mark.parametrize("activated", [True, False])
def test_the_source_that_the_settings_name_now_is_the_newest_whatever_another_machines_clock_says(
    catalog: Catalog, activated: bool
) -> None:
    ahead = time.time() + 120
    there, here = register(catalog, "x"), register(catalog, "x", model="caption")
    with catalog.writing() as connection:
        changed = {"activated_at": ahead} if activated else {"created_at": int(ahead)}
        connection.execute(update(caption_sources).filter_by(id=there.id).values(**changed))

        named = activate_source(connection, here)

        newest = max(list_sources(connection), key=attrgetter("since"))
        again = activate_source(connection, newest)
    assert newest == named
    assert named.id == here.id
    assert again == named


def test_a_caption_of_no_image_or_no_source_is_refused(catalog: Catalog, ids: dict[str, int]) -> None:
    source = register(catalog, "caption_a")

    for image, number in ((ids["a"], 99), (99, source.id)):
        with pytest.raises(CatalogError), catalog.writing() as connection:
            put_captions(connection, [caption(image, number, "text")])
