"""Records and trainer metadata made of files in an object store: the bytes of a build from a disk, and nothing less."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.defs.build import run_build
from dataset_assets.errors import SourceError
from dataset_assets.posts.files import are_settled, list_files
from dataset_assets.posts.index import find_changes, index_records
from dataset_assets.progress import Silence
from dataset_assets.settings import Settings
from dataset_assets.status import judge_all
from dataset_assets.storage.location import find_files
from dataset_assets.storage.objects import ObjectPath
from dataset_assets.trainer.metadata import write_trainer_metadata
from dataset_assets_tests import children
from dataset_assets_tests.commands import run
from dataset_assets_tests.fakes.object_proxy import ObjectProxy
from dataset_assets_tests.objects import gets, put
from dataset_assets_tests.posts.given import post, to_lines, write_posts
from dataset_assets_tests.test_objects_records import (
    RECORDS,
    TRAINER,
    make_all,
    read_made,
    settings_of,
    stages_not_fresh,
    write_months,
)

IN_PROCESSES = """
import sys
from pathlib import Path
from dataset_assets.posts import index
from dataset_assets.storage.objects import ObjectPath
from dataset_assets.trainer.merge import merge
from dataset_assets_tests.test_object_inputs import settings_in_store
from dataset_assets_tests.test_objects_records import make_all

