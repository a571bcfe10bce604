from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.captions.reports.prices import Price, PriceList
from dataset_assets.captions.reports.rates import Rate, bound_rate, measure_rate
from dataset_assets.captions.sources import identify_chat
from dataset_assets.catalog.captions import SourceIdentity, list_sources
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.settings import ChatSettings
from dataset_assets_tests.captions.captioned import answer, record, seat
from dataset_assets_tests.datasets import settings_in

SET = {"prices": {"input": 1.0, "output": 10.0}}


def variant(**settings: Any) -> ChatSettings:
    named = {"name": "caption_a", "backend": "openai", "model": "m/one", "base_url": "http://127.0.0.1:9/v1"}
    return ChatSettings.model_validate(named | settings)


@dataclass(frozen=True, slots=True)
class Answers:
    """A catalog with thirty images, and what models said of them."""

    dataset: Dataset
    images: list[int]

    def record(self, identity: SourceIdentity, count: int, *, created_at: int = 1_600_000_000, **usage: Any) -> int:
        rows = [answer(image, "a hill", **usage) for image in self.images[:count]]
        return record(self.dataset, identity, *rows, created_at=created_at).id

    def measure(self, chat: ChatSettings) -> Rate | None:
        with self.dataset.catalog.reading() as connection:
            return measure_rate(connection, chat, list_sources(connection))


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[Answers]:
    with open_dataset(settings_in(tmp_path)) as dataset:
        yield Answers(dataset, list(seat(dataset, *(f"{number}.jpg" for number in range(30))).values()))


def test_nothing_is_measured_before_twenty_answers(answers: Answers) -> None:
    answers.record(identify_chat(variant()), 19)
    assert answers.measure(variant()) is None

    answers.record(identify_chat(variant()), 20)
    measured = answers.measure(variant())
    assert measured is not None
    assert measured.basis == "measured on 20 answers"


def test_the_mean_is_over_images_with_all_their_attempts(answers: Answers) -> None:
    usage: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 10, "cost": 0.01, "latency": 2.0}
    answers.record(identify_chat(variant()), 20, **usage)
    answers.record(identify_chat(variant()), 10, **usage)

    measured = answers.measure(variant())
    assert measured is not None
    assert (measured.prompt_tokens, measured.completion_tokens, measured.latency) == (150, 15, 3)
    assert measured.cost == pytest.approx(0.015)


def test_answers_that_were_never_given_are_no_measure(answers: Answers) -> None:
    answers.record(identify_chat(variant()), 30, prompt_tokens=0, completion_tokens=0)

    assert answers.measure(variant()) is None


def test_the_source_of_now_comes_first_and_then_the_newest_of_the_same_model(answers: Answers) -> None:
    own = identify_chat(variant())
    older = answers.record(replace(own, user_prompt_sha256="a" * 64), 20, created_at=1_600_000_001, prompt_tokens=1)
    newer = answers.record(replace(own, variant="caption_b"), 25, created_at=1_600_000_002, prompt_tokens=2)
    answers.record(replace(own, user_prompt_sha256="b" * 64), 19, created_at=1_600_000_003)
    answers.record(replace(own, model="m/two"), 30, created_at=1_600_000_004)
    answers.record(replace(own, backend="imported"), 30, created_at=1_600_000_005)

    other = answers.measure(variant())
    answers.record(own, 30, created_at=1_500_000_000, prompt_tokens=3)
    same = answers.measure(variant())

    assert other is not None
    assert same is not None
    assert older != newer
    assert (other.prompt_tokens, other.basis) == (2, f"measured on 25 answers of caption source {newer} (caption_b)")
    assert (same.prompt_tokens, same.basis) == (3, "measured on 30 answers")


@pytest.mark.parametrize(
    ("settings", "said", "cost"),
    [
        ({}, 0.5, 0.5),
        (SET, 0.5, 0.5),
        (SET, 0.0, (300 * 1.0 + 40 * 10.0) / 1e6),
        ({}, 0.0, None),
        ({"backend": "openrouter"}, 0.0, 0.0),
    ],
    ids=["said", "said and set", "set", "neither", "free"],
)
def test_the_cost_is_what_was_said_else_what_the_settings_say(
    answers: Answers, settings: dict[str, Any], said: float, cost: float | None
) -> None:
    chat = variant(**settings)
    answers.record(identify_chat(chat), 20, cost=said)

    measured = answers.measure(chat)

    assert measured is not None
    assert measured.cost == (None if cost is None else pytest.approx(cost))
    assert measured.price_unknown == ("set prices for caption_a if it is not free" if cost is None else "")


def test_the_bound_counts_bytes_of_the_prompts_as_quarter_tokens() -> None:
    chat = variant(system_prompt="Kurz, bitte.", user_prompt="Größe?", image_tokens=100, max_tokens=70)

    assert bound_rate(chat, None) == Rate(
        prompt_tokens=(12 + 8) / 4 + 100,
        completion_tokens=70,
        cost=None,
        basis="from the settings: an upper bound",
        price_unknown="set prices for caption_a if it is not free",
    )


def test_prices_of_the_settings_come_before_those_of_a_list() -> None:
    def fetch(_: str) -> PriceList:
        raise AssertionError("no list is needed")

    chat = variant(backend="openrouter", user_prompt="1234", image_tokens=9, max_tokens=5, **SET)

    assert bound_rate(chat, fetch).cost == pytest.approx((10 * 1.0 + 5 * 10.0) / 1e6)


def test_a_list_is_asked_only_of_a_host_that_has_one() -> None:
    asked = []

    def fetch(url: str) -> PriceList:
        asked.append(url)
        return PriceList(host="h", prices={"m/one": Price(prompt=0.1, completion=0.2)})

    prompt: dict[str, Any] = {"user_prompt": "1234", "image_tokens": 9, "max_tokens": 5}
    local = bound_rate(variant(**prompt), fetch)
    router = bound_rate(variant(**prompt, backend="openrouter"), fetch)
    unknown = bound_rate(variant(**prompt, backend="openrouter", model="m/two"), fetch)

    assert asked == ["http://127.0.0.1:9/v1"] * 2
    assert local.cost is None
    assert router.cost == pytest.approx(10 * 0.1 + 5 * 0.2)
    assert router.price_unknown == ""
    assert router.basis == "from the settings and the price list of h: an upper bound"
    assert unknown.cost is None
    assert unknown.price_unknown == "h lists no price of m/two; set prices for caption_a if it is not free"
