from pathlib import Path

import pytest
from sqlalchemy import URL

from dataset_assets.errors import StorageError
from dataset_assets.storage.layout import Layout, prepare, shard_path
from dataset_assets.storage.location import make_location
from dataset_assets_tests import children
from dataset_assets_tests.postgres import Server

SETTINGS = """
[dataset]
root = "memory://bucket/folder"
catalog = "{catalog}"
[[sources]]
path = "/photographs"
"""
OPEN = """
import sys
from dataset_assets.dataset import open_dataset
from dataset_assets.settings import load_settings

settings = load_settings(sys.argv[1])
with open_dataset(settings) as dataset, dataset.locks.building(), dataset.locks.holding(["a"]):
    print(dataset.locks.is_building())
"""


def test_everything_lies_under_the_root_at_a_place_of_its_own() -> None:
    layout = Layout(Path("/data"))
    paths = [
        layout.catalog,
        layout.dagster_home,
        layout.lock,
        layout.plan("p1024x1024_000000-000015"),
        layout.crops("p1024x1024", 7),
        layout.selection("p1024x1024_000000-000015"),
        layout.index("p1024x1024", 7),
        layout.tar("p1024x1024", 7),
        layout.samples,
        layout.manifest,
        layout.card,
        layout.near_duplicates,
        layout.contact_sheet,
    ]

    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to("/data") for path in paths)


def test_an_export_is_laid_out_as_the_format_says() -> None:
    layout = Layout(Path("/data"))

    assert shard_path("p1216x832", 7) == "buckets/p1216x832/shard-000007.tar"
    assert layout.tar("p1216x832", 1_234_567) == Path("/data/export/buckets/p1216x832/shard-1234567.tar")
    assert layout.manifest == layout.export / "manifest.json"
    assert layout.card == layout.export / "README.md"
    assert layout.samples == layout.export / "samples.parquet"


def test_what_is_made_of_a_dataset_lies_in_its_folders() -> None:
    layout = Layout(Path("/data"))

    for path in (layout.plan("p"), layout.crops("p", 0), layout.index("p", 0), layout.samples, layout.contact_sheet):
        assert any(path.is_relative_to(folder) for folder in layout.folders)


def test_the_root_is_made_and_nothing_else(tmp_path: Path) -> None:
    prepare(Layout(tmp_path / "new" / "root"))
    prepare(Layout(make_location("memory://bucket/folder", tmp_path), tmp_path / "home"))

    assert list(tmp_path.rglob("*")) == [tmp_path / "new", tmp_path / "new" / "root"]


def test_a_root_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match=r"^cannot make the dataset's root .*/file/root: Not a directory$"):
        prepare(Layout(tmp_path / "file" / "root"))


def test_settings_may_lie_where_nobody_can_write_when_all_else_is_on_servers(
    tmp_path: Path, postgres: URL, postgres_server: Server
) -> None:
    config = tmp_path / "dataset.toml"
    config.write_text(SETTINGS.format(catalog=postgres.render_as_string(hide_password=False)))
    tmp_path.chmod(0o555)
    postgres_server.folder.chmod(0o755)  # else who has no powers does not come to its socket

    printed = children.run(OPEN, config, powerless=True)

    assert printed == "True"
    assert list(tmp_path.iterdir()) == [config]
