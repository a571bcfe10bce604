"""The caption sources of the configured variants: how they are registered, and which of them count."""

import json
from hashlib import sha256

from sqlalchemy import Connection

from dataset_assets.catalog.captions import (
    CaptionSource,
    SourceIdentity,
    activate_source,
    list_sources,
    register_source,
)
from dataset_assets.settings import CaptionSettings, ChatSettings, SidecarSettings

_SIDECAR = "sidecar"


def register_variants(connection: Connection, captions: CaptionSettings) -> dict[str, CaptionSource]:
    """Return the caption source of every configured variant that makes captions, by variant.

    All are registered together and in their order, so that a build from nothing gives them the same ids every time.
    """
    registered = {}
    for variant in captions.variants:
        if isinstance(variant, SidecarSettings):
            source = register_source(connection, _identify_sidecar(variant))
        elif isinstance(variant, ChatSettings):
            prompts = (variant.system_prompt, variant.user_prompt)
            source = register_source(connection, identify_chat(variant), prompts=prompts)
        else:
            continue
        registered[variant.name] = activate_source(connection, source)
    return registered


def live_sources(connection: Connection, captions: CaptionSettings) -> tuple[CaptionSource, ...]:
    """Return the caption sources that count, by id: all but those of files that no configured variant reads any more.

    What a model said once stays what it said. A file is read again when it changes, and one that is no longer read
    would give texts that nobody can correct.
    """
    read = {_identify_sidecar(one) for one in captions.variants if isinstance(one, SidecarSettings)}
    return tuple(one for one in list_sources(connection) if one.backend != _SIDECAR or one.identity in read)


def list_warnings(captions: CaptionSettings) -> list[str]:
    """Return what a person should know before models are asked, a line each."""
    unused = [
        f"{variant.name}: no selector of captions.priority takes what {variant.model} by {variant.backend} says: it is "
        "asked about every image, and nothing of it is used"
        for variant in captions.chats
        if variant.ask and captions.rank_of(variant) is None
    ]
    return [*(explain_left_out(variant) for variant in captions.chats if variant.key_missing), *unused]


def explain_left_out(variant: ChatSettings) -> str:
    """Return why a model is not asked although it would be, and what to do."""
    local = f'; a server of your own needs none: api_key_env = "" for {variant.name}' if variant.base_url else ""
    return (
        f"{variant.name} is left out: the environment variable {variant.key_variable}, which holds its key, is not set"
        f"{local}. What it said before counts"
    )


def identify_chat(variant: ChatSettings) -> SourceIdentity:
    """Return what makes a model's captions what they are.

    Where the model is served is no part of it, and how long it may talk neither: nobody pays a second time for a server
    that moved, or for the sake of the few captions that were cut off.
    """
    extra = json.loads(variant.extra_body)
    image = {"detail": variant.image_detail, "max_side": variant.image_max_side}
    if variant.image_max_side:
        image["quality"] = variant.image_quality
    parameters = {
        "image": image,
        "temperature": variant.temperature,
        "extra_body": {name: value for name, value in extra.items() if name != "max_completion_tokens"},
    }
    return SourceIdentity(
        variant=variant.name,
        backend=variant.backend,
        model=variant.model,
        system_prompt_sha256=_hash(variant.system_prompt),
        user_prompt_sha256=_hash(variant.user_prompt),
        parameters=json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
    )


def list_extensions(variant: SidecarSettings) -> tuple[str, ...]:
    """Return the extensions a variant reads; the first that is there counts."""
    if variant.field is not None:
        return ("json",)
    return (variant.extension,) if variant.extension else ("txt", "caption")


def _identify_sidecar(variant: SidecarSettings) -> SourceIdentity:
    """Return the identity of files: in place of a model, which of them are read, and which field."""
    model = ",".join(list_extensions(variant)) + (f":{variant.field}" if variant.field else "")
    return SourceIdentity(variant=variant.name, backend=_SIDECAR, model=model)


def _hash(prompt: str) -> str:
    return sha256(prompt.encode()).hexdigest() if prompt else ""
