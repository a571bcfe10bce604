from dataclasses import replace

import pytest

from dataset_assets.catalog.captions import CaptionStatus, SourceIdentity, list_sources, put_captions, register_source
from dataset_assets.catalog.database import BATCH, Catalog
from dataset_assets.catalog.exchange import (
    FoundImage,
    antedate_source,
    count_sourced,
    find_captions,
    find_images,
    reset_attempts,
    seated_in,
    select_images,
    stream_captions,
)
from dataset_assets.catalog.slots import take_slots
from dataset_assets_tests.catalog.rows import add_images

IDENTITY = SourceIdentity(variant="caption_a", backend="imported", model="m")
OTHER = replace(IDENTITY, variant="caption_b")


def caption(image: int, source: int, status: str = "ok") -> dict[str, object]:
    return {
        "image": image,
        "caption_source": source,
        "status": status,
        "text": f"{image} by {source}",
        "detail": "",
        "input_version": "",
        "created_at": 1.5,
        "attempts": 3,
    }


@pytest.fixture
def ids(catalog: Catalog) -> dict[str, int]:
    """Return three images with captions of two sources; the last has no slot and one caption only."""
    with catalog.writing() as connection:
        one, two = (register_source(connection, identity, created_at=1000) for identity in (IDENTITY, OTHER))
        ids = add_images(connection, "a", "b", "c")
        rows = [{"image": ids[name], "bucket_id": "wide", "slot": slot} for name, slot in (("a", 0), ("b", 9))]
        take_slots(connection, rows, {"wide": 10})
        put_captions(connection, [caption(ids[name], two.id, "error") for name in "bca"])
        put_captions(connection, [caption(ids[name], one.id) for name in "ba"])
    return ids


def test_captions_are_streamed_by_image_and_source(catalog: Catalog, ids: dict[str, int]) -> None:
    columns = ["text", "image_id", "source", "variant", "source_created_at", "created_at"]
    with catalog.reading() as connection:
        (all_rows,) = stream_captions(connection, columns)
        (chosen,) = stream_captions(connection, ["text"], ["caption_b", "caption_z"])
        counts = [count_sourced(connection, some) for some in ([], ["caption_a"], ["caption_a", "caption_b"], ["z"])]

    assert [row[0] for row in all_rows] == ["1 by 1", "1 by 2", "2 by 1", "2 by 2", "3 by 2"]
    assert all_rows[1] == ("1 by 2", "a", "folder", "caption_b", 1000, 1.5)
    assert chosen == [("1 by 2",), ("2 by 2",), ("3 by 2",)]
    assert counts == [5, 2, 5, 0]


def test_a_stream_comes_in_batches(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        source = register_source(connection, IDENTITY)
        ids = add_images(connection, *(f"{number:05d}" for number in range(BATCH + 1)))
        put_captions(connection, [caption(row, source.id) for row in ids.values()])

    with catalog.reading() as connection:
        assert [len(rows) for rows in stream_captions(connection, ["text"])] == [BATCH, 1]


def test_images_are_found_by_many_ids(catalog: Catalog, ids: dict[str, int]) -> None:
    with catalog.reading() as connection:
        found = find_images(connection, [*(f"not there {number}" for number in range(3000)), "a", "c"])

    assert found == {
        name: [FoundImage(id=ids[name], image_id=name, source="folder", checksum="", removed=False, seated=seated)]
        for name, seated in (("a", True), ("c", False))
    }


def test_captions_are_found_by_image_and_source(catalog: Catalog, ids: dict[str, int]) -> None:
    with catalog.reading() as connection:
        found = find_captions(connection, [*range(100, 3000), ids["a"], ids["c"]])

    assert {key: row["text"] for key, row in found.items()} == {
        (ids["a"], 1): "1 by 1",
        (ids["a"], 2): "1 by 2",
        (ids["c"], 2): "3 by 2",
    }
    assert found[ids["c"], 2]["status"] == "error"


def test_the_partitions_of_images(catalog: Catalog, ids: dict[str, int]) -> None:
    with catalog.reading() as connection:
        (source,) = (one for one in list_sources(connection) if one.identity == IDENTITY)
        found = [
            seated_in(connection, ids.values(), 4),
            seated_in(connection, ids.values(), 10),
            seated_in(connection, [ids["c"]], 4),
            seated_in(connection, select_images(source, [CaptionStatus.OK]), 4),
            seated_in(connection, select_images(source, [CaptionStatus.ERROR]), 4),
        ]

    assert found == [[("wide", 0), ("wide", 2)], [("wide", 0)], [], [("wide", 0), ("wide", 2)], []]


def test_attempts_are_reset_for_one_source(catalog: Catalog, ids: dict[str, int]) -> None:
    with catalog.writing() as connection:
        one, two = list_sources(connection)
        assert reset_attempts(connection, one, [CaptionStatus.ERROR, CaptionStatus.EMPTY]) == 0
        assert reset_attempts(connection, two, [CaptionStatus.ERROR, CaptionStatus.EMPTY]) == 3
        left = find_captions(connection, ids.values())

    assert {key: row["attempts"] for key, row in left.items()} == {
        (image, source): 0 if source == two.id else 3 for image, source in left
    }


def test_only_a_source_without_captions_can_become_older(catalog: Catalog, ids: dict[str, int]) -> None:
    with catalog.writing() as connection:
        register_source(connection, replace(IDENTITY, model="unused"), created_at=1000)
        register_source(connection, replace(IDENTITY, model="older"), created_at=10)
        for source in list_sources(connection):
            antedate_source(connection, source, 500)
        times = {one.model + one.variant[-2:]: one.created_at for one in list_sources(connection)}

    assert times == {"m_a": 1000, "m_b": 1000, "unused_a": 500, "older_a": 10}
