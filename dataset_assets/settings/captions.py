"""[captions]: which captions there are, who makes them, which one wins, and what is not let through."""

import json
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from dataset_assets.settings.base import Model, VariantName, is_name, show

Policy = Literal["keep", "fall_through", "drop"]

_URLS = {"openrouter": "https://openrouter.ai/api/v1", "openai": "https://api.openai.com/v1"}
_KEYS = {"openrouter": "OPENROUTER_API_KEY", "openai": "OPENAI_API_KEY"}
_KIND = {"sidecar": "sidecar", "imported": "imported", "openrouter": "chat", "openai": "chat"}

_PLAIN = re.compile(r"[!-~]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}")  # in a user prompt: {{image_id}}, {{meta.title}}
PROMPT_FIELDS = ("image_id", "width", "height", "bucket_id")  # and meta.<key>


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and _PLAIN.fullmatch(url)
    except ValueError:
        named = False
    if not named:
        raise ValueError("an address such as https://openrouter.ai/api/v1 or http://127.0.0.1:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address without a name or key in it; keys come from the environment, see api_key_env")
    return url.rstrip("/")


def _variable(name: str) -> str:
    if name and not _VARIABLE.fullmatch(name):
        raise ValueError('the name of an environment variable, which holds the key; "" where none is needed')
    return name


def _table(value: Any) -> Any:
    """Return a free table as JSON, which is one text for the same content and can be hashed."""
    if not isinstance(value, dict):
        raise PydanticCustomError("free_table", "a table")
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise PydanticCustomError("free_table", "a table of values that JSON has") from None


def _template(text: str) -> str:
    for name in PLACEHOLDER.findall(text):
        if name not in PROMPT_FIELDS and not (name.startswith("meta.") and len(name) > len("meta.")):
            raise ValueError(f"{{{{{name}}}}} replaced by {', '.join(PROMPT_FIELDS)} or meta.KEY of photo.json")
    return text


JsonTable = Annotated[str, BeforeValidator(_table)]


class SelectorSettings(Model):
    """One step of the waterfall: a variant, narrowed by backend and model where they are given."""

    variant: VariantName
    backend: str | None = None
    model: str | None = None


class SidecarSettings(Model):
    """A variant that lies beside the images."""

    name: VariantName
    backend: Literal["sidecar"] = "sidecar"
    extension: Literal["txt", "caption", "json"] | None = None
    field: str | None = None

    @model_validator(mode="after")
    def _field_needs_json(self) -> Self:
        if self.field is not None and self.extension in ("txt", "caption"):
            raise ValueError(
                f'field: "{self.field}" given, which reads photo.json, with extension "{self.extension}"; '
                "allowed: one of the two"
            )
        if self.field is None and self.extension == "json":
            raise ValueError(
                'extension: "json" given without field; allowed: with field, the name of the key that holds the caption'
            )
        return self


class ImportedSettings(Model):
    """A variant whose captions come in by `dataset-assets captions import`."""

    name: VariantName
    backend: Literal["imported"]


class AttemptSettings(Model):
    """How often a model is asked about an image before it is left to the next selector, by what it said last."""

    error: Annotated[int, Field(ge=1, le=100)] = 3
    empty: Annotated[int, Field(ge=1, le=100)] = 2
    placeholder: Annotated[int, Field(ge=1, le=100)] = 2
    unavailable: Annotated[int, Field(ge=1, le=100)] = 2
    truncated: Annotated[int, Field(ge=1, le=100)] = 1
    refused: Annotated[int, Field(ge=1, le=100)] = 1
    filtered: Annotated[int, Field(ge=1, le=100)] = 1


class PriceSettings(Model):
    """What a million tokens cost, USD: where the server does not say what a request cost, and for estimates."""

    input: Annotated[float, Field(ge=0, le=1e6)] = 0
    output: Annotated[float, Field(ge=0, le=1e6)] = 0


class ChatSettings(Model):
    """A variant that a vision-language model makes, behind an API that speaks OpenAI's chat completions."""

    name: VariantName
    backend: Literal["openrouter", "openai"]
    model: Annotated[str, Field(min_length=1)]
    base_url: Annotated[str, AfterValidator(_url)] | None = None  # left out: the backend's
    api_key_env: Annotated[str, AfterValidator(_variable)] | None = None  # left out: the backend's; "": no key is sent
    system_prompt: str = ""
    system_prompt_file: str = ""  # read with the settings, see load.py
    user_prompt: Annotated[str, AfterValidator(_template)] = "Describe this image."
    user_prompt_file: str = ""
    image_max_side: Annotated[int, Field(ge=0, le=8192)] = 0  # pixels; 0: the stored crop's bytes as they are
    image_quality: Annotated[int, Field(ge=1, le=100)] = 90  # of the JPEG that is sent, where it is made smaller
    image_detail: Literal["auto", "low", "high"] = "auto"
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 300
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None  # left out: the server's
    provider: JsonTable = "{}"  # OpenRouter's routing
    extra_body: JsonTable = "{}"  # any other key of the request
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 32
    requests_per_minute: Annotated[float, Field(ge=0, le=1e9)] = 0
    budget_usd: Annotated[float, Field(ge=0, le=1e9)] = 0
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 120
    max_retries: Annotated[int, Field(ge=0, le=100)] = 4
    stop_after_errors: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    attempts: AttemptSettings = AttemptSettings()
    only_needed: bool = True
    ask: bool = True
    prices: PriceSettings = PriceSettings()
    image_tokens: Annotated[int, Field(ge=0, le=1_000_000)] = 258

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        if not self.user_prompt.strip() and not self.system_prompt.strip():
            raise ValueError('user_prompt: "" given, and no system_prompt; allowed: a question, or an instruction')
        return self

    @property
    def url(self) -> str:
        """The address of the API."""
        return self.base_url or _URLS[self.backend]

    @property
    def key_variable(self) -> str:
        """The environment variable that holds the key; "" where none is needed."""
        return _KEYS[self.backend] if self.api_key_env is None else self.api_key_env

    @property
    def key_missing(self) -> bool:
        """Whether the model would be asked and cannot be, for want of its key."""
        return self.ask and bool(self.key_variable) and not os.environ.get(self.key_variable, "").strip()

    @property
    def prompt_fields(self) -> tuple[str, ...]:
        """What the user prompt takes from each sample."""
        return tuple(dict.fromkeys(PLACEHOLDER.findall(self.user_prompt)))

    @property
    def uses_metadata(self) -> bool:
        """Whether the user prompt takes anything from photo.json."""
        return any(name.startswith("meta.") for name in self.prompt_fields)


