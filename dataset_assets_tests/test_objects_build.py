"""Builds whose root is in an object store: the bytes of a build on a disk, and puts of nothing but what changed."""

import io
import json
import os
import random
import re
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dataset_assets.buckets.repack import repack_buckets
from dataset_assets.dataset import open_dataset
from dataset_assets.defs.build import run_build
from dataset_assets.errors import StorageError
from dataset_assets.previews.contact import write_sheet
from dataset_assets.progress import Silence
from dataset_assets.settings import Settings, load_settings
from dataset_assets.shards import write
from dataset_assets.shards.verify import verify
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets.storage.atomic import write_bytes
from dataset_assets.storage.location import find_files, path_in
from dataset_assets.storage.objects import ObjectPath
from dataset_assets_tests.commands import run, start, wait_for, write_settings
from dataset_assets_tests.datasets import LANDSCAPE, add_photo, add_photos, build_library, settings_in
from dataset_assets_tests.fakes.object_proxy import ObjectProxy
from dataset_assets_tests.objects import make_whole, read_all, remote_settings, timeless

EVERYTHING = {"release": {"webshart": True}, "gallery": {"enabled": True}}


def stages_not_fresh(settings: Settings) -> list[tuple[str, str]]:
    with open_dataset(settings) as dataset:
        return [key for key, verdict in judge_all(dataset).items() if not verdict.fresh]


