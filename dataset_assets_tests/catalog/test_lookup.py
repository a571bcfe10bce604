from dataset_assets.catalog.captions import SourceIdentity, record_answers, register_source
from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.images import insert_images
from dataset_assets.catalog.lookup import (
    NamedImage,
    captions_of,
    images_at,
    images_named,
    images_seated,
    list_names,
    unseated_images,
    unusable_images,
)
from dataset_assets.catalog.slots import take_slots
from dataset_assets_tests.captions.captioned import answer
from dataset_assets_tests.catalog.rows import add_images, image


def test_an_image_is_found_by_its_id_its_uri_and_its_place(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        insert_images(connection, [image("a%20.jpg", image_id="my/a .jpg"), image("b.jpg", removed=True)])

    with catalog.reading() as connection:
        (by_id,) = images_named(connection, ["my/a .jpg"])
        assert images_named(connection, ["a%20.jpg", "nothing"]) == [by_id]
        assert images_at(connection, [("folder", "a%20.jpg")]) == [by_id]
        assert images_at(connection, [("other", "a%20.jpg")]) == []
        assert images_at(connection, []) == []
        assert images_named(connection, []) == []
        assert [one.removed for one in images_named(connection, ["b.jpg"])] == [True]
        assert sorted(list_names(connection)) == ["b.jpg", "my/a .jpg"]
    assert by_id == NamedImage(
        id=by_id.id, source="folder", uri="a%20.jpg", version="1000-1", checksum="", image_id="my/a .jpg", width=640,
        height=480, reason="", detail="", removed=False, bucket_id="", slot=-1,
    )  # fmt: skip


def test_an_image_in_a_slot_says_where(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        ids = add_images(connection, "a.jpg", "b.jpg")
        take_slots(connection, [{"image": ids["b.jpg"], "bucket_id": "wide", "slot": 7}], {"wide": 8})

    with catalog.reading() as connection:
        found = images_named(connection, ["a.jpg", "b.jpg"])
    assert [(one.uri, one.bucket_id, one.slot) for one in found] == [("a.jpg", "", -1), ("b.jpg", "wide", 7)]


def test_all_captions_of_images_by_source(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        ids = add_images(connection, "a.jpg", "b.jpg")
        sources = [
            register_source(connection, SourceIdentity(variant=name, backend="openai", model="m")) for name in "ba"
        ]
        for source in reversed(sources):
            record_answers(connection, source, [answer(ids["a.jpg"], f"by {source.variant}"), answer(ids["b.jpg"], "")])

    with catalog.reading() as connection:
        assert captions_of(connection, []) == {}
        both = captions_of(connection, list(ids.values()))
        assert captions_of(connection, [ids["a.jpg"]]) == {ids["a.jpg"]: both[ids["a.jpg"]]}
    assert {one.text for one in both[ids["b.jpg"]]} == {""}
    found = both[ids["a.jpg"]]
    assert [(one.caption_source, one.text) for one in found] == [(sources[0].id, "by b"), (sources[1].id, "by a")]
    assert {(one.attempts, one.provider, one.prompt_tokens, one.cost) for one in found} == {
        (1, "Someone", 300, 0.000123)
    }


def test_images_by_what_became_of_them(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        insert_images(
            connection,
            [
                image("bad.jpg", reason="decode_errors", detail="broken"),
                image("gone.jpg", reason="decode_errors", removed=True),
                image("away.jpg", removed=True),
            ],
        )
        ids = add_images(connection, "a.jpg", "b.jpg")
        take_slots(connection, [{"image": ids["b.jpg"], "bucket_id": "wide", "slot": 0}], {"wide": 1})

    with catalog.reading() as connection:
        assert [one.uri for one in images_seated(connection, ["a.jpg", "b.jpg", "bad.jpg", "x"])] == ["b.jpg"]
        assert [(one.uri, one.detail) for one in unusable_images(connection)] == [("bad.jpg", "broken")]
        assert unseated_images(connection).to_pydict()["uri"] == ["a.jpg"]