index._WORTH_PROCESSES, merge._WORTH_A_PROCESS = 0, 0
make_all(settings_in_store(Path(sys.argv[1]), ObjectPath(sys.argv[2])))
"""


def copy(folder: Path, root: ObjectPath) -> None:
    """Put the inputs that are in a folder into a store."""
    for name, path in find_files(folder).items():
        put(root / name, path.read_bytes())


def write_inputs(folder: Path) -> None:
    """Write files of every kind that records and trainer metadata can be made of."""
    write_months(folder)
    write_posts(folder / "captions" / "2024-03.jsonl.gz", [post(3 * number, "A wolf.") for number in range(20, 40)])
    write_posts(folder / "captions" / "2024-04.parquet", [post(3 * number, "A bear.") for number in range(30, 50)])


def settings_in_store(folder: Path, root: ObjectPath, **tables: Any) -> Settings:
    """Return the settings of `settings_of` with all inputs in a store."""
    tables = {"records": {**RECORDS, "paths": [f"{root}/captions/*"]}} | tables
    return settings_of(folder, trainer={key: f"{root}/{name}" for key, name in TRAINER.items()}, **tables)


def made_of(settings: Settings) -> dict[str, bytes]:
    """Return what was made that no name of an input is in."""
    made = read_made(settings).items()
    return {name: data for name, data in made if not name.startswith(("records/", "trainer/report."))}


def report_of(made: Mapping[str, bytes]) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(made["trainer/report.json"])
    return {name: value for name, value in report.items() if name != "entries"}


def test_inputs_in_a_store_give_the_bytes_of_a_disk_and_are_read_once(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    disk, store = tmp_path / "disk", tmp_path / "store"
    write_inputs(disk)
    copy(disk, object_root)
    local = make_all(settings_of(disk, records={**RECORDS, "paths": ["captions/*"]}))
    here = made_of(settings_of(disk))
    settings = settings_in_store(store, object_root)

    run_build(settings, Silence())

    assert made_of(settings) == here
    assert {"export_1k/tags/0009.tar", "trainer/meta_merged.json", "trainer/missing.json"} <= here.keys()
    assert report_of(read_made(settings)) == report_of(local)
    assert stages_not_fresh(settings) == []
    object_proxy.forget()

    run_build(settings, Silence())

    assert object_proxy.requests
    assert gets(object_proxy) == []
    with open_dataset(settings) as dataset:
        assert find_changes(dataset) == ""


@pytest.mark.slow
def test_processes_that_read_a_store_side_by_side_leave_the_same(tmp_path: Path, object_root: ObjectPath) -> None:
    disk, store = tmp_path / "disk", tmp_path / "store"
    write_inputs(disk)
    copy(disk, object_root)
    make_all(settings_of(disk, records={**RECORDS, "paths": ["captions/*"]}))

    children.run(IN_PROCESSES, store, object_root)

    assert made_of(settings_in_store(store, object_root)) == made_of(settings_of(disk))


def test_of_files_on_a_disk_and_in_a_store_each_counts_at_its_place(tmp_path: Path, object_root: ObjectPath) -> None:
    write_posts(tmp_path / "first.jsonl", [post(1, "one, disk"), post(2, "two, disk")])
    put(object_root / "second.jsonl", to_lines([post(2, "two, store"), post(3, "three, store")]))
    write_posts(tmp_path / "third.jsonl", [post(3, "three, disk")])
    paths = ["first.jsonl", f"{object_root}/*.jsonl", "third.jsonl"]
    settings = settings_of(tmp_path, records={**RECORDS, "paths": paths}, trainer={})

    made = make_all(settings)

    said = {key: entry["caption"] for key, entry in json.loads(made["trainer/meta_cap.json"]).items()}
    assert said == {"1": "one, disk", "2": "two, store", "3": "three, disk"}
    assert [file.name for file in list_files(settings)] == [
        "first.jsonl",
        f"{object_root}/second.jsonl",
        "third.jsonl",
    ]


def test_a_changed_object_is_read_again_and_no_other(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    write_inputs(tmp_path)
    copy(tmp_path, object_root)
    settings = settings_in_store(tmp_path / "store", object_root)
    make_all(settings)
    put(object_root / "captions" / "2024-03.jsonl.gz", gzip.compress(to_lines([post(0, "A lynx.")])))
    put(object_root / "captions" / "2024-04.parquet", (tmp_path / "captions" / "2024-04.parquet").read_bytes())
    object_proxy.forget()

    with open_dataset(settings) as dataset:
        assert find_changes(dataset)
        assert gets(object_proxy) == []
        index_records(dataset)

    assert {target.partition("?")[0].rpartition("/")[2] for target in gets(object_proxy)} == {"2024-03.jsonl.gz"}
    made = make_all(settings)
    assert json.loads(made["trainer/meta_merged.json"])["0"]["caption"] == "A lynx."


def test_a_changed_input_of_trainer_metadata_is_merged_again(tmp_path: Path, object_root: ObjectPath) -> None:
    write_inputs(tmp_path)
    copy(tmp_path, object_root)
    settings = settings_in_store(tmp_path / "store", object_root)
    make_all(settings)
    put(object_root / "meta_lat.json", b'{"3": {"tags": "only one"}}')
    assert stages_not_fresh(settings) == [("trainer_metadata", "")]

    merged = json.loads(make_all(settings)["trainer/meta_merged.json"])

    assert {key: entry["tags"] for key, entry in merged.items()} == {"3": "only one"}
    assert stages_not_fresh(settings) == []


@pytest.mark.parametrize(
    "name", ["2024-01_grouped.jsonl", "2024-02_grouped.jsonl.zst", "2024-03.jsonl.gz", "2024-04.parquet"]
)
@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 403, "code": "AccessDenied"}])
def test_an_object_that_cannot_be_read_stops_the_build_in_a_line_and_what_was_made_stays(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy, name: str, fault: dict[str, Any]
) -> None:
    write_inputs(tmp_path)
    copy(tmp_path, object_root)
    settings = settings_in_store(tmp_path / "store", object_root)
    made = make_all(settings)
    write_again(object_root / "captions" / name)
    object_proxy.fail("error", target=f"captions/{name}", times=1000, **fault)

    with pytest.raises(SourceError, match=rf"^source {object_root}/captions/{name}: cannot be read: told to$"):
        index_all(settings)

    assert ("caption_records", "") in stages_not_fresh(settings)
    left = read_made(settings)
    assert {path: data for path, data in made.items() if not path.startswith("records/parsed/")}.items() <= left.items()
    object_proxy.forget()
    changed = make_all(settings)
    assert stages_not_fresh(settings) == []
    assert changed["trainer/meta_cap.json"] != made["trainer/meta_cap.json"]


def index_all(settings: Settings) -> None:
    with open_dataset(settings) as dataset:
        index_records(dataset)


def write_again(path: ObjectPath) -> None:
    """Put a file of one record in place of another."""
    rows = [post(3, "Another one.")]
    match path.suffix:
        case ".parquet":
            sink = pa.BufferOutputStream()
            pq.write_table(pa.Table.from_pylist(rows), sink)
            put(path, sink.getvalue().to_pybytes())
        case ".gz":
            put(path, gzip.compress(to_lines(rows)))
        case ".zst":
            put(path, pa.Codec("zstd").compress(to_lines(rows), asbytes=True))
        case _:
            put(path, to_lines(rows))


@pytest.mark.parametrize("fault", ["error", "shorten", "reset"])
def test_a_listing_that_fails_drops_no_record(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy, fault: str
) -> None:
    write_inputs(tmp_path)
    copy(tmp_path, object_root)
    settings = settings_in_store(tmp_path / "store", object_root)
    index_all(settings)
    made = read_made(settings)
    object_proxy.fail(fault, target="list-type", times=1000)

    with pytest.raises(SourceError, match=rf"^source {object_root}/captions: cannot be read: "):
        index_all(settings)

    object_proxy.forget()
    assert read_made(settings) == made
    with open_dataset(settings) as dataset:
        assert find_changes(dataset) == ""


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 403, "code": "AccessDenied"}])
def test_an_input_of_trainer_metadata_that_cannot_be_read_is_named(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy, fault: dict[str, Any]
) -> None:
    write_inputs(tmp_path)
    copy(tmp_path, object_root)
    settings = settings_in_store(tmp_path / "store", object_root)
    make_all(settings)
    before = made_of(settings)
    object_proxy.fail("error", "HEAD", r"meta_lat.json\b", times=1000, **fault)
    with (
        open_dataset(settings) as dataset,
        pytest.raises(SourceError, match=rf"^source {object_root}/meta_lat.json: cannot be read: "),
    ):
        judge_all(dataset)  # nothing is stale for a store's fault
    object_proxy.forget()
    for name in ("meta_lat.json", "meta_lat.jsonl"):
        put(object_root / name, (object_root / name).read_bytes() + b" ")
        object_proxy.fail("error", target=rf"{name}\b", times=1000, **fault)
        with (
            open_dataset(settings) as dataset,
            pytest.raises(SourceError, match=rf"^source {object_root}/{name}: cannot be read: told to$"),
        ):
            write_trainer_metadata(dataset)
        object_proxy.forget()
    (object_root / "meta_lat.json").remove()
    with (
        open_dataset(settings) as dataset,
        pytest.raises(SourceError, match=rf"^source {object_root}/meta_lat.json: cannot be read: No such file"),
    ):
        write_trainer_metadata(dataset)

    assert made_of(settings) == before


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_said_in_a_line(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    put(object_root / "a.jsonl", to_lines([post(1, "a")]))
    (tmp_path / "dataset.toml").write_text(f'[records]\npaths = ["{object_root}/*.jsonl"]\n')
    object_proxy.fail("error", target="list-type", times=1000)

    said = run(tmp_path, "build")

    assert said.returncode == 1
    assert f"source {object_root}: cannot be read: told to" in said.stderr
    assert "Traceback" not in said.stderr


def test_objects_are_settled_when_none_was_put_just_now(tmp_path: Path, object_root: ObjectPath) -> None:
    put(object_root / "captions" / "a.jsonl", to_lines([post(1, "a")]))
    files = list_files(settings_in_store(tmp_path, object_root))

    assert are_settled(files, -60)
    assert not are_settled(files, 600)


def test_an_object_of_another_kind_and_a_pattern_without_one_are_named(tmp_path: Path, object_root: ObjectPath) -> None:
    put(object_root / "captions" / "notes.txt", b"")

    with pytest.raises(SourceError, match=rf"^records: {object_root}/captions/notes\.txt is matched by "):
        list_files(settings_in_store(tmp_path, object_root))
    with pytest.raises(SourceError, match=r"captions/\*\.jsonl matches no file; paths under \[records\]"):
        list_files(settings_of(tmp_path, records={**RECORDS, "paths": [f"{object_root}/captions/*.jsonl"]}))
