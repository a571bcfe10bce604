"""Captions that a person changed in the catalog: the partitions concerned become stale, so that the change is seen.

What is changed by an import is importing.py's; nothing is asked of a model here.
"""

from collections.abc import Collection
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Select

from dataset_assets.captions.sources import register_variants
from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.catalog.exchange import reset_attempts, seated_in, select_images
from dataset_assets.catalog.state import StageState, put_state
from dataset_assets.dataset import Dataset
from dataset_assets.errors import OrderError, SettingsError
from dataset_assets.settings import CaptionSettings, ChatSettings, Settings
from dataset_assets.shards.partition import Partition, slots_per_partition
from dataset_assets.stages import edits_stage

Rows = Collection[int] | Select[Any]  # row ids of images, or a selection of them


def find_partitions(connection: Connection, settings: Settings, images: Rows) -> list[str]:
    """Return the keys of the partitions in which these images sit, in order; one without a slot is in none."""
    seats = seated_in(connection, images, slots_per_partition(settings.shards))
    return [Partition.of(bucket, number, settings.shards.shards_per_partition).key for bucket, number in seats]


def mark_edited(connection: Connection, settings: Settings, variant: str, images: Rows) -> list[str]:
    """Record that a variant's captions of these images were changed; return the keys of the partitions concerned.

    In the transaction that changes them: no kill comes between. An image that gets a slot later is seen by its plan.
    """
    keys = find_partitions(connection, settings, images)
    for key in keys:
        token = StageState(stage=edits_stage(variant), partition=key, fingerprint="-", output=uuid4().hex)
        put_state(connection, token)
    return keys


def retry_captions(dataset: Dataset, variant_name: str, statuses: Collection[CaptionStatus]) -> int:
    """Let a model be asked again about the images to which it gave an answer of these statuses; return how many.

    Only what its variant says now counts: other prompts or another model make another source. The answers stay until
    there are new ones. Raises SettingsError for a variant that no model makes, OrderError for the status ok.
    """
    captions = dataset.settings.captions
    variant = _find_chat(captions, variant_name)
    if CaptionStatus.OK in statuses:
        raise OrderError("captions that are ok are not asked for again: name other statuses, or change the prompt")
    with dataset.catalog.writing() as connection:
        source = register_variants(connection, captions)[variant.name]
        mark_edited(connection, dataset.settings, variant.name, select_images(source, statuses))
        return reset_attempts(connection, source, statuses)


def _find_chat(captions: CaptionSettings, name: str) -> ChatSettings:
    for variant in captions.chats:
        if variant.name == name:
            return variant
    named = ", ".join(one.name for one in captions.chats) or "(no variant that a model makes is configured)"
    raise SettingsError(f'"{name}" given; allowed are the variants that a model makes: {named}')
