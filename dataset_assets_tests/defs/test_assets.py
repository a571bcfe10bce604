from pathlib import Path
from typing import Any

import pytest

from dataset_assets.defs.assets import as_tag
from dataset_assets.defs.graph import build_definitions
from dataset_assets.settings import Settings
from dataset_assets_tests.datasets import settings_in
from dataset_assets_tests.runs import key_of

CHAT = {"name": "caption_model", "backend": "openrouter", "model": "maker/model:free"}


def graph_of(settings: Settings) -> Any:
    return build_definitions(settings).get_repository_def().asset_graph


def settings_of(**dataset: Any) -> Settings:
    return settings_in(
        Path("/nowhere"),
        dataset=dataset,
        captions={"variants": [CHAT]},
        duplicates={"near": True},
        records={"paths": ["*.jsonl"]},
        trainer={},
    )


def test_every_asset_has_the_owners_that_the_settings_name() -> None:
    graph = graph_of(settings_of(owners=["team:curators", "someone@example.org"]))

    assert len(graph.get_all_asset_keys()) > 12
    for key in graph.get_all_asset_keys():
        assert graph.get(key).owners == ["team:curators", "someone@example.org"]


def test_without_owners_there_are_none() -> None:
    graph = graph_of(settings_of())

    assert all(not graph.get(key).owners for key in graph.get_all_asset_keys())


def test_tags_say_which_dataset_and_what_an_asset_rests_in() -> None:
    graph = graph_of(settings_of(name="cats & dogs — 2026"))
    kinds = {key: set(graph.get(key).kinds) for key in graph.get_all_asset_keys()}
    tags = {key: graph.get(key).tags for key in graph.get_all_asset_keys()}

    assert {one["dataset"] for one in tags.values()} == {"cats-dogs-2026"}
    assert all(tags[key]["format"] in kinds[key] and "python" in kinds[key] for key in kinds)
    assert tags[key_of("raw_images")]["format"] == "sqlite"
    assert tags[key_of("resized_crops")]["format"] == "parquet"


def test_captions_of_a_model_are_tagged_with_it() -> None:
    tags = graph_of(settings_of()).get(key_of("captions/caption_model")).tags

    assert (tags["backend"], tags["model"]) == ("openrouter", "maker-model-free")


@pytest.mark.parametrize(
    ("text", "tag"), [("plain_1.0-x", "plain_1.0-x"), ("a b/c", "a-b-c"), ("a 猫", "a-"), ("x" * 99, "x" * 63)]
)
def test_any_text_becomes_a_tag(text: str, tag: str) -> None:
    assert as_tag(text) == tag


def test_names_of_which_nothing_is_left_are_different_tags() -> None:
    tags = {as_tag(name) for name in ("日本語", "中国語", "猫", "-", "")}

    assert len(tags) == 5
    assert all(tag.isalnum() and len(tag) == 12 for tag in tags)


def test_every_asset_and_check_says_what_to_do() -> None:
    graph = graph_of(settings_of())

    for key in graph.get_all_asset_keys():
        assert len(graph.get(key).description) > 80, key
    for key in graph.asset_check_keys:
        assert "When it fails" in graph.get(key).description or "A failure is" in graph.get(key).description, key
