import json
import shutil
import tomllib
from pathlib import Path

import pytest

import dataset_assets
from dataset_assets.storage.layout import Layout
from dataset_assets_tests import children
from dataset_assets_tests.commands import run, write_settings
from dataset_assets_tests.datasets import LANDSCAPE, SQUARE, add_photo, on_disk

REPOSITORY = Path(dataset_assets.__file__).parents[1]
FIRST, SECOND = "p1024x1024_000000-000001", "p1216x832_000000-000001"
FRESH = """
import os, sys, warnings
os.chdir(sys.argv[1])
import dagster
warnings.simplefilter("error")
from dataset_assets.definitions import defs
print(len(defs.get_repository_def().asset_graph.get_all_asset_keys()))
"""


def test_a_fresh_clone_loads_and_touches_nothing(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "dataset.toml", tmp_path)
    (tmp_path / "data" / "raw").mkdir(parents=True)

    assert children.run(FRESH, tmp_path) == "10"

    assert sorted(path.name for path in tmp_path.rglob("*")) == ["data", "dataset.toml", "raw"]


def test_the_module_is_named_where_dagster_looks() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())

    assert project["tool"]["dagster"]["module_name"] == "dataset_assets.definitions"
    assert "module_name: dataset_assets.definitions" in (REPOSITORY / "workspace.yaml").read_text()


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, bool]]:
    """What a person types into a shell, in order: exit code, output, and whether there was a manifest then."""
    folder = tmp_path_factory.mktemp("typed")
    write_settings(folder)
    for seed in range(6):
        add_photo(folder, f"{seed}.jpg", LANDSCAPE if seed % 2 else SQUARE, seed=seed, caption="a photo")
    (folder / "elsewhere").mkdir()
    (folder / "home").mkdir()
    said = {}
    for name, options in {
        "index": ["--select", "raw_images,bucket_assignments"],
        "first": ["--select", "shard_plans*", "--partition", FIRST],
        "manifest": ["--select", "manifest"],
        "second": ["--select", "shard_plans*", "--partition", SECOND],
    }.items():
        done = run(
            folder / "elsewhere", "asset", "materialize", "-m", "dataset_assets.definitions", *options,
            module="dagster", DATASET_CONFIG=str(folder / "dataset.toml"), DAGSTER_HOME=str(folder / "home"),
        )  # fmt: skip
        manifest = Layout(folder / "out").manifest
        said[name] = done.returncode, done.stdout + done.stderr, manifest.exists()
    return said | {"seen": (0, on_disk(manifest).read_text() if manifest.exists() else "", True)}


def test_the_index_comes_first(typed: dict[str, tuple[int, str, bool]]) -> None:
    code, output, _ = typed["index"]

    assert code == 0
    assert "RUN_SUCCESS" in output


def test_while_other_partitions_are_missing_the_manifest_waits(typed: dict[str, tuple[int, str, bool]]) -> None:
    code, output, manifest = typed["first"]

    assert code == 0
    assert f"no manifest yet: the export is not complete: shards {SECOND}: missing" in output
    assert not manifest


def test_the_manifest_alone_says_what_is_missing(typed: dict[str, tuple[int, str, bool]]) -> None:
    code, output, manifest = typed["manifest"]

    assert code == 1
    assert f"the export is not complete: shards {SECOND}: missing, not made yet" in output
    assert not manifest


def test_the_last_partition_brings_the_manifest(typed: dict[str, tuple[int, str, bool]]) -> None:
    code, output, manifest = typed["second"]

    assert code == 0
    assert "no manifest yet" not in output
    assert manifest
    assert json.loads(typed["seen"][1])["summary"]["images_exported"] == 6
