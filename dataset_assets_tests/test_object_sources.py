"""Builds from sources in an object store: the bytes of a build from a disk, and no object read for nothing."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dataset_assets.captions.reports.find import find_image
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import SourceError
from dataset_assets.images import workers
from dataset_assets.images.crops import make_crops
from dataset_assets.release.describe import describe_sample
from dataset_assets.settings import Settings, load_settings
from dataset_assets.sources.scan import find_changes, scan_sources
from dataset_assets.storage.location import find_files
from dataset_assets.storage.objects import ObjectPath
from dataset_assets_tests.commands import run, write_settings
from dataset_assets_tests.datasets import LANDSCAPE, add_photo, add_photos, build_library, partition_keys, settings_in
from dataset_assets_tests.fakes.object_proxy import ObjectProxy
from dataset_assets_tests.objects import gets, put
from dataset_assets_tests.photos import encoded, jpeg, photo
from dataset_assets_tests.sources.tables import images, write
from dataset_assets_tests.sources.tarballs import write_tar

SIDECAR: dict[str, Any] = {"variants": [{"name": "caption_sidecar"}], "priority": [{"variant": "caption_sidecar"}]}
FIELD: dict[str, Any] = {
    "variants": [{"name": "caption_text", "backend": "sidecar", "field": "text"}],
    "priority": [{"variant": "caption_text"}],
}


def make_folder(folder: Path) -> None:
    add_photos(folder, 9)
    add_photo(folder, "sub/ü 100%.jpg", LANDSCAPE, seed=20, caption="in a folder below")
    (folder / "raw" / "b.png").write_bytes(encoded(photo(90, 90, 30), "PNG"))
    (folder / "raw" / "bad.jpg").write_bytes(jpeg(90, 90)[:200])
    (folder / "raw" / "empty.jpg").write_bytes(b"")


def make_tars(folder: Path) -> None:
    for number in range(3):
        members = {f"{number}{seed}.jpg": jpeg(*LANDSCAPE, 10 * number + seed) for seed in range(4)}
        write_tar(folder / "raw" / f"{number}.tar", members | {f"{number}1.txt": b"one", f"{number}2.txt": b"two"})
    (folder / "raw" / "bad.tar").write_bytes((folder / "raw" / "0.tar").read_bytes()[:9000])


def make_parquet(folder: Path) -> None:
    for number, compression in enumerate(("none", "snappy", "zstd")):
        photos = [jpeg(*LANDSCAPE, 10 * number + seed) for seed in range(4)]
        text = [f"row {seed}" for seed in range(4)]
        write(folder / "raw" / f"{number}.parquet", {"image": images(photos), "text": text}, compression=compression)
    add_photo(folder, "beside/own.jpg", LANDSCAPE, seed=77)
    rows = pa.array(["beside/own.jpg", "./beside/../beside/own.jpg", "none.jpg", "https://example.org/a.jpg"])
    write(folder / "raw" / "paths.parquet", {"image": rows, "text": ["a", "b", "c", "d"]})


def make_export(folder: Path) -> None:
    add_photos(folder / "first", 9)
    with open_dataset(settings_in(folder / "first", captions=SIDECAR)) as dataset:
        build_library(dataset)
    (folder / "first" / "out" / "export").rename(folder / "raw")


def copy(folder: Path, root: ObjectPath) -> ObjectPath:
    """Put all files below a folder, and return where they are."""
    for name, path in find_files(folder).items():
        put(root / name, path.read_bytes())
    return root


def settings_of(folder: Path, kind: str, path: object, captions: dict[str, Any]) -> Settings:
    return settings_in(folder, sources=[{"kind": kind, "path": str(path)}], captions=captions)


def export_of(settings: Settings) -> dict[str, bytes]:
    with open_dataset(settings) as dataset:
        build_library(dataset)
        assert find_changes(dataset) == ""
        files = {name: path.read_bytes() for name, path in find_files(dataset.layout.export).items()}
    manifest = json.loads(files["manifest.json"])
    assert manifest["summary"]["images_exported"] > 3
    kept = {name: data for name, data in files.items() if name.endswith((".tar", "samples.parquet"))}
    return kept | {"": json.dumps([manifest["export_id"], manifest["summary"]]).encode()}


@pytest.mark.parametrize(
    ("kind", "make", "captions"),
    [
        ("folder", make_folder, SIDECAR),
        ("tars", make_tars, SIDECAR),
        ("parquet", make_parquet, FIELD),
        ("bucketed_shards", make_export, SIDECAR),
    ],
)
def test_a_build_from_a_store_is_a_build_from_a_disk(
    tmp_path: Path,
    object_root: ObjectPath,
    object_proxy: ObjectProxy,
    kind: str,
    make: Callable[[Path], None],
    captions: dict[str, Any],
) -> None:
    make(tmp_path)
    there = copy(tmp_path / "raw", object_root)
    remote = settings_of(tmp_path / "remote", kind, there, captions)

    assert export_of(remote) == export_of(settings_of(tmp_path, kind, tmp_path / "raw", captions))

    object_proxy.forget()
    with open_dataset(remote) as dataset:
        assert build_library(dataset).remade == set()
    again = [target for method, target in object_proxy.requests if "list-type=" not in target]
    assert {target.rpartition("/")[2] for target in again} <= {"manifest.json"}


def test_of_one_object_that_changed_the_header_is_read_and_of_others_nothing(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    add_photos(tmp_path, 6)
    copy(tmp_path / "raw", object_root)
    with open_dataset(settings_of(tmp_path, "folder", object_root, SIDECAR)) as dataset:
        scan_sources(dataset)
        put(object_root / "003.jpg", jpeg(*LANDSCAPE, 99))
        put(object_root / "004.jpg", (tmp_path / "raw" / "004.jpg").read_bytes())  # the same again
        object_proxy.forget()
        report = scan_sources(dataset).report

    assert (report["updated"], report["added"], report["removed"]) == (1, 0, 0)
    assert [target.rpartition("/")[2] for target in gets(object_proxy)] == ["003.jpg"]


def test_of_one_tar_that_changed_only_that_one_is_listed_again(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    make_tars(tmp_path)
    copy(tmp_path / "raw", object_root)
    with open_dataset(settings_of(tmp_path, "tars", object_root, SIDECAR)) as dataset:
        scan_sources(dataset)
        tar = write_tar(tmp_path / "raw" / "1.tar", {"new.jpg": jpeg(*LANDSCAPE, 99)})
        put(object_root / "1.tar", tar.read_bytes())
        object_proxy.forget()
        report = scan_sources(dataset).report

    assert (report["added"], report["removed"]) == (1, 4)
    assert {target.rpartition("/")[2] for target in gets(object_proxy)} == {"1.tar"}


def test_images_that_change_between_scan_and_crop_are_left_out_until_the_next_scan(
    tmp_path: Path, object_root: ObjectPath
) -> None:
    add_photos(tmp_path, 6)
    copy(tmp_path / "raw", object_root)
    settings = settings_of(tmp_path, "folder", object_root, SIDECAR)
    with open_dataset(settings) as dataset:
        build_library(dataset)
        put(object_root / "001.jpg", jpeg(*LANDSCAPE, 99))
        (object_root / "002.jpg").remove()
        for path in dataset.layout.local.glob("crops/*/*"):
            path.unlink()
        drops = build_without_scan(settings)
        assert drops == {"skipped_source_changed": 2}
        build_library(dataset)
        manifest = json.loads(dataset.layout.manifest.read_bytes())
    assert manifest["summary"]["images_exported"] == 5


@pytest.mark.parametrize(("kind", "make"), [("folder", make_folder), ("tars", make_tars), ("parquet", make_parquet)])
def test_how_long_an_image_is_can_be_told_before_it_is_read(
    tmp_path: Path, object_root: ObjectPath, kind: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path)
    settings = settings_of(tmp_path, kind, copy(tmp_path / "raw", object_root), {})
    with open_dataset(settings) as dataset:
        (source,) = dataset.sources.values()
        images = [one for one in source.list_images(Counter()) if not one.fault and source.is_quick(one.version)]
        sizes = [source.count_bytes(one.version) for one in images]

        assert sizes == [len(source.read(one.uri, one.version)) for one in images]

    assert len(set(sizes)) > 3
    assert source.count_bytes("none") == 0


@pytest.mark.parametrize(("kind", "make"), [("folder", make_folder), ("tars", make_tars), ("parquet", make_parquet)])
def test_images_are_on_their_way_while_others_are_worked_on(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy, kind: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path)
    settings = settings_of(tmp_path, kind, copy(tmp_path / "raw", object_root), {})
    with open_dataset(settings) as dataset:
        build_library(dataset)
        for path in dataset.layout.local.glob("crops/*/*"):
            path.unlink()
    object_proxy.forget()
    object_proxy.fail("delay", target=r"\.(jpg|png|tar|parquet)", times=100, seconds=0.4)

    build_without_scan(settings)

    assert settings.workers == 1
    assert object_proxy.most > 2  # one worker, which has never more than one image to work on


def build_without_scan(settings: Settings) -> dict[str, int]:
    drops: dict[str, int] = {}
    with open_dataset(settings) as dataset:
        for key in partition_keys(dataset):
            for reason, count in make_crops(dataset, [key])[key].report["drops"].items():
                drops[reason] = drops.get(reason, 0) + count
    return drops


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 400, "code": "ExpiredToken"}])
def test_a_store_that_gives_nothing_stops_the_build_and_the_export_stays(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy, fault: dict[str, Any]
) -> None:
    add_photos(tmp_path, 6)
    copy(tmp_path / "raw", object_root)
    export_of(settings_of(tmp_path, "folder", object_root, SIDECAR))
    again = settings_in(tmp_path, sources=[{"kind": "folder", "path": str(object_root)}], images={"quality": 90})
    object_proxy.fail("error", target=r"00[0-3]\.jpg", times=100_000, **fault)

    with (
        open_dataset(again) as dataset,
        pytest.raises(SourceError, match=rf"^source {object_root}/00\d\.jpg: cannot be read: told to$"),
    ):
        build_library(dataset)

    object_proxy.forget()
    with open_dataset(again) as dataset:
        build_library(dataset)
        assert summary_of(dataset) == {"images_seen": 6, "images_exported": 6}


def summary_of(dataset: Dataset) -> dict[str, int]:
    summary = json.loads(dataset.layout.manifest.read_bytes())["summary"]
    return {name: count for name, count in summary.items() if count}


def test_a_store_that_is_slow_costs_no_image(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_photos(tmp_path, 4)
    copy(tmp_path / "raw", object_root)
    sources = [{"kind": "folder", "path": str(object_root)}]
    with open_dataset(settings_in(tmp_path, sources=sources, images={"timeout_seconds": 3})) as dataset:
        scan_sources(dataset)
        object_proxy.fail("delay", target=r"001\.jpg", times=1, seconds=6)
        build_library(dataset)
        assert summary_of(dataset) == {"images_seen": 4, "images_exported": 4}

    with (
        open_dataset(settings_in(tmp_path, sources=sources, images={"timeout_seconds": 3, "quality": 90})) as dataset,
        monkeypatch.context() as patch,
    ):
        patch.setattr(workers, "READ_SECONDS", 3)
        object_proxy.fail("delay", target=r"001\.jpg", times=1, seconds=12)
        build_library(dataset)
        assert summary_of(dataset) == {"images_seen": 4, "images_exported": 3, "skipped_unreadable": 1}
        build_library(dataset)
        assert summary_of(dataset) == {"images_seen": 4, "images_exported": 4}


def test_a_file_that_was_put_where_none_was_is_found_by_the_next_scan(tmp_path: Path, object_root: ObjectPath) -> None:
    place = object_root / "late.parquet"
    with open_dataset(settings_of(tmp_path, "parquet", place, FIELD)) as dataset:
        with pytest.raises(SourceError, match="there is nothing in it"):
            scan_sources(dataset)
        write(tmp_path / "late.parquet", {"image": images([jpeg(*LANDSCAPE, 1)]), "text": ["a"]})
        put(place, (tmp_path / "late.parquet").read_bytes())

        assert scan_sources(dataset).report["usable"] == 1


@pytest.mark.parametrize("fault", ["error", "shorten", "reset"])
def test_a_listing_that_fails_removes_no_image(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy, fault: str
) -> None:
    add_photos(tmp_path, 4)
    copy(tmp_path / "raw", object_root)
    with open_dataset(settings_of(tmp_path, "folder", object_root, SIDECAR)) as dataset:
        scan_sources(dataset)
        object_proxy.fail(fault, target="list-type", times=1000)
        with pytest.raises(SourceError, match="cannot be listed"):
            scan_sources(dataset, allow_empty=True)
        object_proxy.forget()
        report = scan_sources(dataset).report

    assert (report["usable"], report["removed"], report["added"]) == (4, 0, 0)


def test_an_object_that_was_just_put_waits_until_it_has_settled(tmp_path: Path, object_root: ObjectPath) -> None:
    add_photos(tmp_path, 3)
    copy(tmp_path / "raw", object_root)
    with open_dataset(settings_of(tmp_path, "folder", object_root, SIDECAR)) as dataset:
        assert scan_sources(dataset, settle_seconds=600).report["seen"] == 0
        assert find_changes(dataset, settle_seconds=600) == ""
        assert scan_sources(dataset).report["seen"] == 3


def test_an_image_is_found_by_its_url(tmp_path: Path, object_root: ObjectPath) -> None:
    make_folder(tmp_path)
    copy(tmp_path / "raw", object_root)
    with open_dataset(settings_of(tmp_path, "folder", object_root, SIDECAR)) as dataset:
        build_library(dataset)
        url = f"{object_root}/sub/ü 100%.jpg"
        assert find_image(dataset, url).image_id == "sub/ü 100%.jpg"
        assert describe_sample(dataset, url).path == url


def test_the_sources_and_the_root_may_lie_in_one_bucket(tmp_path: Path, object_root: ObjectPath) -> None:
    add_photos(tmp_path, 5)
    copy(tmp_path / "raw", object_root / "a")
    write_settings(
        tmp_path,
        root=str(object_root),
        catalog=f"sqlite:///{tmp_path / 'catalog.sqlite'}",
    )
    text = (tmp_path / "dataset.toml").read_text()
    (tmp_path / "dataset.toml").write_text(text.replace('path = "raw"', f'path = "{object_root}"'))
    with open_dataset(load_settings(tmp_path / "dataset.toml")) as dataset:
        first, second = build_library(dataset), build_library(dataset)

    assert first.scan.report["seen"] == second.scan.report["seen"] == 5
    assert second.remade == set()


@pytest.mark.parametrize("path", ["s3://user:secret@bucket/a", "s3://", "s3://bucket/a?versionId=1", "http://host/a"])
def test_a_url_that_no_source_can_have_is_said_in_a_line(tmp_path: Path, path: str) -> None:
    (tmp_path / "dataset.toml").write_text(f'[[sources]]\npath = "{path}"\n')

    said = run(tmp_path, "status")

    assert said.returncode != 0
    assert "sources.0.path: allowed: a path, or a URL" in said.stderr
    assert "secret" not in said.stderr
    assert "Traceback" not in said.stderr
