"""How a stage becomes an asset: what all of their decorators have in common, said once."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from dataset_assets.defs.versions import code_version
from dataset_assets.freshness import fingerprint
from dataset_assets.settings import Settings
from dataset_assets.stages import Stage, upstream

CATALOG = "catalog"  # the form of what lies in the catalog, wherever that is

_LOOKS = (Stage.RAW_IMAGES, Stage.CAPTION_RECORDS)  # only a look at the files can tell whether these are stale
_NO_TAG = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST_TAG = 63  # characters
_DIGITS = 12  # of a digest that stands for a name


def stage_asset(
    settings: Settings,
    stage: str,
    *,
    group: str,
    form: str,
    partitions: dg.PartitionsDefinition[str] | None = None,
    tags: Mapping[str, str] | None = None,
    **more: Any,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Return the decorator that makes a function the asset of a stage; `more` is what dg.asset takes.

    Name, dependencies, code version and owners follow from the stage and the settings. `form` is what its result rests
    in, CATALOG or a kind that Dagster shows, and a tag to look for.
    """
    if form == CATALOG:
        form = "postgres" if settings.dataset.catalog.startswith("postgresql") else "sqlite"
    decorator: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        key=stage.split("/"),
        deps=[name.split("/") for name in upstream(settings, stage) if name != Stage.SHARDS_INTACT],  # which is a check
        partitions_def=partitions,
        # A run each costs 2.7 times more than shared runs, and one run for all loses everything on a failure.
        backfill_policy=dg.BackfillPolicy.multi_run(settings.automation.partitions_per_run) if partitions else None,
        group_name=group,
        owners=list(settings.dataset.owners),
        tags={"dataset": as_tag(settings.dataset.name), "format": form, **(tags or {})},
        code_version=None if stage in _LOOKS else code_version(settings, stage),
        **{"kinds": {"python", form}, **more},
    )
    return decorator


def as_tag(text: str) -> str:
    """Return a text as a tag's value can have it: what is not allowed in one becomes a dash.

    Of one in which nothing is allowed it is a digest: two names are two tags.
    """
    tag = _NO_TAG.sub("-", text)[:_LONGEST_TAG]
    return tag if tag.strip("-") else fingerprint(text)[:_DIGITS]
