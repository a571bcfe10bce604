import io
import json
import os
import pickle
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.catalog.images import known_images
from dataset_assets.dataset import open_dataset
from dataset_assets.errors import DropReason, SourceError
from dataset_assets.progress import Silence
from dataset_assets.settings import parse_settings
from dataset_assets.shards.verify import verify
from dataset_assets.sources.base import Listed, split_sidecars
from dataset_assets.sources.kinds import make_source
from dataset_assets.sources.scan import scan_sources
from dataset_assets.sources.tars.export import ExportSource
from dataset_assets.storage.layout import Layout
from dataset_assets_tests.datasets import build_library, on_disk, settings_in
from dataset_assets_tests.exports import SQUARE_0, WIDE_0, edit_manifest, make_draft
from dataset_assets_tests.sources.tarballs import write_tar

IDS = ["a.png", "b.png", "c.png", "sub/d é.png", "e.png"]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """The folder of a small good export."""
    folder = tmp_path / "export"
    folder.mkdir()
    make_draft().write(folder)
    return folder


def source_of(export: Path, **options: Any) -> ExportSource:
    return ExportSource(path=export, listings=export.with_name("listings"), **options)


def listing(export: Path, **options: Any) -> list[Listed]:
    ignored: Counter[str] = Counter()
    listed = list(source_of(export, **options).list_images(ignored))
    assert ignored == {}
    return listed


def edited(export: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    edit_manifest(export, edit, sign=False)
    return export


def refusal(export: Path, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        listing(export, **options)
    message = str(caught.value)
    assert message.startswith(f"source {export}: ")
    assert "\n" not in message
    return message.removeprefix(f"source {export}: ")


def test_images_are_called_as_in_the_export(export: Path) -> None:
    listed = listing(export)

    assert sorted(one.image_id for one in listed) == sorted(IDS)
    assert [one.image_id for one in listing(export, prefix="x/")] == [f"x/{one.image_id}" for one in listed]
    assert {one.uri.rpartition("/")[0] for one in listed} == {
        path.relative_to(export).as_posix() for path in export.rglob("*.tar")
    }
    assert all(one.fault is None for one in listed)


def test_samples_are_read_as_they_are_in_the_tars(export: Path) -> None:
    source = source_of(export)
    for one in listing(export):
        tar, _, name = one.uri.rpartition("/")
        with tarfile.open(export / tar) as file:
            members = {member.name: file.extractfile(member).read() for member in file}  # type: ignore[union-attr]

        versions = split_sidecars(one.sidecars)
        beside = {kind: source.read_sidecar(one.uri, kind, version) for kind, version in versions.items()}

        assert source.read(one.uri, one.version) == members[name]
        assert beside == {kind: members[name.replace("jpg", kind)] for kind in ("txt", "json")}
        with source.open(one.uri, one.version) as opened:
            assert opened.read(2) == b"\xff\xd8"


def test_only_the_tars_of_the_manifest_count(export: Path) -> None:
    write_tar(export / "buckets" / "p1024x1024" / "shard-000009.tar", {"stray.jpg": b""})

    assert len(listing(export)) == 5


def test_the_settings_make_the_source(tmp_path: Path) -> None:
    table = {"kind": "bucketed_shards", "path": "published", "name": "old", "prefix": "old/"}
    settings, layout = parse_settings({"sources": [table]}, folder=tmp_path), Layout(tmp_path / "out")

    made = make_source(settings.sources[0], settings, layout)

    assert made == ExportSource(
        path=tmp_path / "published", listings=layout.listings("old"), prefix="old/", skip=layout.local_folders
    )
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_publishers_manifest_may_say_less(export: Path) -> None:
    tar = "buckets/p1024x1024/shard-000000.tar"
    write_tar(export / tar, {"k1.jpg": b"", "k1.txt": b"one\n", "k1.json": b'{"caption_variant": "x"}', "k2.jpg": b""})
    write_tar(export / "buckets" / "p512x512" / "shard-000000.tar", {"k3.jpg": b"", "k3.json": b'{"image_id": "own"}'})
    manifest = {
        "format": "bucketed_shards_v2",
        "buckets": {
            "p1024x1024": {"count": 2, "shards": [{"path": tar, "samples": 2}]},
            "p512x512": {"count": 1, "shards": ["shard-000000.tar"]},
        },
    }
    (export / "manifest.json").write_text(json.dumps(manifest))

    assert [(one.uri, one.image_id) for one in listing(export)] == [
        (f"{tar}/k1.jpg", "k1"),
        (f"{tar}/k2.jpg", "k2"),
        ("buckets/p512x512/shard-000000.tar/k3.jpg", "own"),
    ]


def test_a_tar_that_is_not_there_is_said(export: Path) -> None:
    (export / WIDE_0).unlink()

    assert refusal(export) == (
        f"manifest.json lists {WIDE_0}, which cannot be read: No such file or directory; "
        f"run dataset-assets verify {export}"
    )


def test_a_tar_of_another_size_is_said(export: Path) -> None:
    size = (export / SQUARE_0).stat().st_size
    os.truncate(export / SQUARE_0, size - 512)

    assert refusal(export) == (
        f"manifest.json lists {SQUARE_0} with {size} bytes, and it has {size - 512}; run dataset-assets verify {export}"
    )


def test_a_tar_that_is_a_folder_is_said(export: Path) -> None:
    (export / SQUARE_0).unlink()
    (export / SQUARE_0).mkdir()

    assert refusal(export).startswith(f"manifest.json lists {SQUARE_0}, which is not a regular file; run")


def test_nothing_is_listed_before_all_tars_are_found(export: Path) -> None:
    (export / WIDE_0).unlink()

    with pytest.raises(SourceError):
        next(iter(source_of(export).list_images(Counter())))


def test_a_folder_that_is_no_export(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "manifest.json").write_text("no JSON")

    for folder in ("missing", "empty"):
        said = refusal(tmp_path / folder)
        assert said.startswith("cannot read ")
        assert said.endswith("No such file or directory; path names the folder of an export")
    assert "is not JSON" in refusal(tmp_path / "text")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            lambda manifest: manifest.update(format="other_v1"),
            "the format other_v1; allowed: bucketed_shards_v1, bucketed_shards_v2",
        ),
        (lambda manifest: manifest.update(format=["x"]), "the format ['x']; allowed"),
        (lambda manifest: manifest.update(buckets=[]), "no buckets"),
        (lambda manifest: manifest["buckets"].update(p1=7), "no shards of the bucket p1"),
        (lambda manifest: manifest["buckets"].update(p1={"count": 7}), "no shards of the bucket p1"),
        (
            lambda manifest: manifest["buckets"].update(p1={"shards": [7]}),
            "a shard of the bucket p1 that is not the path of a tar",
        ),
        (
            lambda manifest: manifest["buckets"].update(p1={"shards": [{"path": "buckets/p1/a.zip"}]}),
            "a shard of the bucket p1 that is not the path of a tar",
        ),
        (
            lambda manifest: manifest["buckets"].update(p1={"shards": ["/etc/a.tar"]}),
            "'/etc/a.tar', which is not a path in the export",
        ),
        (
            lambda manifest: manifest["buckets"].update(p1={"shards": ["../a.tar/../../b.tar"]}),
            "'../a.tar/../../b.tar', which is not a path in the export",
        ),
        (
            lambda manifest: manifest["buckets"].update(p1={"shards": ["a\n\0.tar"]}),
            r"'buckets/p1/a\n\x00.tar', which is not a path in the export",
        ),
        (lambda manifest: manifest["buckets"].update(p1={"shards": [{"path": SQUARE_0}]}), f"{SQUARE_0} twice"),
        (
            lambda manifest: manifest["buckets"].update(p1={"shards": [f"./{SQUARE_0}".replace("/", "//")]}),
            f"{SQUARE_0} twice",
        ),
    ],
)
def test_a_manifest_that_is_none(export: Path, edit: Callable[[dict[str, Any]], object], said: str) -> None:
    assert refusal(edited(export, edit)).startswith(f"manifest.json lists {said}")