@pytest.mark.slow
def test_a_build_into_a_store_is_a_build_on_a_disk(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_photos(tmp_path)
    local = make_whole(settings_in(tmp_path, **EVERYTHING))
    settings = remote_settings(tmp_path, object_root, **EVERYTHING)
    monkeypatch.setattr(write, "_WORTH_A_PROCESS", 1)  # the local one was written by threads

    run_build(settings, Silence())

    assert timeless(read_all(object_root / "export")) == local
    assert stages_not_fresh(settings) == []
    assert verify(object_root / "export", workers=2, progress=Silence()).ok
    # Digests are in the names of its data, in which there are times.
    there = [find_files(root / "gallery") for root in (tmp_path / "out", object_root)]
    galleries = [{re.sub(r"\.[0-9a-f]{16}\.js", ".js", name) for name in names} for names in there]
    assert galleries[0] == galleries[1] > {"index.html"}
    assert [path for path in tmp_path.iterdir() if path.name not in ("raw", "out", "catalog.sqlite")] == [
        settings.layout.local.parent
    ]
    object_proxy.requests.clear()

    run_build(settings, Silence())

    assert {method for method, _ in object_proxy.requests} <= {"GET", "HEAD"}


def test_one_more_image_puts_what_changed_and_nothing_else(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    add_photos(tmp_path, 9)
    settings = remote_settings(tmp_path, object_root)
    make_whole(settings)
    before = find_files(object_root)
    add_photo(tmp_path, "more.jpg", LANDSCAPE, seed=500)
    object_proxy.requests.clear()

    whole = make_whole(settings)

    prefix = f"/{object_root.url.removeprefix('s3://')}/"
    written = [target.removeprefix(prefix) for target in object_proxy.written()]
    key, shard = "p1216x832_000000-000001", "p1216x832/shard-000001"
    charts = [name for name in written if name.startswith("export/charts/")]
    assert sorted(set(written) - set(charts)) == [
        f"crops/{shard}.parquet", "export/README.md", f"export/buckets/{shard}.tar", "export/manifest.json",
        "export/samples.parquet", f"index/{shard}.parquet", f"plans/{key}.parquet", f"selection/{key}.parquet",
    ]  # fmt: skip
    assert len(before) <= len(find_files(object_root)) <= len(before) + 3
    add_photos(tmp_path / "again", 9)
    add_photo(tmp_path / "again", "more.jpg", LANDSCAPE, seed=500)
    local = settings_in(tmp_path / "again")
    with_it = make_whole(local)
    # The new image has another slot than in a build from nothing: the samples are the same, their order is not.
    assert sorted(whole) == sorted(with_it)
    assert samples_of(whole) == samples_of(with_it)
    assert counts_of(settings) == counts_of(local)


def samples_of(export: dict[str, bytes]) -> list[tuple[str, str, str]]:
    table = pq.read_table(io.BytesIO(export["samples.parquet"]), columns=["key", "bucket_id", "source_sha256"])
    return sorted(zip(*table.to_pydict().values(), strict=True))


def counts_of(settings: Settings) -> tuple[dict[str, int], dict[str, list[int]]]:
    manifest = json.loads(settings.layout.manifest.read_bytes())
    buckets = {name: [shard["count"] for shard in entry["shards"]] for name, entry in manifest["buckets"].items()}
    return manifest["summary"], buckets


def test_a_build_gets_over_what_goes_wrong_now_and_then(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    add_photos(tmp_path, 8)
    local = make_whole(settings_in(tmp_path))
    chance = random.Random(7)
    wrong = {"GET": ("error", "reset", "cut", "delay"), "HEAD": ("error",), "PUT": ("error", "reset")}
    for method, kinds in wrong.items():
        for digit in "0123456789abcdef":
            kind = chance.choice(kinds)
            object_proxy.fail(kind, method, rf"shard-00000{digit}|{digit}\.parquet", seconds=0.1)

    assert make_whole(remote_settings(tmp_path, object_root)) == local
    assert sum(fault.times == 0 for fault in object_proxy.faults) > 5


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["crops", "export/buckets", "export/manifest"])
def test_a_build_that_cannot_write_fails_clearly_and_the_next_one_ends_in_the_same(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy, stage: str
) -> None:
    add_photos(tmp_path, 3)
    settings = remote_settings(tmp_path, object_root)
    object_proxy.fail("error", "PUT", f"/{stage}", times=1000)

    with pytest.raises(StorageError, match=rf"^cannot write {object_root}/{stage}.*: ") as error:
        make_whole(settings)

    assert "\n" not in str(error.value)
    object_proxy.forget()
    assert make_whole(settings) == make_whole(settings_in(tmp_path))


def test_an_object_that_somebody_cut_is_made_again(tmp_path: Path, object_root: ObjectPath) -> None:
    add_photos(tmp_path, 8)
    settings = remote_settings(tmp_path, object_root)
    whole = make_whole(settings)
    for name, path in find_files(object_root).items():
        if name.startswith(("crops/p1216x832", "export/buckets/p1216x832", "plans/")):
            write_bytes(path, path.read_bytes()[:-1])

    assert stages_not_fresh(settings)
    assert make_whole(settings) == whole


def test_tars_that_the_store_does_not_give_are_not_written_again(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    add_photos(tmp_path, 6)
    settings = remote_settings(tmp_path, object_root)
    object_proxy.fail("error", "GET", target=r"export/buckets/.*\.tar", times=100_000)

    with pytest.raises(StorageError, match=rf"^cannot read {object_root}/export/buckets/.*\.tar: told to$"):
        make_whole(settings)

    assert not [key for key in stages_not_fresh(settings) if key[0] == Stage.SHARDS]
    object_proxy.forget()
    whole = make_whole(settings)
    assert not [target for target in object_proxy.written() if target.endswith(".tar")]
    assert whole == make_whole(settings_in(tmp_path))

    object_proxy.fail("error", "GET", target=r"p1216x832/shard-000000\.tar", times=100_000)
    (fault,) = verify(object_root / "export", workers=1, progress=Silence()).faults
    assert str(fault) == "buckets/p1216x832/shard-000000.tar: the file cannot be read: told to"


def test_crops_that_the_store_does_not_give_are_not_made_again(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    photos = add_photos(tmp_path, 12)
    settings = remote_settings(tmp_path, object_root)
    make_whole(settings)
    add_photo(tmp_path, "more.jpg", LANDSCAPE, seed=500)
    object_proxy.fail("error", "GET", target="/crops/", times=100_000)
    with pytest.raises(StorageError, match=rf"^cannot read {object_root}/crops/.*: told to$"):
        make_whole(settings)
    object_proxy.forget()
    with open_dataset(settings) as dataset:
        assert build_library(dataset).count("encoded") == 1

    for photo in photos[::3]:
        photo.unlink()
    with open_dataset(settings) as dataset:
        build_library(dataset)
        for times in (2, 6, 10):
            object_proxy.fail("error", "GET", target="/crops/.*shard", times=times)
            with pytest.raises(StorageError, match=rf"^cannot read {object_root}/crops/.*: told to$"):
                repack_buckets(dataset)
            object_proxy.forget()
        assert repack_buckets(dataset)
        assert build_library(dataset).count("encoded") == 0


@pytest.mark.slow
def test_repacking_in_a_store_is_repacking_on_a_disk(tmp_path: Path, object_root: ObjectPath) -> None:
    photos = add_photos(tmp_path, 12)
    both = (settings_in(tmp_path), remote_settings(tmp_path, object_root))
    for settings in both:
        make_whole(settings)
    for photo in photos[::3]:
        photo.unlink()
    exports = []
    for settings in both:
        with open_dataset(settings) as dataset:
            build_library(dataset)
            done = repack_buckets(dataset)
            assert build_library(dataset).count("encoded") == 0
            exports.append((done, timeless(read_all(dataset.layout.export))))

    assert exports[0] == exports[1]
    assert exports[0][0]


def test_the_contact_sheet_is_drawn_from_a_store(tmp_path: Path, object_root: ObjectPath) -> None:
    add_photos(tmp_path, 4)
    sheets = []
    for settings in (settings_in(tmp_path), remote_settings(tmp_path, object_root)):
        make_whole(settings)
        with open_dataset(settings) as dataset:
            write_sheet(dataset)
            sheets.append(dataset.layout.contact_sheet.read_bytes())

    assert sheets[0] == sheets[1]


def write_remote_settings(folder: Path, root: ObjectPath) -> Settings:
    """Write and return the settings of a dataset for the command line."""
    path = write_settings(folder, root=str(root), catalog=f"sqlite:///{folder / 'catalog.sqlite'}")
    return load_settings(path)


def test_the_commands_work_on_a_store(tmp_path: Path, object_root: ObjectPath) -> None:
    add_photos(tmp_path, 4)
    settings = write_remote_settings(tmp_path, object_root)
    make_whole(settings)

    status = run(tmp_path, "status", "--json")
    assert {row["state"] for row in json.loads(status.stdout) if row["stage"] == "shards"} == {"fresh"}, status.stderr
    good = run(tmp_path, "verify", object_root / "export", "--json", "--pixels", "--workers", 2)
    assert (good.returncode, json.loads(good.stdout)["samples"]) == (0, 4), good.stderr
    tar = next(path for name, path in find_files(object_root).items() if name.endswith(".tar"))
    write_bytes(tar, tar.read_bytes()[:2000] + b"x" + tar.read_bytes()[2001:])
    bad = run(tmp_path, "verify", object_root / "export")
    assert bad.returncode == 1
    assert bad.stdout.startswith(f"{path_in(object_root / 'export', tar)}: ")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://no-such-bucket-here/export", "there is no bucket no-such-bucket-here"),
        ("nostore://bucket/export", "nostore"),
        ("s3://user:secret@bucket/export", "without user and password"),
    ],
)
def test_a_store_that_is_not_there_is_said_in_a_line(
    tmp_path: Path, object_proxy: ObjectProxy, url: str, said: str
) -> None:
    refused = run(tmp_path, "verify", url)

    assert refused.returncode != 0
    assert said in refused.stderr.splitlines()[-1]
    assert refused.stderr.splitlines()[-1].lower().startswith("error: ")
    assert "secret" not in refused.stderr
    assert "Traceback" not in refused.stderr


def is_putting(process: subprocess.Popen[str], proxy: ObjectProxy, place: str, before: int) -> bool:
    """Return whether a build has put something there, after so many requests, or has ended."""
    puts = (target for method, target in proxy.requests[before:] if method == "PUT")
    return process.poll() is not None or any(place in target for target in puts)


@pytest.mark.slow
def test_builds_into_a_store_that_are_killed_anywhere_end_like_one_that_is_not(
    tmp_path: Path, object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    add_photos(tmp_path, 16)
    settings = write_remote_settings(tmp_path, object_root)
    chance = random.Random(3)
    struck = 0
    for place in ("/plans/", "/crops/", "/crops/", "/selection/", "/export/buckets/", "/export/"):
        before = len(object_proxy.requests)
        process = start(tmp_path, "build", log=tmp_path / "log.txt")
        wait_for(partial(is_putting, process, object_proxy, place, before))
        time.sleep(0.1 * chance.random())
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            struck += 1
        process.wait()

    assert run(tmp_path, "build").returncode == 0

    assert struck >= 3
    assert stages_not_fresh(settings) == []
    local = make_whole(settings_in(tmp_path))
    assert timeless(read_all(object_root / "export")) == local
