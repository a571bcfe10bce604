from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.captions.reports.estimate import Estimate, estimate_captions
from dataset_assets.catalog.captions import list_sources
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import SourceError
from dataset_assets_tests.captions.asked import chat, list_samples, photos, say, waterfall
from dataset_assets_tests.datasets import TINY, add_photo, add_photos, settings_in
from dataset_assets_tests.fakes.chat_server import MODEL, ChatServer

A, B = "caption_a", "caption_b"
PRICED = {"prices": {"input": 1.0, "output": 2.0}}


@contextmanager
def opened(folder: Path, *variants: dict[str, Any], **others: Any) -> Iterator[Dataset]:
    with open_dataset(settings_in(folder, captions=waterfall(*variants, **others))) as dataset:
        yield dataset


def by_variant(dataset: Dataset) -> dict[str, Estimate]:
    return {one.variant: one for one in estimate_captions(dataset)}


def test_before_any_build_the_sources_are_scanned_and_nothing_else_is_made(tmp_path: Path) -> None:
    add_photos(tmp_path)
    add_photo(tmp_path, "tiny.jpg", TINY)

    with opened(tmp_path, chat(A, **PRICED)) as dataset:
        (first,) = estimate_captions(dataset)
        (second,) = estimate_captions(dataset)

    assert (first.variant, first.backend, first.model, first.asked) == (A, "openai", "test/caption_a", True)
    assert first.left.images == first.at_most.images == 20
    assert second == first
    assert {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith((".", "dataset."))} == {
        "plans"
    }


def test_a_source_that_is_not_there_is_said(tmp_path: Path) -> None:
    with opened(tmp_path, chat(A)) as dataset, pytest.raises(SourceError, match="there is no such folder"):
        estimate_captions(dataset)


def test_what_the_settings_allow_is_the_bound_until_there_are_answers(built: Path) -> None:
    prompts = {"system_prompt": "Be brief.", "user_prompt": "Say what is seen."}  # 26 bytes: 6.5 tokens

    with opened(built, chat(A, **PRICED, **prompts, image_tokens=100, max_tokens=50)) as dataset:
        (one,) = estimate_captions(dataset)

    assert one.basis == "from the settings: an upper bound"
    assert (one.each.images, one.each.prompt_tokens, one.each.completion_tokens) == (1, 107, 50)
    assert (one.left.prompt_tokens, one.left.completion_tokens) == (2130, 1000)
    assert one.left.cost == pytest.approx((2130 * 1.0 + 1000 * 2.0) / 1e6)
    assert one.left.seconds is None
    assert (one.spent, one.budget, one.key_missing, one.price_unknown) == (0, 0, "", "")


def test_only_what_no_selector_before_has_is_counted(built: Path) -> None:
    sidecar = {"name": "caption_sidecar"}

    with opened(built, sidecar, chat(A)) as dataset:
        needed = by_variant(dataset)[A].left.images
    with opened(built, sidecar, chat(A, only_needed=False)) as dataset:
        every = by_variant(dataset)[A].left.images

    assert (needed, every) == (10, 20)


def test_images_that_wait_for_an_earlier_model_are_counted_apart(built: Path) -> None:
    with opened(built, chat(A), chat(B)) as dataset:
        before = by_variant(dataset)
        say(dataset, A, dict.fromkeys(photos(*range(15)), "a photo of a hill"))
        say(dataset, A, dict.fromkeys(photos(15, 16), ""), status="refused")
        after = by_variant(dataset)

    assert list(after) == [A, B]
    assert [(one.left.images, one.at_most.images) for one in before.values()] == [(20, 20), (0, 20)]
    assert [(one.left.images, one.at_most.images) for one in after.values()] == [(3, 3), (2, 5)]


def test_models_are_listed_in_the_order_in_which_they_are_asked(built: Path) -> None:
    priority = [{"variant": B}, {"variant": A}]

    with opened(built, chat(A), chat(B), priority=priority) as dataset:
        estimates = estimate_captions(dataset)

    assert [(one.variant, one.left.images) for one in estimates] == [(B, 20), (A, 0)]


def test_another_prompt_is_another_caption_of_every_image(built: Path) -> None:
    with opened(built, chat(A)) as dataset:
        source = say(dataset, A, dict.fromkeys(list_samples(dataset), "a photo of a hill"))
        done = by_variant(dataset)[A]
    with opened(built, chat(A, user_prompt="In one word?")) as dataset:
        again = by_variant(dataset)[A]
        with dataset.catalog.reading() as connection:
            sources = list_sources(connection)

    assert (done.left.images, again.left.images) == (0, 20)
    assert again.basis == f"measured on 20 answers of caption source {source.id} (caption_a)"
    assert sum(one.variant == A for one in sources) == 1  # an estimate makes none


def test_an_image_that_changed_is_left_again(built: Path) -> None:
    with opened(built, chat(A)) as dataset:
        say(dataset, A, dict.fromkeys(list_samples(dataset), "a photo of a hill"))
        say(dataset, A, dict.fromkeys(photos(3, 4), "a photo of a hill"), input_version="d" * 64)

        assert by_variant(dataset)[A].left.images == 2