def _kind_of(variant: Any) -> str | None:
    backend = variant.get("backend", "sidecar") if isinstance(variant, dict) else getattr(variant, "backend", None)
    return _KIND.get(backend) if isinstance(backend, str) else None


VariantSettings = Annotated[
    Annotated[SidecarSettings, Tag("sidecar")]
    | Annotated[ImportedSettings, Tag("imported")]
    | Annotated[ChatSettings, Tag("chat")],
    Discriminator(_kind_of, custom_error_type="backend", custom_error_message=f"allowed: {', '.join(_KIND)}"),
]


class ReviewSettings(Model):
    """What becomes of an answer, a caption or a crop in which something is found (docs/captioning.md)."""

    truncated: Policy = "fall_through"
    refused: Policy = "fall_through"
    filtered: Policy = "fall_through"
    placeholder: Policy = "drop"
    unavailable: Policy = "drop"
    blank_image: Literal["keep", "drop"] = "drop"
    blank_spread: Annotated[float, Field(ge=0, le=1)] = 0.002
    repeated: Policy = "keep"
    repeated_images: Annotated[int, Field(ge=2)] = 20
    language: Policy = "keep"
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = ()
    too_short: Policy = "keep"
    min_words: Annotated[int, Field(ge=0)] = 3
    too_long: Policy = "keep"
    max_words: Annotated[int, Field(ge=0)] = 0
    prompt_leak: Policy = "keep"


class CaptionSettings(Model):
    """The waterfall (docs/captioning.md)."""

    priority: tuple[SelectorSettings, ...] = ()  # left out: the variants in their order
    missing_caption_policy: Literal["empty", "drop"] = "empty"
    variants: tuple[VariantSettings, ...] = (SidecarSettings(name="caption_sidecar"),)
    review: ReviewSettings = ReviewSettings()

    @model_validator(mode="before")
    @classmethod
    def _fill_priority(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "priority" in data:
            return data
        variants = data.get("variants", ({"name": "caption_sidecar"},))
        named = [one.get("name") for one in variants if isinstance(one, dict)] if isinstance(variants, tuple) else []
        return {**data, "priority": tuple({"variant": name} for name in named if is_name(name))}

    @model_validator(mode="after")
    def _names_match(self) -> Self:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError(f"variants: names {show(tuple(names))} given; allowed: each name once")
        for index, selector in enumerate(self.priority):
            if selector.variant not in names:
                allowed = ", ".join(names) or "(no variant is configured)"
                raise ValueError(f'priority.{index}.variant: "{selector.variant}" given; allowed: {allowed}')
        return self

    @property
    def chats(self) -> tuple[ChatSettings, ...]:
        """The variants that models make."""
        return tuple(variant for variant in self.variants if isinstance(variant, ChatSettings))

    def rank_of(self, variant: ChatSettings) -> int | None:
        """Return the index of the first selector that takes what the variant's model says now, None without one."""
        for index, selector in enumerate(self.priority):
            said = (selector.variant, selector.backend or variant.backend, selector.model or variant.model)
            if said == (variant.name, variant.backend, variant.model):
                return index
        return None

    def asking(self, answers: Mapping[str, bool]) -> Self:
        """Return the settings with another `ask` for the models of these names."""
        variants = tuple(
            one.model_copy(update={"ask": answers.get(one.name, one.ask)}) if isinstance(one, ChatSettings) else one
            for one in self.variants
        )
        return self.model_copy(update={"variants": variants})

    @property
    def in_turn(self) -> tuple[VariantSettings, ...]:
        """The variants in an order in which each comes after those that `before` names for it."""

        def turn(variant: VariantSettings) -> float:
            if not isinstance(variant, ChatSettings):
                return -1
            rank = self.rank_of(variant)
            return len(self.priority) if rank is None else rank

        return tuple(sorted(self.variants, key=turn))

    def before(self, variant: ChatSettings) -> tuple[VariantSettings, ...]:
        """Return the variants that may have a caption already where this one is only asked if it is needed."""
        rank = self.rank_of(variant)
        if rank is None or not variant.only_needed:
            return ()
        named = {selector.variant for selector in self.priority[:rank]}
        return tuple(other for other in self.in_turn if other.name in named and self._comes_first(other, rank))

    def _comes_first(self, other: VariantSettings, rank: int) -> bool:
        if not isinstance(other, ChatSettings):
            return True
        its = self.rank_of(other)
        return its is not None and its < rank
