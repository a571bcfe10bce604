"""What one image takes of a model: tokens, money and time, as it was measured, or as the settings allow at most."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from dataset_assets.captions.reports.prices import PriceList
from dataset_assets.captions.sources import identify_chat
from dataset_assets.catalog.captions import CaptionSource
from dataset_assets.catalog.usage import Usage, measure_usage
from dataset_assets.settings import ChatSettings

LEAST_ANSWERS = 20  # that a mean is taken of
_TOKEN = 4  # bytes of a prompt's UTF-8, about
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one image takes."""

    prompt_tokens: float
    completion_tokens: float
    cost: float | None  # USD; None where no price is known
    latency: float = 0  # seconds; 0 where it is not known
    basis: str  # where the numbers come from
    price_unknown: str = ""  # why there is no cost


def measure_rate(connection: Connection, variant: ChatSettings, sources: Iterable[CaptionSource]) -> Rate | None:
    """Return what an image took on average; None before 20 answers of the same model.

    Answers to the prompts and parameters of now count, or where there are too few of them, those to the newest others.
    """
    current = identify_chat(variant)
    alike = [one for one in sources if (one.backend, one.model) == (variant.backend, variant.model)]
    for source in sorted(alike, key=lambda one: (one.identity == current, one.created_at, one.id), reverse=True):
        usage = measure_usage(connection, source.id)
        if usage.answers >= LEAST_ANSWERS:
            other = "" if source.identity == current else f" of caption source {source.id} ({source.variant})"
            return _make_rate(variant, usage, f"measured on {usage.answers:,} answers{other}")
    return None


def bound_rate(variant: ChatSettings, fetch: Callable[[str], PriceList] | None) -> Rate:
    """Return what an image takes at most by the settings: placeholders of a prompt count as they stand there.

    `fetch` gives the price list of a URL; without it no host is asked for prices that the settings do not say.
    """
    text = len((variant.system_prompt + variant.user_prompt).encode()) / _TOKEN
    prompt, completion = text + variant.image_tokens, variant.max_tokens
    cost = _price(variant, prompt, completion)
    basis, unknown = "from the settings: an upper bound", "" if cost is not None else _ask_for_prices(variant)
    if cost is None and fetch and variant.backend == "openrouter":
        listed = fetch(variant.url)
        if price := listed.prices.get(variant.model):
            cost = price.sum_up(text_tokens=text, image_tokens=variant.image_tokens, completion_tokens=completion)
            basis, unknown = f"from the settings and the price list of {listed.host}: an upper bound", ""
        else:
            unknown = f"{listed.fault or f'{listed.host} lists no price of {variant.model}'}; {unknown}"
    return Rate(prompt_tokens=prompt, completion_tokens=completion, cost=cost, basis=basis, price_unknown=unknown)


def _make_rate(variant: ChatSettings, usage: Usage, basis: str) -> Rate:
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    said = usage.cost > 0 or variant.backend == "openrouter"  # which says what each answer cost, also of free ones
    cost = usage.cost if said else _price(variant, prompt, completion)
    unknown = "" if cost is not None else _ask_for_prices(variant)
    return Rate(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost=cost,
        latency=usage.latency,
        basis=basis,
        price_unknown=unknown,
    )


def _price(variant: ChatSettings, prompt_tokens: float, completion_tokens: float) -> float | None:
    """Return what tokens cost by the settings, USD; None where these say no prices."""
    prices = variant.prices
    if not (prices.input or prices.output):
        return None
    return (prompt_tokens * prices.input + completion_tokens * prices.output) / _MILLION


def _ask_for_prices(variant: ChatSettings) -> str:
    return f"set prices for {variant.name} if it is not free"