def test_twenty_answers_are_measured(built: Path) -> None:
    usage: dict[str, Any] = {"prompt_tokens": 400, "completion_tokens": 30, "cost": 0.002, "latency": 1.5}
    everything = photos(*range(20))
    prompt = {"user_prompt": "Seen at {{image_id}}?"}

    with opened(built, chat(A, concurrency=3, requests_per_minute=120, **prompt)) as dataset:
        say(dataset, A, dict.fromkeys(everything[:19], "a photo of a hill"), **usage)
        few = by_variant(dataset)[A]
        say(dataset, A, dict.fromkeys(everything[19:], "a photo of a hill"), **(usage | {"completion_tokens": 50}))
        say(dataset, A, dict.fromkeys(everything[:7], "a photo of a hill"), input_version="d" * 64, **usage)
        enough = by_variant(dataset)[A]

    assert few.basis == "from the settings: an upper bound"
    assert few.left.seconds == 0.5  # 1 image at 120 a minute
    assert enough.basis == "measured on 20 answers"
    assert enough.left.images == 7
    assert (enough.each.prompt_tokens, enough.left.prompt_tokens) == (400, 2800)
    assert (enough.each.completion_tokens, enough.left.completion_tokens) == (31, 217)
    assert enough.left.cost == pytest.approx(7 * 0.002)
    assert enough.spent == pytest.approx(27 * 0.002)
    assert enough.left.seconds == 4.5  # 3 rounds of 1.5 s


def test_a_rate_limit_may_be_slower_than_the_model(built: Path) -> None:
    everything = photos(*range(20))

    with opened(built, chat(A, concurrency=20, requests_per_minute=12)) as dataset:
        say(dataset, A, dict.fromkeys(everything, ""), status="error", latency=2.0)
        (one,) = estimate_captions(dataset)

    assert (one.left.images, one.left.seconds) == (20, 100.0)


def test_a_missing_key_and_a_silent_variant_are_said(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEY_OF_A", raising=False)

    with opened(built, chat(A, api_key_env="KEY_OF_A"), chat(B, ask=False, budget_usd=5.0)) as dataset:
        first, second = estimate_captions(dataset)

    assert (first.key_missing, first.asked, first.left.images) == ("KEY_OF_A", True, 20)
    assert (second.key_missing, second.asked, second.at_most.images, second.budget) == ("", False, 0, 5.0)
    assert (second.left.cost, second.left.seconds) == (0.0, 0.0)


def test_without_a_price_the_cost_is_not_known(built: Path) -> None:
    with opened(built, chat(A)) as dataset:
        (one,) = estimate_captions(dataset)

    assert (one.each.cost, one.left.cost) == (None, None)
    assert one.price_unknown == "set prices for caption_a if it is not free"


def test_prices_come_from_the_hosts_list_which_is_read_once(built: Path) -> None:
    router = {"backend": "openrouter", "model": MODEL, "max_tokens": 100, "image_tokens": 295}

    with ChatServer() as server:
        variants = [chat(name, **router, base_url=server.url) for name in (A, B)]
        with opened(built, *variants) as dataset:
            first, second = estimate_captions(dataset)

    host = server.url.removeprefix("http://").removesuffix("/v1")
    assert server.lookups == 1
    assert server.requests == []
    assert first.basis == f"from the settings and the price list of {host}: an upper bound"
    assert first.left.cost == pytest.approx(20 * (300 * 0.000000075 + 100 * 0.0000003))
    assert (second.left.cost, second.at_most.cost) == (0, first.left.cost)


def test_no_list_is_read_where_prices_are_set_or_nothing_is_left(built: Path) -> None:
    with ChatServer() as server:
        router = {"backend": "openrouter", "model": MODEL, "base_url": server.url}
        with opened(built, chat(A, **router, **PRICED), chat(B, **router, ask=False)) as dataset:
            estimate_captions(dataset)

    assert server.lookups == 0


def test_a_list_that_cannot_be_read_is_said(built: Path) -> None:
    with opened(built, chat(A, backend="openrouter")) as dataset:
        (one,) = estimate_captions(dataset)

    assert one.left.cost is None
    assert one.basis == "from the settings: an upper bound"
    assert one.price_unknown == (
        "127.0.0.1:9 cannot be reached: [Errno 111] Connection refused; set prices for caption_a if it is not free"
    )


def test_a_model_that_is_not_on_the_list_is_said(built: Path) -> None:
    with ChatServer() as server, opened(built, chat(A, backend="openrouter", base_url=server.url)) as dataset:
        (one,) = estimate_captions(dataset)

    assert one.left.cost is None
    host = server.url.removeprefix("http://").removesuffix("/v1")
    assert one.price_unknown == (f"{host} lists no price of test/caption_a; set prices for caption_a if it is not free")


def test_progress_goes_by_partitions(built: Path) -> None:
    said: list[tuple[str, object]] = []

    class Recorder:
        def expect(self, stage: str, later: int) -> None: ...

        def start(self, stage: str, total: int | None, unit: str) -> None:
            said.append((f"{stage} ({unit})", total))

        def advance(self, count: int) -> None:
            said.append(("advance", count))

        def note(self, text: str) -> None: ...

        def finish(self) -> None:
            said.append(("finish", None))

    with opened(built, chat(A)) as dataset:
        estimate_captions(dataset, progress=Recorder())

    assert said == [("counting images (partitions)", 4), *[("advance", 1)] * 4, ("finish", None)]
