"""The caption sources of the configured variants: how they are registered, and which of them count."""

from sqlalchemy import Connection

from dataset_assets.catalog.captions import CaptionSource, list_sources, register_source
from dataset_assets.settings import CaptionSettings, VariantSettings

_SIDECAR = "sidecar"


def register_variants(connection: Connection, captions: CaptionSettings) -> dict[str, CaptionSource]:
    """Return the caption source of every configured variant, by variant.

    All are registered together and in their order, so that a build from nothing gives them the same ids every time.
    """
    return {
        variant.name: register_source(
            connection,
            variant=variant.name,
            backend=variant.backend,
            model=_name_model(variant),
            parameters="{}",
        )
        for variant in captions.variants
    }


def live_sources(connection: Connection, captions: CaptionSettings) -> tuple[CaptionSource, ...]:
    """Return the caption sources that count, by id: all but those of files that no configured variant reads any more.

    What a model said once stays what it said. A file is read again when it changes, and one that is no longer read
    would give texts that nobody can correct.
    """
    read = {(variant.name, _name_model(variant)) for variant in captions.variants}
    sources = list_sources(connection)
    return tuple(one for one in sources if one.backend != _SIDECAR or (one.variant, one.model) in read)


def list_extensions(variant: VariantSettings) -> tuple[str, ...]:
    """Return the extensions a variant reads; the first that is there counts."""
    if variant.field is not None:
        return ("json",)
    return (variant.extension,) if variant.extension else ("txt", "caption")


def _name_model(variant: VariantSettings) -> str:
    """Return what stands for the model of a caption source: which files are read, and which field of them."""
    return ",".join(list_extensions(variant)) + (f":{variant.field}" if variant.field else "")
