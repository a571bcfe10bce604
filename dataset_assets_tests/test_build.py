"""The whole way, from files to an export: the same bytes however it was built, whatever came in between."""

import hashlib
import json
import random
import signal
from pathlib import Path

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.progress import Silence
from dataset_assets.settings import Settings
from dataset_assets.shards.tar import TarReader
from dataset_assets.shards.verify import verify
from dataset_assets.storage.atomic import sweep
from dataset_assets_tests import children
from dataset_assets_tests.datasets import (
    LANDSCAPE,
    PORTRAIT,
    SQUARE,
    TINY,
    Built,
    add_photo,
    add_photos,
    build_library,
    on_disk,
    settings_in,
)
from dataset_assets_tests.photos import hostile

SHAPES = (LANDSCAPE, PORTRAIT, SQUARE, (208, 144), (300, 72), TINY)

BUILD = """
import json
import sys
from pathlib import Path
from dataset_assets.dataset import open_dataset
from dataset_assets.errors import DatasetError
from dataset_assets.storage.atomic import sweep
from dataset_assets_tests.datasets import build_library, settings_in

if __name__ == "__main__":
    sections = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    settings = settings_in(Path(sys.argv[1]), **sections)
    print("starting", flush=True)
    try:
        with open_dataset(settings) as dataset:
            sweep(dataset.layout.folders)
            print(build_library(dataset).manifest.report["export_id"])
    except DatasetError as error:
        print(f"{type(error).__name__}: {error}")
"""

WITHOUT_DAGSTER = f"""
import sys
from importlib.abc import MetaPathFinder

class Blocker(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0].startswith("dagster"):
            raise ImportError(f"{{name}} was imported")

sys.meta_path.insert(0, Blocker())
{BUILD}
"""


# Kills itself at a moment between two changes of the disk: a file's name or a transaction.
KILLED = f"""
import os, signal, sys
from sqlalchemy import Engine, event

left = int(sys.argv[2])

def pass_by(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def watch(name, arguments):
    if name in ("os.rename", "os.remove", "os.mkdir", "os.rmdir") and sys.argv[1] in str(arguments[0]):
        pass_by()

sys.addaudithook(watch)
event.listen(Engine, "commit", pass_by)
{BUILD}
"""

LIMITED = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))  # the disk ends here
{BUILD}
"""


def build(settings: Settings) -> Built:
    with open_dataset(settings) as dataset:
        sweep(dataset.layout.folders)
        return build_library(dataset)


def tars(settings: Settings) -> dict[str, str]:
    """Return the hash of every tar of a sound export."""
    export = on_disk(settings.root) / "export"
    report = verify(export, workers=1, progress=Silence())
    assert report.ok, report.faults
    return {
        path.relative_to(export).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in export.rglob("*.tar")
    }


def samples(settings: Settings) -> dict[str, bytes]:
    """Return every member of a sound export's tars, wherever its sample stands."""
    members: dict[str, bytes] = {}
    for name in tars(settings):
        with (settings.root / "export" / name).open("rb") as file:
            members |= {member.name: member.data for member in TarReader(file)}
    return members


def test_the_same_bytes_at_every_degree_of_parallelism_and_in_every_order(tmp_path: Path) -> None:
    made = []
    for workers, order in ((1, range(24)), (2, reversed(range(24)))):
        folder = tmp_path / str(workers)
        for seed in order:
            add_photo(folder, f"sub {seed % 2}/{seed}.jpg", SHAPES[seed % 5], seed=seed, caption=f"number {seed}")
        settings = settings_in(folder, work={"workers": workers})
        made.append((build(settings).manifest.report["export_id"], tars(settings)))

    assert made[0] == made[1]
    assert len(made[0][1]) >= 5


@pytest.mark.parametrize("seed", range(2))
def test_after_any_changes_the_samples_are_those_of_a_build_from_nothing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    settings, from_nothing = settings_in(tmp_path), settings_in(tmp_path, dataset={"root": "from nothing"})
    add_photos(tmp_path, 8)
    build(settings)
    for _ in range(2):
        for _ in range(6):
            change(tmp_path, chance)
        last = build(settings).manifest.report
        tars(settings)

    fresh = build(from_nothing).manifest.report

    assert samples(settings) == samples(from_nothing)
    assert last["summary"] == fresh["summary"]


