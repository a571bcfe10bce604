"""Answers of models on built datasets, put into the catalog as the caller puts them: no model is asked for them."""

from collections.abc import Mapping
from typing import Any

from dataset_assets.captions.chat.prompts import name_input, write_prompt
from dataset_assets.captions.sources import register_variants
from dataset_assets.captions.view import list_rows, load_view
from dataset_assets.catalog.captions import CaptionSource, record_answers
from dataset_assets.dataset import Dataset
from dataset_assets.settings import ChatSettings
from dataset_assets_tests.captions.captioned import answer
from dataset_assets_tests.datasets import partition_keys

NOWHERE = "http://127.0.0.1:9/v1"  # nothing listens there


def chat(name: str, **settings: Any) -> dict[str, Any]:
    """Return the settings of a variant that a model of its own makes, on a server that needs no key."""
    return {
        "name": name,
        "backend": "openai",
        "model": f"test/{name}",
        "base_url": NOWHERE,
        "api_key_env": "",
        **settings,
    }


def waterfall(*variants: dict[str, Any], **others: Any) -> dict[str, Any]:
    """Return a [captions] table with these variants, selected in this order."""
    return {"variants": list(variants), "priority": [{"variant": one["name"]} for one in variants], **others}


def list_samples(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Return every sample of the dataset as view.py has it, by image_id."""
    views = [load_view(dataset, key) for key in partition_keys(dataset)]
    samples = (sample for view in views for sample in list_rows(view.samples, view.samples["slot"] >= 0))
    return {sample["image_id"]: sample for sample in samples}


def say(dataset: Dataset, name: str, texts: Mapping[str, str], *, status: str = "ok", **facts: Any) -> CaptionSource:
    """Record what a variant's model answers now, by image_id; return the caption source."""
    variant = find_chat(dataset, name)
    samples = list_samples(dataset)
    rows = []
    for image_id, text in texts.items():
        sample = samples[image_id]
        version = name_input(variant, sample, write_prompt(dataset, variant, sample))
        rows.append(answer(sample["id"], text, status, **{"input_version": version, **facts}))
    with dataset.catalog.writing() as connection:
        source = register_variants(connection, dataset.settings.captions)[name]
        record_answers(connection, source, rows)
    return source


def find_chat(dataset: Dataset, name: str) -> ChatSettings:
    """Return the settings of a variant that a model makes."""
    return next(one for one in dataset.settings.captions.chats if one.name == name)


def photos(*numbers: int) -> list[str]:
    """Return the image_ids of the photos with these numbers."""
    return [f"{number:03d}.jpg" for number in numbers]
