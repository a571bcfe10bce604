"""The asset graph, assembled: every asset, check, job, sensor and resource of a dataset in one place."""

import warnings
from typing import Any

import dagster as dg

from dataset_assets.defs.buckets import make_bucket_assignments
from dataset_assets.defs.captions import make_caption_selection, make_captions
from dataset_assets.defs.checks import CHECKS, make_model_checks
from dataset_assets.defs.gallery import make_gallery
from dataset_assets.defs.images import make_resized_crops
from dataset_assets.defs.jobs import list_jobs
from dataset_assets.defs.near import make_near_duplicates
from dataset_assets.defs.record_checks import RECORD_CHECKS, TRAINER_CHECKS
from dataset_assets.defs.records import make_record_assets
from dataset_assets.defs.release import make_dataset_card, make_manifest
from dataset_assets.defs.resources import log_progress, make_dataset_resource
from dataset_assets.defs.sensors import make_nightly, make_sensor
from dataset_assets.defs.shards import make_shard_plans, make_shards
from dataset_assets.defs.sources import make_raw_images
from dataset_assets.settings import Settings


def build_definitions(settings: Settings, **resources: Any) -> dg.Definitions:
    """Return the asset graph of a dataset; `resources` replace those of the same name (dataset, progress)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill policies: we pin Dagster and test them
        assets = [*(_make_image_assets(settings) if settings.sources else []), *make_record_assets(settings)]
    jobs = list_jobs(settings)
    return dg.Definitions(
        assets=assets,
        asset_checks=[
            *(_make_image_checks(settings) if settings.sources else []),
            *(RECORD_CHECKS if settings.records else []),
            *(TRAINER_CHECKS if settings.trainer else []),
        ],
        jobs=jobs,
        sensors=[make_sensor(settings, jobs)],
        schedules=[schedule for schedule in [make_nightly(settings)] if schedule],
        resources={"dataset": make_dataset_resource(settings), "progress": log_progress, **resources},
        # A step uses all cores by itself; a process for each would only add its start.
        executor=dg.in_process_executor,
    )


def _make_image_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    return [
        make_raw_images(settings),
        make_bucket_assignments(settings),
        make_shard_plans(settings),
        make_resized_crops(settings),
        *([make_near_duplicates(settings)] if settings.duplicates.near else []),
        *(make_captions(settings, variant) for variant in settings.captions.variants),
        make_caption_selection(settings),
        make_shards(settings),
        make_manifest(settings),
        make_dataset_card(settings),
        *([make_gallery(settings)] if settings.gallery.enabled else []),
    ]


def _make_image_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    models = settings.captions.chats
    return [*CHECKS, *(check for variant in models for check in make_model_checks(variant))]
