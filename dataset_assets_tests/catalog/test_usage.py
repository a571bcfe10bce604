from typing import Any

from dataset_assets.catalog.captions import CaptionSource, SourceIdentity, put_captions, record_answers, register_source
from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.slots import take_slots
from dataset_assets.catalog.usage import Usage, count_statuses, measure_usage
from dataset_assets_tests.captions.captioned import answer
from dataset_assets_tests.catalog.rows import add_images


def register(catalog: Catalog, variant: str) -> CaptionSource:
    with catalog.writing() as connection:
        return register_source(connection, SourceIdentity(variant=variant, backend="openai", model="m"))


def test_a_source_without_captions_has_no_usage(catalog: Catalog) -> None:
    source = register(catalog, "caption_a")

    with catalog.reading() as connection:
        assert measure_usage(connection, source.id) == Usage(answers=0)
        assert count_statuses(connection, [source.id]) == {}


def test_usage_is_the_mean_of_one_sources_captions_that_took_tokens(catalog: Catalog) -> None:
    source, other = register(catalog, "caption_a"), register(catalog, "caption_b")
    with catalog.writing() as connection:
        ids = add_images(connection, "a", "b", "c")
        numbers: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 0, "cost": 0.25, "latency": 1.0}
        more: dict[str, Any] = {"prompt_tokens": 300, "completion_tokens": 10, "cost": 0.75, "latency": 2.0}
        none: dict[str, Any] = {"prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0, "latency": 60.0}
        rows = [answer(ids["a"], "x", **numbers), answer(ids["b"], "y", **more), answer(ids["c"], "", "error", **none)]
        record_answers(connection, source, rows)
        record_answers(connection, other, [answer(ids["a"], "x", prompt_tokens=9_999)])

    with catalog.reading() as connection:
        assert measure_usage(connection, source.id) == Usage(
            answers=2, prompt_tokens=200, completion_tokens=5, cost=0.5, latency=1.5
        )


def test_statuses_are_counted_by_source_of_images_in_slots(catalog: Catalog) -> None:
    first, second = register(catalog, "caption_a"), register(catalog, "caption_b")
    with catalog.writing() as connection:
        ids = add_images(connection, "a", "b", "c", "gone")
        seats = [{"image": ids[name], "bucket_id": "wide", "slot": slot} for slot, name in enumerate("abc")]
        take_slots(connection, seats, {"wide": 3})
        said = [("a", first, "ok"), ("b", first, "ok"), ("c", first, "refused"), ("gone", first, "ok")]
        put_captions(
            connection,
            [
                {
                    "image": ids[name], "caption_source": source.id, "status": status, "text": "", "detail": "",
                    "input_version": "", "created_at": 0.0,
                }
                for name, source, status in [*said, ("a", second, "error")]
            ],
        )  # fmt: skip

    with catalog.reading() as connection:
        assert count_statuses(connection, [first.id, second.id]) == {
            first.id: {"ok": 2, "refused": 1},
            second.id: {"error": 1},
        }
        assert count_statuses(connection, [second.id]) == {second.id: {"error": 1}}
