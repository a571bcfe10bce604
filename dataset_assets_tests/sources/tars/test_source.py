import io
import json
import os
import pickle
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.catalog.images import known_images
from dataset_assets.dataset import open_dataset
from dataset_assets.errors import DropReason, SampleError, SourceError
from dataset_assets.images.crops import make_crops
from dataset_assets.settings import parse_settings
from dataset_assets.sources.base import LARGEST_SIDECAR, Listed, split_sidecars
from dataset_assets.sources.kinds import make_source
from dataset_assets.sources.scan import find_changes, scan_sources
from dataset_assets.sources.tars.samples import IdRule
from dataset_assets.sources.tars.source import TarSource
from dataset_assets.sources.walk import FileState
from dataset_assets.storage.layout import Layout
from dataset_assets_tests import children
from dataset_assets_tests.datasets import (
    LANDSCAPE,
    SQUARE,
    TINY,
    add_photos,
    build_library,
    on_disk,
    partition_keys,
    settings_in,
)
from dataset_assets_tests.photos import jpeg
from dataset_assets_tests.sources.tarballs import entry, make_tar, write_tar

LIST = """
import sys
from collections import Counter
from pathlib import Path
from dataset_assets.errors import SourceError
from dataset_assets.sources.tars.source import TarSource

try:
    for one in TarSource(path=Path(sys.argv[1]), listings=Path(sys.argv[2])).list_images(Counter()):
        print(one.image_id, one.fault)
except SourceError as error:
    print(error)
"""
TARS = [{"kind": "tars", "path": "tars"}]


def source_in(folder: Path, **options: Any) -> TarSource:
    return TarSource(path=folder / "tars", listings=folder / "listings", **options)


def listing(folder: Path, **options: Any) -> tuple[list[Listed], Counter[str]]:
    ignored: Counter[str] = Counter()
    return list(source_in(folder, **options).list_images(ignored)), ignored


def ids(folder: Path, **options: Any) -> list[str]:
    return [one.image_id for one in listing(folder, **options)[0]]


def overwrite(path: Path, data: bytes) -> None:
    """Put other bytes into a file so that the folder says the same of it."""
    status = path.stat()
    path.write_bytes(data.ljust(status.st_size, b"\0")[: status.st_size])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def touch(path: Path, *, seconds_later: int = 5) -> None:
    was = path.stat().st_mtime_ns
    os.utime(path, ns=(was, was + seconds_later * 10**9))


def test_every_tar_is_looked_into_and_other_files_are_counted(tmp_path: Path) -> None:
    for name in ["b.tar", "a.TAR", "sub/c.tar", "sub/deeper/d.tar", ".hidden.tar", ".cache/e.tar", "f.tar.part"]:
        write_tar(tmp_path / "tars" / name, {f"{Path(name).stem}.jpg": b"", "x.npy": b""})
    for name in ["g.tar.gz", "h.tar.GZ", "i.tgz", "0000.json", "notes", "photo.jpg", "j.tar.bz2"]:
        (tmp_path / "tars" / name).touch()

    listed, ignored = listing(tmp_path)

    assert [one.uri for one in listed] == ["a.TAR/a.jpg", "b.tar/b.jpg", "sub/c.tar/c.jpg", "sub/deeper/d.tar/d.jpg"]
    assert [one.image_id for one in listed] == ["a", "b", "c", "d"]
    assert ignored == {"npy": 4, "tar.gz": 2, "tgz": 1, "json": 1, "": 1, "jpg": 1, "tar.bz2": 1}


def test_folders_that_are_ours_are_left_alone(tmp_path: Path) -> None:
    write_tar(tmp_path / "tars" / "a.tar", {"a.jpg": b""})
    write_tar(tmp_path / "tars" / "out" / "export" / "b.tar", {"b.jpg": b""})

    assert ids(tmp_path, skip=(tmp_path / "tars" / "out" / "export",)) == ["a"]


