from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, inspect

from dataset_assets.dataset import open_dataset
from dataset_assets.defs.columns import SCHEMA, describe_columns
from dataset_assets.defs.graph import build_definitions
from dataset_assets.images.near import find_near_duplicates
from dataset_assets.posts.choose import choose_captions
from dataset_assets.posts.index import index_records
from dataset_assets.settings import Settings
from dataset_assets_tests.datasets import settings_in
from dataset_assets_tests.posts.given import post, settings_for, write_posts

# asset → one of its files, below the root
FILES = {
    "shard_plans": "plans",
    "resized_crops": "crops",
    "caption_selection": "selection",
    "shards": "index",
    "near_duplicates": "duplicates",
}


def schemas_of(settings: Settings) -> Mapping[str, dg.TableSchema]:
    graph: Any = build_definitions(settings).get_repository_def().asset_graph
    found = {key.to_user_string(): graph.get(key).metadata.get(SCHEMA) for key in graph.get_all_asset_keys()}
    return {name: schema for name, schema in found.items() if schema}


def shown(schema: dg.TableSchema) -> list[tuple[str, str]]:
    assert all(column.description for column in schema.columns)
    return [(column.name, column.type) for column in schema.columns]


def written(folder: Path) -> list[tuple[str, str]]:
    """Return name and type of the columns of the first Parquet file below a folder."""
    return [(field.name, str(field.type)) for field in pq.read_schema(min(folder.rglob("*.parquet")))]


def test_an_asset_shows_the_columns_that_its_files_have(built: Path) -> None:
    settings = settings_in(built, duplicates={"near": True})
    with open_dataset(settings) as dataset:
        find_near_duplicates(dataset)

    schemas = schemas_of(settings)

    for name, folder in FILES.items():
        assert shown(schemas[name]) == written(built / "out" / folder), name


def test_what_rests_in_the_catalog_shows_the_columns_of_its_table(built: Path) -> None:
    schemas = schemas_of(settings_in(built))
    engine = create_engine(f"sqlite:///{built / 'out' / 'dataset.sqlite'}")
    tables = {"raw_images": "images", "bucket_assignments": "slots", "captions/caption_sidecar": "captions"}

    for name, table in tables.items():
        columns = inspect(engine).get_columns(table)
        assert [column for column, _ in shown(schemas[name])] == [column["name"] for column in columns]
    engine.dispose()


def test_records_show_the_columns_of_their_variants(tmp_path: Path) -> None:
    write_posts(tmp_path / "a.jsonl", [post(number, "text", tags="tag") for number in range(20)])
    settings = settings_for(tmp_path)
    assert settings.records
    with open_dataset(settings) as dataset:
        index_records(dataset)
        choose_captions(dataset, next(iter(settings.records.ranges)))

    schemas = schemas_of(settings)

    assert shown(schemas["caption_records"]) == written(tmp_path / "out" / "records" / "parsed")
    assert shown(schemas["record_captions"]) == written(tmp_path / "out" / "records" / "captions")
    assert "captions_1ktar" not in schemas


def test_a_column_that_nothing_is_said_of_is_a_defect() -> None:
    with pytest.raises(KeyError, match="unheard_of"):
        describe_columns(pa.schema([("unheard_of", pa.string())]))


def test_what_is_never_null_is_said() -> None:
    schema = describe_columns(pa.schema([pa.field("key", pa.string(), nullable=False), ("jpeg", pa.binary())]))

    assert [column.constraints.nullable for column in schema.columns] == [False, True]
