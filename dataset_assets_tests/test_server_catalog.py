"""A dataset whose catalog is on a PostgreSQL server: the same export, and several processes at once."""

import json
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

import dataset_assets
from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.catalog.captions import load_spending
from dataset_assets.catalog.copying import copy_catalog
from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.slots import count_slots, next_slots, slot_table
from dataset_assets.dataset import open_dataset
from dataset_assets.images.crops import make_crops
from dataset_assets.settings import Settings, load_settings
from dataset_assets.sources.scan import scan_sources
from dataset_assets_tests import children
from dataset_assets_tests.commands import add_model, artifacts, write_settings
from dataset_assets_tests.datasets import (
    LANDSCAPE,
    add_photo,
    add_photos,
    build_library,
    partition_keys,
    settings_in,
)
from dataset_assets_tests.fakes import chat_server
from dataset_assets_tests.fakes.chat_server import ChatServer

WAIT = """
import sys
from dataset_assets.dataset import open_dataset
from dataset_assets.settings import load_settings

dataset = (opened := open_dataset(load_settings(sys.argv[1]))).__enter__()
print("ready", flush=True)
sys.stdin.readline()
"""
ALLOCATE = (
    WAIT
    + """
from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.sources.scan import scan_sources

scan_sources(dataset)
print(assign_buckets(dataset, force=True).outcome.report["seated"])
"""
)
ASK = (
    WAIT
    + """
from dataset_assets.captions.chat.ask import ask_captions
from dataset_assets.errors import CaptionsStopped

try:
    ask_captions(dataset, dataset.settings.captions.chats[0], [sys.argv[2]])
except CaptionsStopped as stop:
    print(stop)
"""
)


def spell(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def run_together(code: str, *arguments: tuple[object, ...]) -> list[str]:
    """Start a process for each of these, let them go at once, and return what each printed in the end."""
    started = [children.start(code, *one) for one in arguments]
    for child in started:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n", child.communicate()
    for child in started:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    ended = [child.communicate(timeout=100) for child in started]
    assert [(said, child.returncode) for child, (_, said) in zip(started, ended, strict=True)] == [("", 0)] * len(ended)
    return [printed.strip() for printed, _ in ended]


def on_server(folder: Path, url: URL, **sections: Any) -> Settings:
    return settings_in(folder, dataset={"catalog": spell(url)}, **sections)


def made(folder: Path) -> dict[str, str]:
    """Return the digests of everything that was made, by path; without the two files that say when."""
    digests = {path: digest for path, (digest, _) in artifacts(folder / "out").items()}
    return {
        path: digest for path, digest in digests.items() if path not in ("export/manifest.json", "export/README.md")
    }


def manifest(folder: Path) -> Any:
    """Return the manifest without when it was made."""
    said = json.loads((folder / "out" / "export" / "manifest.json").read_bytes())
    del said["created_at"], said["caption_sources"]["1"]["created_at"]
    return said


def test_a_build_makes_the_same_as_with_a_file(tmp_path: Path, built: Path, postgres: URL) -> None:
    shutil.copytree(built / "raw", tmp_path / "raw")  # with the times of its files, which are in the plans

    with open_dataset(on_server(tmp_path, postgres)) as dataset:
        build_library(dataset)
        again = build_library(dataset)

    assert again.remade == set()
    assert made(tmp_path) == made(built)
    assert manifest(tmp_path) == manifest(built)  # its export_id, too
    assert manifest(tmp_path)["export_id"]
    assert not list((tmp_path / "out").rglob("*.sqlite*"))


def test_a_catalog_that_was_moved_there_and_back_leaves_nothing_to_do(built: Path, postgres: URL) -> None:
    file = built / "out" / "dataset.sqlite"
    with open_dataset(settings_in(built)) as dataset, closing(Catalog(postgres)) as server:
        copy_catalog(dataset.catalog, server)
    file.unlink()

    with open_dataset(on_server(built, postgres)) as dataset:
        assert build_library(dataset).remade == set()
        add_photo(built, "more.jpg", LANDSCAPE, seed=99)
        assert build_library(dataset).scan.report["added"] == 1
        with closing(Catalog(f"sqlite:///{file}")) as copied:
            copy_catalog(dataset.catalog, copied)
    before = artifacts(built / "out")

    with open_dataset(settings_in(built)) as dataset:
        assert build_library(dataset).remade == set()
    assert artifacts(built / "out") == before


def test_allocators_that_start_at_once_give_no_slot_twice(tmp_path: Path, postgres: URL) -> None:
    config = write_settings(tmp_path, catalog=spell(postgres))
    add_photos(tmp_path)

    seated = run_together(ALLOCATE, *[(config,)] * 2)

    assert sorted(map(int, seated)) == [0, 20]
    with open_dataset(load_settings(config)) as dataset, dataset.catalog.reading() as connection:
        taken = slot_table(connection).to_pylist()
        assert len({row["id"] for row in taken}) == 20
        for bucket_id, count in count_slots(connection).items():
            assert sorted(row["slot"] for row in taken if row["bucket_id"] == bucket_id) == list(range(count))
        assert next_slots(connection) == count_slots(connection)


def test_processes_that_ask_at_once_spend_one_budget(tmp_path: Path, postgres: URL) -> None:
    add_photos(tmp_path)
    with ChatServer(latency=0.05) as server:
        config = write_settings(tmp_path, catalog=spell(postgres))
        add_model(config, server.url, concurrency=2, budget_usd=3.5 * chat_server.COST)
        with open_dataset(load_settings(config)) as dataset:
            scan_sources(dataset)
            assign_buckets(dataset)
            keys = partition_keys(dataset)
            make_crops(dataset, keys)

        said = run_together(ASK, (config, keys[0]), (config, keys[1]))

        asked = len(server.requests)
        assert 0 < asked <= 3
        assert server.most_at_once <= 2
    assert all("budget_usd = 0.0035 leaves nothing for another caption" in one for one in said)
    with closing(Catalog(postgres)) as catalog, catalog.reading() as connection:
        spent = load_spending(connection)["caption_a"]
    assert spent.requests == asked
    assert spent.cost == pytest.approx(asked * chat_server.COST)


def test_nobody_asks_whether_the_catalog_is_on_a_server() -> None:
    package = Path(dataset_assets.__file__).parent
    asking = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search("postgres|dialect[.]name|on_server|ServerLocks|FileLocks|advisory", path.read_text())
        and path.parent.name != "catalog"
    }
    # The lock files themselves, what may be written into the settings and is said of it there, a command's help, and
    # the kind that Dagster's UI shows.
    said = {"settings/models.py", "template.py", "cli/catalog.py", "defs/assets.py"}
    assert asking == {"storage/lock.py"} | said