def test_damage_in_a_tar_is_counted(export: Path) -> None:
    data = bytearray((export / SQUARE_0).read_bytes())
    data[0] ^= 1
    (export / SQUARE_0).write_bytes(data)

    listed = listing(export)

    assert [one.fault for one in listed if one.uri == SQUARE_0] == [
        (DropReason.UNREADABLE, "not a tar: no header, or one whose checksum is wrong")
    ]
    assert [one.image_id for one in listed if not one.fault] == ["c.png", "sub/d é.png", "e.png"]


def test_the_export_that_is_made_here_is_no_source_of_it(export: Path) -> None:
    link = export.with_name("link")
    link.symlink_to(export)

    assert refusal(link, skip=(export,)) == "this is the export that is made here, and no source of it"


def captions_in(folder: Path) -> dict[str, bytes]:
    """Return what the texts of an export are, by image_id."""
    found = {}
    for path in (folder / "buckets").rglob("*.tar"):
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        for name, data in files.items():
            if name.endswith(".json"):
                found[json.loads(data)["image_id"]] = files[name.replace(".json", ".txt")]
    return found


def test_two_exports_are_merged_and_bucketed_again(built: Path, tmp_path: Path) -> None:
    first = built / "out" / "export"
    before = captions_in(first)
    sources = [
        {"kind": "bucketed_shards", "path": str(first)},
        {"kind": "bucketed_shards", "path": str(first), "name": "again", "prefix": "again/"},
    ]
    merged = settings_in(
        tmp_path,
        sources=sources,
        dataset={"root": "merged"},
        buckets={"base_resolutions": [32], "divisible": 8},
    )

    with open_dataset(merged) as dataset:
        report = build_library(dataset).scan.report
        assert scan_sources(dataset).reused
        with dataset.catalog.reading() as connection:
            rows = known_images(connection).to_pylist()
        after = captions_in(on_disk(dataset.layout.export))

        assert verify(dataset.layout.export, workers=1, progress=Silence()).faults == ()
    assert report["usable"] == len(rows) == 2 * len(before) == 40
    assert after == before | {f"again/{name}": text for name, text in before.items()}
    assert b"photo number 4\n" in after.values()