def change(folder: Path, chance: random.Random) -> None:
    """Do to the photos what people do."""
    photos = sorted((folder / "raw").rglob("*.jpg"))
    photo = chance.choice(photos)
    number = chance.randrange(10**9)
    match chance.choice(["add", "add", "replace", "remove", "rename", "write", "silence", "break"]):
        case "add":
            add_photo(folder, f"new/{number}.jpg", chance.choice(SHAPES), seed=number, caption=f"added {number}")
        case "replace":
            photo.write_bytes(add_photo(folder, "aside", chance.choice(SHAPES), seed=number).read_bytes())
        case "remove" if len(photos) > 2:
            photo.unlink()
        case "rename":
            photo.rename(photo.with_name(f"renamed {number}.jpg"))
        case "write":
            photo.with_suffix(".txt").write_text(f"written {number}")
        case "silence":
            photo.with_suffix(".txt").unlink(missing_ok=True)
        case "break":
            broken = chance.choice([data for _, data in hostile().values()])
            (folder / f"raw/broken {number}.jpg").write_bytes(broken)


def test_the_library_needs_no_dagster(tmp_path: Path) -> None:
    add_photos(tmp_path, 6)

    export_id = children.run(WITHOUT_DAGSTER, tmp_path).splitlines()[-1]

    assert export_id == build(settings_in(tmp_path, dataset={"root": "with"})).manifest.report["export_id"]


def test_a_build_that_was_killed_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    chance = random.Random(7)
    photos = add_photos(tmp_path, 24)
    settings, uninterrupted = settings_in(tmp_path), settings_in(tmp_path, dataset={"root": "uninterrupted"})
    build(uninterrupted)

    for moment in (100, *(chance.randint(1, 60) for _ in range(5))):
        child = children.start(KILLED, tmp_path, moment)
        _, complaints = child.communicate()
        assert (child.returncode, complaints) == (-signal.SIGKILL, "")
        for path in chance.sample(photos, 3):
            path.with_suffix(".txt").write_text(f"after {moment}")
        photos.remove(gone := chance.choice(photos))
        gone.unlink()  # in both, so that slots, partitions and files have to go as well
        build(uninterrupted)
    build(settings)

    assert samples(settings) == samples(uninterrupted)
    assert not list(on_disk(settings.root).rglob("*.writing"))


def test_a_build_that_was_killed_early_gives_the_same_tars(tmp_path: Path) -> None:
    add_photos(tmp_path, 24)
    for moment in (3, 40, 80):
        child = children.start(KILLED, tmp_path, moment)
        child.communicate()
        assert child.returncode == -signal.SIGKILL
    settings, uninterrupted = settings_in(tmp_path), settings_in(tmp_path, dataset={"root": "uninterrupted"})

    finished, whole = build(settings), build(uninterrupted)

    assert tars(settings) == tars(uninterrupted)
    assert finished.manifest.report["export_id"] == whole.manifest.report["export_id"]


def test_a_full_disk_is_said_and_the_next_build_goes_on(tmp_path: Path) -> None:
    for seed in range(3):
        add_photo(tmp_path, f"{seed}.jpg", (1100, 1030), seed=seed)
    large = {"buckets": {"base_resolutions": [1024]}}
    for limit, said in ((20_000, "CatalogError: catalog "), (500_000, "StorageError: cannot write ")):
        printed = children.run(LIMITED, tmp_path, limit, json.dumps(large)).splitlines()

        assert len(printed) == 2
        assert printed[1].startswith(f"{said}{tmp_path}/out/")
    settings = settings_in(tmp_path, **large)
    assert not list((on_disk(settings.root / "crops")).rglob("*.parquet"))
    uninterrupted = settings_in(tmp_path, dataset={"root": "uninterrupted"}, **large)

    build(settings)
    build(uninterrupted)

    assert tars(settings) == tars(uninterrupted)


@pytest.mark.parametrize("what", ["root", "crops"])
def test_a_folder_that_may_not_be_written_is_said_and_the_next_build_goes_on(built: Path, what: str) -> None:
    folder = built / "out" if what == "root" else built / "out/crops/p1216x832"
    add_photo(built, "new.jpg", seed=99)
    modes = {path: path.stat().st_mode for path in (folder, *folder.iterdir())}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)

    printed = children.run(BUILD, built, powerless=True).splitlines()

    error = (
        "CatalogError: catalog " if what == "root" else f"StorageError: cannot write {folder}/shard-000002.parquet: "
    )
    assert printed[-1].startswith(error)
    assert "Traceback" not in printed[-1]
    for path, mode in modes.items():
        path.chmod(mode)
    assert build(settings_in(built)).manifest.report["summary"]["images_exported"] == 21
    tars(settings_in(built))
