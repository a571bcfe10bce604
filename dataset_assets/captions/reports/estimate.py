"""What captioning is going to cost: images, tokens, money and time by variant, before anything is spent.

No model is asked, and no key is used.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.captions.chat.prompts import name_input, write_prompt
from dataset_assets.captions.needs import find_owed
from dataset_assets.captions.reports.prices import PriceList, fetch_prices
from dataset_assets.captions.reports.rates import Rate, bound_rate, measure_rate
from dataset_assets.captions.sources import identify_chat
from dataset_assets.captions.view import load_view
from dataset_assets.catalog.captions import CaptionSource, Spending, list_sources, load_spending
from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset
from dataset_assets.progress import Progress, Silence
from dataset_assets.settings import ChatSettings
from dataset_assets.shards.plan import list_plans
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import Stage

_NO_SOURCE = 0  # of a variant that was never asked: no row has this number


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """What captions of so many images take."""

    images: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None  # USD; None where no price is known
    seconds: float | None  # None where no latency was measured and no rate is set


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a variant's captions are expected to take."""

    variant: str
    backend: str
    model: str
    asked: bool  # whether the settings let it be asked at all
    each: Amount  # one image
    left: Amount  # all images that it is to be asked about
    at_most: Amount  # those, and the ones that wait for what an earlier model says
    spent: float  # USD so far
    budget: float  # USD, 0: none
    key_missing: str  # the environment variable that holds the key and is not set; "" where nothing is missing
    basis: str  # where the numbers come from
    price_unknown: str  # why there is no cost; "" where there is one


def estimate_captions(dataset: Dataset, *, progress: Progress | None = None) -> list[Estimate]:
    """Return what is expected of each model, in the order in which they are asked.

    It holds for the images of the last scan; where there has been none, the sources are scanned and put into buckets
    first. Raises what the scan raises. A price list that cannot be read is no error: no price is known then.
    """
    progress = progress or Silence()
    _prepare(dataset, progress)
    with dataset.catalog.reading() as connection:
        sources, spending = list_sources(connection), load_spending(connection)
    left, most = _count_owed(dataset, sources, progress)
    fetch = cache(fetch_prices)  # one request a host
    estimates = []
    for variant in (one for one in dataset.settings.captions.in_turn if isinstance(one, ChatSettings)):
        rate = _find_rate(dataset, variant, sources, fetch if most[variant.name] else None)
        estimates.append(
            Estimate(
                variant=variant.name,
                backend=variant.backend,
                model=variant.model,
                asked=variant.ask,
                each=_multiply(variant, rate, 1),
                left=_multiply(variant, rate, left[variant.name]),
                at_most=_multiply(variant, rate, most[variant.name]),
                spent=spending.get(variant.name, Spending()).cost,
                budget=variant.budget_usd,
                key_missing=variant.key_variable if variant.key_missing else "",
                basis=rate.basis,
                price_unknown=rate.price_unknown,
            )
        )
    return estimates


def _prepare(dataset: Dataset, progress: Progress) -> None:
    """Make the plans where there are none yet: listing files and reading headers is all that it takes."""
    with dataset.catalog.reading() as connection:
        state = load_states(connection, [""]).get((Stage.BUCKET_ASSIGNMENTS, ""))
    if state is None or state.interrupted:
        scan_sources(dataset, progress=progress)
        assign_buckets(dataset)


def _count_owed(
    dataset: Dataset, sources: Sequence[CaptionSource], progress: Progress
) -> tuple[Counter[str], Counter[str]]:
    """Return how many images each variant is to be asked about now, and how many if the other models gave nothing."""
    captions = dataset.settings.captions
    known = {one.identity: one.id for one in sources}
    registered = {one.name: known.get(identify_chat(one), _NO_SOURCE) for one in captions.chats}
    names = [one.name for one in captions.chats]
    alone = {name: captions.asking({other: False for other in names if other != name}) for name in names}

    def name(variant: ChatSettings, sample: Mapping[str, Any]) -> str:
        return name_input(variant, sample, write_prompt(dataset, variant, sample))

    left, most = Counter[str](), Counter[str]()
    keys = list_plans(dataset)
    progress.start("counting images", len(keys), "partitions")
    for key in keys:
        view = load_view(dataset, key)
        left.update({one: len(slots) for one, slots in find_owed(captions, view, registered, name).items()})
        for one, settings in alone.items():
            most[one] += len(find_owed(settings, view, registered, name).get(one, ()))
        progress.advance(1)
    progress.finish()
    return left, most


def _find_rate(
    dataset: Dataset,
    variant: ChatSettings,
    sources: Sequence[CaptionSource],
    fetch: Callable[[str], PriceList] | None,
) -> Rate:
    with dataset.catalog.reading() as connection:
        rate = measure_rate(connection, variant, sources)
    return rate or bound_rate(variant, fetch)


def _multiply(variant: ChatSettings, rate: Rate, images: int) -> Amount:
    """Return what so many images take; none cost nothing, also where no price is known."""
    if not images:
        return Amount(images=0, prompt_tokens=0, completion_tokens=0, cost=0.0, seconds=0.0)
    return Amount(
        images=images,
        prompt_tokens=math.ceil(rate.prompt_tokens * images),
        completion_tokens=math.ceil(rate.completion_tokens * images),
        cost=None if rate.cost is None else rate.cost * images,
        seconds=_last(variant, rate, images),
    )


def _last(variant: ChatSettings, rate: Rate, images: int) -> float | None:
    """Return how long so many images take, seconds: concurrency or the rate limit, whichever holds them up more."""
    spans = [math.ceil(images / variant.concurrency) * rate.latency] if rate.latency else []
    if variant.requests_per_minute:
        spans.append(images * 60 / variant.requests_per_minute)
    return max(spans, default=None)
