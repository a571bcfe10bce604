"""What models cost by the list that their host publishes. No key is sent, and nothing is asked of a model."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from time import monotonic
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

_SECONDS = 10  # for the whole list
_LARGEST = 64 << 20  # bytes
_CHUNK = 1 << 16  # bytes
_WHOLE = 20  # a price of an image that is so many times a token's is not that of a token


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one model costs, USD."""

    prompt: float  # a token
    completion: float  # a token
    image: float = 0  # a token of an image, or in older lists an image; 0: as any other token
    request: float = 0

    def sum_up(self, *, text_tokens: float, image_tokens: float, completion_tokens: float) -> float:
        """Return what a request with one image costs, USD."""
        image = self.image if self.image > _WHOLE * self.prompt else image_tokens * (self.image or self.prompt)
        return self.request + text_tokens * self.prompt + image + completion_tokens * self.completion


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """What a host says that its models cost, by model; `fault` says why there is no list."""

    host: str
    prices: Mapping[str, Price] = field(default_factory=dict)
    fault: str = ""


def fetch_prices(url: str) -> PriceList:
    """Return the price list of the API at `url`, after some 10 s at most; models without a clear price are left out."""
    host = urlsplit(url).netloc
    try:
        with urlopen(Request(f"{url}/models", headers={"Accept": "application/json"}), timeout=_SECONDS) as answer:
            listed = json.loads(_read(answer))
    except HTTPError as error:
        error.close()
        return PriceList(host=host, fault=f"{host} answered {error.code}")
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        return PriceList(host=host, fault=f"{host} cannot be reached: {reason}")
    except (ValueError, RecursionError):
        return PriceList(host=host, fault=f"{host} gave no list of prices")
    models = listed.get("data") if isinstance(listed, dict) else None
    prices = {
        str(model.get("id")): price
        for model in (models if isinstance(models, list) else ())
        if isinstance(model, dict) and (price := _parse_price(model.get("pricing")))
    }
    return PriceList(host=host, prices=prices, fault="" if prices else f"{host} gave no list of prices")


def _read(answer: HTTPResponse) -> bytes:
    """Return a whole answer. Raises ValueError for one that is too long, TimeoutError for one that does not end."""
    deadline, parts, size = monotonic() + _SECONDS, [], 0
    while part := answer.read1(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > _LARGEST:
            raise ValueError
        if monotonic() > deadline:
            raise TimeoutError("timed out")
    return b"".join(parts)


def _parse_price(pricing: Any) -> Price | None:
    """Return the price of a model, None where it is not said, or differs between requests: a price of -1."""
    if not isinstance(pricing, dict) or not {"prompt", "completion"} <= pricing.keys():
        return None
    try:
        price = {name: float(pricing.get(name) or 0) for name in Price.__dataclass_fields__}
    except (TypeError, ValueError):
        return None
    return Price(**price) if all(0 <= value < math.inf for value in price.values()) else None
