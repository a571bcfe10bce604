"""Records and trainer metadata whose root is in an object store: the bytes of a disk, and puts of what changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.defs.build import run_build
from dataset_assets.errors import DamagedError, StorageError
from dataset_assets.posts.choose import choose_captions
from dataset_assets.posts.index import index_records, list_faults
from dataset_assets.progress import Silence
from dataset_assets.settings import Settings, parse_settings
from dataset_assets.status import judge_all
from dataset_assets.storage.atomic import write_bytes
from dataset_assets.storage.location import find_files
from dataset_assets.storage.objects import ObjectPath
from dataset_assets.trainer.metadata import write_trainer_metadata
from dataset_assets.trainer.tars.stage import write_numbered_tars
from dataset_assets.trainer.tars.verify import verify_numbered_tars
from dataset_assets_tests import children
from dataset_assets_tests.datasets import add_photos, build_library, settings_in
from dataset_assets_tests.fakes.object_proxy import ObjectProxy
from dataset_assets_tests.objects import read_all, remote_settings
from dataset_assets_tests.posts.given import post, write_posts

RECORDS: dict[str, Any] = {
    "paths": ["captions/*.jsonl*"],
    "modulus": 10,
    "padding": 4,
    "tars_per_partition": 5,
    "text_tars": ["tags"],
}
TRAINER = {"ids": "meta_lat.json", "tags": "meta_lat.json", "latents": "meta_lat.jsonl"}
FOLDERS = ("records", "export_1k", "trainer")

SIDE_BY_SIDE = """
import sys
from pathlib import Path
from dataset_assets.posts import index
from dataset_assets.storage.objects import ObjectPath
from dataset_assets.trainer.merge import merge
from dataset_assets.trainer.tars import stage
from dataset_assets_tests.test_objects_records import make_all, settings_of