def test_what_is_listed_is_read(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": b"image", "a.txt": b"text", "b.jpg": b"", "a.json": b"{}"})
    source = source_in(tmp_path)

    listed = list(source.list_images(Counter()))

    assert [source.read(one.uri, one.version) for one in listed] == [b"image", b""]
    for one, content in zip(listed, (b"image", b""), strict=True):
        with source.open(one.uri, one.version) as file:
            assert file.read() == content
    assert [(one.size, one.modified, one.fault) for one in listed] == [
        (5, tar.stat().st_mtime, None),
        (0, tar.stat().st_mtime, None),
    ]
    versions = split_sidecars(listed[0].sidecars)
    assert {name: source.read_sidecar(listed[0].uri, name, version) for name, version in versions.items()} == {
        "txt": b"text",
        "json": b"{}",
    }
    assert listed[1].sidecars == ""


def test_of_a_sidecar_that_is_too_large_only_that_is_read(tmp_path: Path) -> None:
    write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": b"", "a.txt": b"x" * (2 * LARGEST_SIDECAR)})
    (one,) = listing(tmp_path)[0]

    data = source_in(tmp_path).read_sidecar(one.uri, "txt", split_sidecars(one.sidecars)["txt"])

    assert data == b"x" * (LARGEST_SIDECAR + 1)


@pytest.mark.parametrize(
    "name",
    [
        "plain.jpg",
        "/etc/absolute.jpg",
        "../../above.jpg",
        "x/../y.jpg",
        "with space.jpg",
        "new\nline.jpg",
        "percent%41%.jpg",
        "back\\slash.jpg",
        "emoji 😀👩‍👩‍👧.jpg",
        "semi;colon:.jpg",
        "no utf8 \udce9.jpg",
        "inner.tar/photo.jpg",
        "n" * 3000 + ".jpg",
        "deep/" * 500 + "photo.jpg",
    ],
)
@pytest.mark.parametrize("tar", ["t.tar", "odd %25 \udcff é.tar", "folder.tar/sub/t.tar"])
def test_any_name_is_listed_and_read(tmp_path: Path, tar: str, name: str) -> None:
    write_tar(tmp_path / "tars" / tar, {"before.jpg": b"another", name: b"this"}, form=tarfile.PAX_FORMAT)
    source = source_in(tmp_path)

    one = list(source.list_images(Counter()))[1]

    assert one.uri.encode().decode() == one.uri  # any database takes it
    assert one.image_id.encode().decode() == one.image_id
    assert source.read(one.uri, one.version) == b"this"
    with source.open(one.uri, one.version) as file:
        assert file.read() == b"this"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["listings", "tars"]


def test_ids_are_nfc_with_their_prefix(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    write_tar(tmp_path / "tars" / "t.tar", {f"{decomposed}.jpg": b"1", "\u0301x.jpg": b"2", "\udcff.jpg": b"3"})

    assert ids(tmp_path, prefix="e") == ["eé", "éx", r"e\xff"]
    assert ids(tmp_path) == ["é", "\u0301x", r"\xff"]  # the listing that was kept knows nothing of prefixes


def test_ids_by_every_rule(tmp_path: Path) -> None:
    write_tar(tmp_path / "tars" / "sub" / "t.TAR", {"x/a.jpg": b"", "x/a.json": b'{"id": 7, "name": "seven"}'})

    assert ids(tmp_path) == ["x/a"]
    assert ids(tmp_path, rule=IdRule(by="path"), prefix="p:") == ["p:sub/t/x/a"]
    assert ids(tmp_path, rule=IdRule(by="json", field="id"), prefix="p:") == ["p:7"]
    assert ids(tmp_path, rule=IdRule(by="json", field="name")) == ["seven"]


def test_the_settings_make_the_source(tmp_path: Path) -> None:
    tables = [
        {"kind": "tars", "path": "tars", "name": "a", "prefix": "a/"},
        {"kind": "tars", "path": "/b", "name": "b", "id": "json", "id_field": "uid"},
    ]
    settings, layout = parse_settings({"sources": tables}, folder=tmp_path), Layout(tmp_path / "out")

    made = [make_source(one, settings, layout) for one in settings.sources]

    assert made == [
        TarSource(path=tmp_path / "tars", listings=layout.listings("a"), prefix="a/", skip=layout.local_folders),
        TarSource(
            path=Path("/b"),
            listings=layout.listings("b"),
            rule=IdRule(by="json", field="uid"),
            skip=layout.local_folders,
        ),
    ]
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_member_is_a_file_of_its_own(tmp_path: Path) -> None:
    data = bytes(range(256)) * 100
    write_tar(tmp_path / "tars" / "t.tar", {"before.jpg": b"b" * 100, "a.jpg": data, "after.jpg": b"a" * 100})
    one = listing(tmp_path)[0][1]

    steps: list[Callable[[BinaryIO], object]] = [
        lambda file: file.read(3),
        lambda file: file.seek(20_000),
        lambda file: file.read(10_000),
        lambda file: file.seek(-5, io.SEEK_END),
        lambda file: file.read(),
        lambda file: file.seek(-10, io.SEEK_CUR),
        lambda file: file.tell(),
        lambda file: file.read(4),
        lambda file: file.seek(len(data) + 1000),
        lambda file: file.read(4),
    ]
    with source_in(tmp_path).open(one.uri, one.version) as file, io.BytesIO(data) as expected:
        for step in steps:
            assert step(file) == step(expected)
        with pytest.raises(ValueError, match="before the beginning"):
            file.seek(-1)
    assert file.closed


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    write_tar(tmp_path / "tars" / "t.tar", {"before.jpg": bytes(30 << 20), "a.jpg": b"magic".ljust(50 << 20, b"\0")})
    one = listing(tmp_path)[0][1]
    read_before = int(Path("/proc/self/io").read_text().split()[1])

    with source_in(tmp_path).open(one.uri, one.version) as file:
        assert file.read(5) == b"magic"

    assert int(Path("/proc/self/io").read_text().split()[1]) - read_before < 100_000


def test_another_version_of_the_tar_is_refused(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": b"image", "a.txt": b"text"})
    source = source_in(tmp_path)
    (one,) = source.list_images(Counter())
    sidecar = split_sidecars(one.sidecars)["txt"]

    def reasons() -> list[tuple[DropReason, str]]:
        found = []
        for look in (source.read, source.open):
            with pytest.raises(SampleError) as caught:
                look(one.uri, one.version)
            found.append((caught.value.reason, caught.value.detail))
        return found

    touch(tar)
    assert reasons() == [(DropReason.SOURCE_CHANGED, "its tar changed after the scan")] * 2
    with pytest.raises(OSError, match="its tar changed after the scan"):
        source.read_sidecar(one.uri, "txt", sidecar)
    touch(tar, seconds_later=-5)
    assert source.read(one.uri, one.version) == b"image"
    with tar.open("ab") as file:
        file.write(bytes(512))
    touch(tar, seconds_later=0)
    assert reasons() == [(DropReason.SOURCE_CHANGED, "its tar changed after the scan")] * 2
    tar.unlink()
    assert reasons() == [(DropReason.SOURCE_CHANGED, "its tar was removed after the scan")] * 2
    assert source.read_sidecar(one.uri, "txt", sidecar) is None
    tar.mkdir()
    assert reasons() == [(DropReason.UNREADABLE, "Is a directory")] * 2
    with pytest.raises(IsADirectoryError):
        source.read_sidecar(one.uri, "txt", sidecar)


@pytest.mark.parametrize(
    ("uri", "version"),
    [("t.tar/a.jpg", "10240-5"), ("t.tar/a.jpg", ""), ("t.tar/a.jpg", "x.y.z.w"), ("a.jpg", "0.0.0.0")],
)
def test_what_another_kind_of_source_has_listed_is_refused(tmp_path: Path, uri: str, version: str) -> None:
    write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": b"image"})
    source = source_in(tmp_path)

    for look in (source.read, source.open):
        with pytest.raises(SampleError, match="not in a tar") as caught:
            look(uri, version)
        assert caught.value.reason == DropReason.SOURCE_CHANGED
    with pytest.raises(OSError, match="not in a tar"):
        source.read_sidecar(uri, "txt", version)


def test_a_tar_that_has_not_changed_is_not_opened(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": b"", "a.txt": b"", "x.npy": b"", "x.pt": b""})
    before = listing(tmp_path)
    overwrite(tar, b"no tar any more")

    assert listing(tmp_path) == before

    touch(tar)
    listed, ignored = listing(tmp_path)
    assert [one.fault for one in listed] == [
        (DropReason.UNREADABLE, "not a tar: no header, or one whose checksum is wrong")
    ]
    assert ignored == {}


def test_a_tar_that_changed_is_listed_again(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": b"1"})
    before = listing(tmp_path)[0]
    write_tar(tar, {"b.jpg": b"", "a.jpg": b"22", "a.txt": b""})

    after = listing(tmp_path)[0]

    assert [one.uri for one in after] == ["t.tar/b.jpg", before[0].uri]
    assert source_in(tmp_path).read(after[1].uri, after[1].version) == b"22"
    assert listing(tmp_path)[0] == after


class Late(TarSource):
    """A source whose tars changed after the folder was read."""

    def find_tars(self, ignored: Counter[str]) -> Iterator[tuple[str, FileState]]:
        return ((tar, state._replace(size=1, stamp=1)) for tar, state in TarSource.find_tars(self, ignored))


def test_a_tar_is_listed_as_it_is_when_it_is_opened(tmp_path: Path) -> None:
    write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": b"image"})
    source = source_in(tmp_path)

    (one,) = Late(path=source.path, listings=source.listings).list_images(Counter())

    assert source.read(one.uri, one.version) == b"image"
    assert listing(tmp_path)[0] == [one]


def test_listings_are_kept_for_the_tars_that_are_there(tmp_path: Path) -> None:
    for name in ("a", "b", "sub/c"):
        write_tar(tmp_path / "tars" / f"{name}.tar", {f"{name}.jpg": b""})
    ids(tmp_path)
    kept = set((tmp_path / "listings").iterdir())
    assert len(kept) == 3

    (tmp_path / "tars" / "a.tar").unlink()
    (tmp_path / "tars" / "b.tar").rename(tmp_path / "tars" / "d.tar")
    assert ids(tmp_path) == ["b", "sub/c"]

    now = set((tmp_path / "listings").iterdir())
    assert (len(now), len(now & kept)) == (2, 1)


def test_a_damaged_listing_is_made_again(tmp_path: Path) -> None:
    write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": b""})
    before = listing(tmp_path)
    (path,) = (tmp_path / "listings").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:20])

    assert listing(tmp_path) == before
    assert path.read_bytes() == whole


def test_a_damaged_tar_is_counted_after_what_was_found(tmp_path: Path) -> None:
    whole = make_tar({"a.jpg": b"a", "b.jpg": b"b" * 100})
    write_tar(tmp_path / "tars" / "z.tar", {"z.jpg": b""})
    (tmp_path / "tars" / "cut.tar").write_bytes(whole[:1600])
    (tmp_path / "tars" / "empty.tar").touch()
    (tmp_path / "tars" / "nothing.tar").write_bytes(make_tar({}))

    listed, _ = listing(tmp_path, prefix="p/")

    cut = "the tar is damaged after 1 member, at byte 1024: the last 36 bytes of a member are missing"
    assert [(one.uri, one.image_id, one.size, one.fault) for one in listed] == [
        ("cut.tar/a.jpg", "p/a", 1, None),
        ("cut.tar", "p/cut.tar", 1600, (DropReason.UNREADABLE, cut)),
        ("empty.tar", "p/empty.tar", 0, (DropReason.UNREADABLE, "not a tar: the file is empty")),
        ("z.tar/z.jpg", "p/z", 0, None),
    ]
    assert listing(tmp_path, prefix="p/")[0] == listed


def test_tars_that_are_none_are_counted_and_never_opened(tmp_path: Path) -> None:
    (tmp_path / "tars").mkdir()
    os.mkfifo(tmp_path / "tars" / "pipe.tar")
    (tmp_path / "tars" / "dangling.tar").symlink_to("nowhere")
    (tmp_path / "tars" / "circle.tar").symlink_to("circle.tar")

    listed, _ = listing(tmp_path)

    assert {one.image_id: one.fault for one in listed} == {
        "circle.tar": (DropReason.UNREADABLE, "Too many levels of symbolic links"),
        "dangling.tar": (DropReason.UNREADABLE, "No such file or directory"),
        "pipe.tar": (DropReason.UNREADABLE, "not a regular file"),
    }


def test_links_to_tars_and_folders_of_tars(tmp_path: Path) -> None:
    write_tar(tmp_path / "elsewhere" / "a.tar", {"a.jpg": b""})
    write_tar(tmp_path / "one.tar", {"b.jpg": b""})
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "tars" / "link.tar").symlink_to(tmp_path / "one.tar")

    assert [one.uri for one in listing(tmp_path)[0]] == ["link.tar/b.jpg", "more/a.tar/a.jpg"]


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such folder"):
        listing(tmp_path)


def test_a_tar_that_may_not_be_read_stops_the_scan(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": b""})
    tar.chmod(0)
    said = children.run(LIST, tmp_path / "tars", tmp_path / "listings", powerless=True)
    tar.chmod(0o600)
    ids(tmp_path)
    tar.chmod(0)
    known = children.run(LIST, tmp_path / "tars", tmp_path / "listings", powerless=True)

    assert said == f"source {tar}: cannot be read: Permission denied"
    assert known == "a None"


def test_the_sides_of_a_scan_add_up(tmp_path: Path) -> None:
    photo = jpeg(*LANDSCAPE)
    broken = make_tar({"cut.jpg": photo, "lost.jpg": photo})
    write_tar(
        tmp_path / "tars" / "a.tar",
        [
            ("good.jpg", photo),
            ("small.jpg", jpeg(*TINY)),
            ("empty.jpg", b""),
            ("text.jpg", b"no image\n" * 100),
            ("twice.jpg", photo),
            ("twice.jpg", photo),
            ("film.mp4", b""),
            ("good.txt", b"caption"),
            entry("link.jpg", tarfile.SYMTYPE, link="good.jpg"),
        ],
    )
    write_tar(tmp_path / "tars" / "b.tar", {"good.jpg": photo})
    (tmp_path / "tars" / "cut.tar").write_bytes(broken[: len(photo) + 2000])

    with open_dataset(settings_in(tmp_path, sources=TARS)) as dataset:
        report = scan_sources(dataset).report
        again = scan_sources(dataset)
        with dataset.catalog.reading() as connection:
            found = {row["uri"]: row["reason"] for row in known_images(connection).to_pylist()}

    (superseded,) = [uri for uri in found if "at byte" in uri]
    assert found == {
        "a.tar/good.jpg": "",
        "a.tar/small.jpg": "",
        "a.tar/empty.jpg": DropReason.EMPTY_FILE,
        "a.tar/text.jpg": DropReason.UNSUPPORTED_FORMAT,
        superseded: DropReason.DUPLICATE_ID,
        "a.tar/twice.jpg": "",
        "a.tar/link.jpg": DropReason.UNREADABLE,
        "b.tar/good.jpg": DropReason.DUPLICATE_ID,
        "cut.tar/cut.jpg": "",
        "cut.tar": DropReason.UNREADABLE,
    }
    assert report["seen"] == 10 == report["usable"] + sum(report["drops"].values())
    assert report["ignored"] == {"mp4": 1}
    assert again.reused


def test_a_tar_that_grows_keeps_what_it_had(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": jpeg(*SQUARE, 1), "b.jpg": jpeg(*SQUARE, 2)})

    with open_dataset(settings_in(tmp_path, sources=TARS)) as dataset:
        scan_sources(dataset)
        assert find_changes(dataset) == ""
        with tarfile.open(tar, "a") as file:
            file.addfile(entry("c.jpg", size=3), io.BytesIO(b"new"))
        touch(tar)
        assert find_changes(dataset) != ""
        report = scan_sources(dataset).report
        assert find_changes(dataset) == ""

    assert (report["added"], report["updated"], report["removed"]) == (1, 2, 0)
    assert (report["seen"], report["usable"]) == (3, 2)


def test_a_tar_that_is_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    whole = make_tar({"a.jpg": jpeg(*SQUARE), "b.jpg": jpeg(*SQUARE)})
    tar = tmp_path / "tars" / "t.tar"
    tar.parent.mkdir()
    tar.write_bytes(whole[:2000])

    with open_dataset(settings_in(tmp_path, sources=TARS)) as dataset:
        assert scan_sources(dataset, settle_seconds=600).report["seen"] == 0
        tar.write_bytes(whole)
        assert scan_sources(dataset).report["usable"] == 2


def test_what_was_known_of_a_tar_stays_while_it_is_written_again(tmp_path: Path) -> None:
    photos = {f"{number}.jpg": jpeg(*SQUARE, number) for number in range(4)}
    tar = write_tar(tmp_path / "tars" / "t.tar", photos)
    os.utime(tar, (1, 1))
    other = write_tar(tmp_path / "tars" / "other.tar", {"x.jpg": jpeg(*SQUARE, 9)})
    os.utime(other, (1, 1))

    with open_dataset(settings_in(tmp_path, sources=TARS)) as dataset:
        scan_sources(dataset)
        with dataset.catalog.reading() as connection:
            before = known_images(connection)
        whole = make_tar(photos | {"4.jpg": jpeg(*SQUARE, 4)})
        tar.write_bytes(whole[: len(whole) // 3])  # half of its images cannot be seen, and one is cut off
        assert find_changes(dataset, settle_seconds=600) == ""
        report = scan_sources(dataset, settle_seconds=600).report
        assert (report["added"], report["updated"], report["removed"]) == (0, 0, 0)
        with dataset.catalog.reading() as connection:
            assert known_images(connection) == before

        tar.write_bytes(whole)
        report = scan_sources(dataset).report
        assert (report["added"], report["updated"], report["removed"], report["usable"]) == (1, 4, 0, 6)


def test_damaged_tars_of_one_name_in_two_sources_are_two_faults(tmp_path: Path) -> None:
    sources = [{"kind": "tars", "path": name, "name": name, "prefix": ""} for name in ("one", "two")]
    for name in ("one", "two"):
        data = make_tar({f"{name}.jpg": jpeg(*SQUARE)})
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.tar").write_bytes(data[: data.rindex(b"\xff\xd9") + 2])

    with open_dataset(settings_in(tmp_path, sources=sources)) as dataset:
        report = scan_sources(dataset).report

    assert report["drops"] == {"skipped_unreadable": report["seen"] - report["usable"]}
    assert report["seen"] - report["usable"] >= 2


def test_checksums_are_of_the_members(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": jpeg(*SQUARE, 1), "b.jpg": jpeg(*SQUARE, 2)})

    with open_dataset(settings_in(tmp_path, sources=TARS)) as dataset:
        scan_sources(dataset, checksum=True)
        assign_buckets(dataset)
        make_crops(dataset, partition_keys(dataset))
        touch(tar)
        scan_sources(dataset, checksum=True)
        assign_buckets(dataset)
        crops = make_crops(dataset, partition_keys(dataset))

    assert all(outcome.reused for outcome in crops.values())


def pack(folder: Path) -> None:
    """Put the files of `folder`/raw into two tars in `folder`/tars, members of a key apart from each other."""
    files = sorted((folder / "raw").iterdir(), key=lambda path: (path.suffix, path.name))
    for number in range(2):
        chosen = [path for path in files if int(path.stem) % 2 == number]
        write_tar(folder / "tars" / f"{number}.tar", {path.name: path.read_bytes() for path in chosen})


def test_an_export_is_the_same_from_tars_as_from_a_folder(tmp_path: Path) -> None:
    for number, photo in enumerate(add_photos(tmp_path, 12)):
        photo.with_suffix(".json").write_text(json.dumps({"name": photo.name, "title": f"title {number}"}))
        if number % 3:
            photo.with_suffix(".json").write_text(json.dumps({"name": photo.name}))
    pack(tmp_path)
    captions = {
        "variants": [{"name": "caption_title", "field": "title"}, {"name": "caption_sidecar"}],
        "priority": [{"variant": "caption_title"}, {"variant": "caption_sidecar"}],
    }
    settings = settings_in(tmp_path, captions=captions)
    by_name = [{"kind": "tars", "path": "tars", "id": "json", "id_field": "name"}]
    from_tars = settings_in(tmp_path, captions=captions, sources=by_name, dataset={"root": "other"})

    exports = []
    for one in (settings, from_tars):
        with open_dataset(one) as dataset:
            build_library(dataset)
            root = on_disk(dataset.layout.export) / "buckets"
            exports.append({path.relative_to(root): path.read_bytes() for path in root.rglob("*.tar")})

    assert exports[0] == exports[1]
    with tarfile.open(fileobj=io.BytesIO(next(iter(exports[0].values())))) as tar:
        assert len(tar.getnames()) % 3 == 0
    texts = b"".join(exports[1].values())
    assert [texts.count(text) for text in (b"\0title 0\n", b"\0photo number 2\n", b"\0title 3\n")] == [1, 1, 1]


def test_two_sources_of_tars_in_one_dataset(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tar(tmp_path / name / "t.tar", {"a.jpg": jpeg(*SQUARE)})
    two = [{"kind": "tars", "path": "one", "name": "one"}, {"kind": "tars", "path": "two", "name": "two"}]

    with open_dataset(settings_in(tmp_path, sources=two)) as dataset, pytest.raises(SourceError, match="both sources"):
        scan_sources(dataset)
    two[1]["prefix"] = "two/"
    with open_dataset(settings_in(tmp_path, sources=two)) as dataset:
        assert scan_sources(dataset).report["usable"] == 2
        assert len(list((dataset.layout.root / "listings").glob("*/*.json.gz"))) == 2


def test_a_source_without_its_listings_lists_the_same(tmp_path: Path) -> None:
    write_tar(tmp_path / "tars" / "t.tar", {"a.jpg": b"", "a.txt": b"", "a.npy": b""})
    first, source = listing(tmp_path), source_in(tmp_path)
    ignored: Counter[str] = Counter()

    assert list(replace(source, listings=tmp_path / "others").list_images(ignored)) == first[0]
    assert ignored == first[1]