index._WORTH_PROCESSES, merge._WORTH_A_PROCESS, stage._WORTH_A_PROCESS = 0, 0, 1
make_all(settings_of(Path(sys.argv[1]), ObjectPath(sys.argv[2])))
"""


def write_months(folder: Path, count: int = 300) -> None:
    """Write two files of records, of which some rows have faults, and the metadata of their latents."""
    posts = [post(3 * number, f"A fox, number {number}.", tags=f"fox tag_{number % 7}") for number in range(count)]
    months = folder / "captions"
    write_posts(months / "2024-01_grouped.jsonl", [*posts[::2], {"no": "id"}, post(3, "Again.", tags="again")])
    write_posts(months / "2024-02_grouped.jsonl.zst", posts[1::2])
    latents = {str(3 * number): {"tags": f"tag {number}", "train_resolution": [64, 32]} for number in range(count + 9)}
    (folder / "meta_lat.json").write_text(json.dumps(latents))
    write_posts(folder / "meta_lat.jsonl", [{"id": int(one), **said} for one, said in latents.items()])


def settings_of(folder: Path, root: ObjectPath | None = None, **tables: Any) -> Settings:
    """Return the settings of a dataset of records: its root is in `folder`, or in a store."""
    there = {"root": "out"}
    if root:
        there = {"root": str(root), "catalog": f"sqlite:///{folder / 'catalog.sqlite'}"}
    data = {"dataset": {"name": "foxes", **there}, "work": {"workers": 2}, "records": RECORDS, "trainer": TRAINER}
    return parse_settings({**data, **tables}, folder=folder)


def make_all(settings: Settings) -> dict[str, bytes]:
    """Run every stage, and return what they left."""
    with open_dataset(settings) as dataset:
        index_records(dataset)
        assert settings.records is not None
        for key in settings.records.ranges:
            choose_captions(dataset, key)
            write_numbered_tars(dataset, key)
        write_trainer_metadata(dataset)
    return read_made(settings)


def read_made(settings: Settings) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for folder in FOLDERS for name, data in read_all(settings.root / folder).items()}


def written(proxy: ObjectProxy, root: ObjectPath) -> set[str]:
    prefix = f"/{root.url.removeprefix('s3://')}/"
    return {target.removeprefix(prefix) for target in proxy.written()}


def stages_not_fresh(settings: Settings) -> list[tuple[str, str]]:
    with open_dataset(settings) as dataset:
        return [key for key, verdict in judge_all(dataset).items() if not verdict.fresh]


def test_a_build_of_records_into_a_store_is_a_build_on_a_disk(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    write_months(tmp_path)
    local = make_all(settings_of(tmp_path))
    settings = settings_of(tmp_path, object_root)
    scratch = settings.layout.trainer_scratch
    write_bytes(scratch / ".meta_cap.json.999999999.writing", b"of a build that was killed")

    run_build(settings, Silence())

    assert read_made(settings) == local
    assert {"trainer/meta_merged.json", "export_1k/tags/0009.tar", "records/captions/0000-0004.parquet"} <= local.keys()
    assert stages_not_fresh(settings) == []
    assert list(scratch.iterdir()) == []
    with open_dataset(settings) as dataset:
        assert [fault["fault"] for fault in list_faults(dataset)] == ["no_id", "repeated_id"]
    object_proxy.requests.clear()

    run_build(settings, Silence())

    assert {method for method, _ in object_proxy.requests} <= {"GET", "HEAD"}


@pytest.mark.slow
def test_processes_side_by_side_leave_the_same(tmp_path: Path, object_root: ObjectPath) -> None:
    write_months(tmp_path)

    children.run(SIDE_BY_SIDE, tmp_path, object_root)

    assert read_made(settings_of(tmp_path, object_root)) == make_all(settings_of(tmp_path))


def test_one_more_file_of_records_puts_what_changed_and_nothing_else(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    write_months(tmp_path)
    settings = settings_of(tmp_path, object_root)
    before = make_all(settings)
    write_posts(tmp_path / "captions" / "2024-03_grouped.jsonl", [post(6, "A wolf.", tags="wolf")])
    object_proxy.requests.clear()

    after = make_all(settings)

    (parsed,) = (name for name in after.keys() - before.keys() if name.startswith("records/parsed/"))
    put = written(object_proxy, object_root)
    assert {name for name in put if not name.startswith("trainer/")} == {
        parsed, "records/captions/0005-0009.parquet", "records/captions/0005-0009.faults.jsonl",
        "export_1k/captions/0006.tar", "export_1k/captions/0006.json",
        "export_1k/tags/0006.tar", "export_1k/tags/0006.json",
    }  # fmt: skip
    assert "trainer/meta_cap.json" in put
    assert after == make_all(settings_of(tmp_path))


def test_files_that_are_gone_take_what_was_made_of_them_along(tmp_path: Path, object_root: ObjectPath) -> None:
    write_months(tmp_path)
    make_all(settings_of(tmp_path, object_root))
    (tmp_path / "captions" / "2024-01_grouped.jsonl").unlink()
    records = {**RECORDS, "tars_per_partition": 4, "text_tars": []}

    made = make_all(settings_of(tmp_path, object_root, records=records))

    assert made == make_all(settings_of(tmp_path, records=records))
    assert len([name for name in made if name.startswith("records/parsed")]) == 1


def test_tars_in_a_store_are_verified(tmp_path: Path, object_root: ObjectPath) -> None:
    write_months(tmp_path)
    make_all(settings_of(tmp_path, object_root))
    export = object_root / "export_1k"
    good = verify_numbered_tars(export)
    tar = export / "captions" / "0003.tar"
    data = bytearray(tar.read_bytes())
    data[515] ^= 1
    write_bytes(tar, bytes(data))

    bad = verify_numbered_tars(export)

    assert (good.faults, good.files, good.samples) == ((), 20, 600)
    assert {fault.file for fault in bad.faults} == {"captions/0003.json"}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["records/parsed", "records/captions", "export_1k/tags", "trainer/meta_merged"])
def test_a_store_that_does_not_take_it_is_said_and_the_next_build_ends_in_the_same(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy, place: str
) -> None:
    write_months(tmp_path, 40)
    settings = settings_of(tmp_path, object_root)
    object_proxy.fail("error", "PUT", f"/{place}", times=1000)

    with pytest.raises(StorageError, match=rf"^cannot write {object_root}/{place}.*: "):
        make_all(settings)

    object_proxy.forget()
    assert make_all(settings) == make_all(settings_of(tmp_path))
    assert list(settings.layout.trainer_scratch.iterdir()) == []


def test_captions_that_somebody_damaged_are_made_again(tmp_path: Path, object_root: ObjectPath) -> None:
    write_months(tmp_path, 40)
    settings = settings_of(tmp_path, object_root, trainer={})
    whole = make_all(settings)
    path = object_root / "records" / "captions" / "0000-0004.parquet"
    data = path.read_bytes()
    write_bytes(path, bytes(len(data)))

    with open_dataset(settings) as dataset, pytest.raises(DamagedError, match="has been removed: build again"):
        write_trainer_metadata(dataset, force=True)

    assert not path.exists()
    assert make_all(settings) == whole


@pytest.mark.slow
def test_an_export_in_a_store_has_metadata_too(tmp_path: Path, object_root: ObjectPath) -> None:
    add_photos(tmp_path, 4)
    made = []
    for settings in (settings_in(tmp_path, trainer={}), remote_settings(tmp_path, object_root, trainer={})):
        with open_dataset(settings) as dataset:
            build_library(dataset)
            write_trainer_metadata(dataset)
        made.append(read_all(settings.root / "trainer"))

    assert made[0] == made[1]
    assert len(json.loads(made[0]["meta_merged.json"])) == 4
    assert find_files(object_root / "trainer").keys() == made[0].keys()
