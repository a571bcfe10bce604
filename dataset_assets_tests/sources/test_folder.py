import os
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.errors import DropReason, SampleError, SourceError
from dataset_assets.sources.base import Listed, join_sidecars, split_sidecars
from dataset_assets.sources.folder import FolderSource, decode_uri, encode_uri, make_image_id
from dataset_assets_tests import children

LIST = """
import sys
from collections import Counter
from pathlib import Path
from dataset_assets.errors import SourceError
from dataset_assets.sources.folder import FolderSource

try:
    for one in FolderSource(path=Path(sys.argv[1])).list_images(Counter()):
        print(one.image_id, one.fault)
except SourceError as error:
    print(error)
"""
ODD_NAMES = [
    "plain.jpg",
    "with space.jpg",
    "new\nline.jpg",
    "quote'\"`.jpg",
    "percent%41%.jpg",
    "back\\slash.jpg",
    "emoji 😀👩‍👩‍👧.jpg",
    "右から左 עברית.jpg",
    "semi;colon:.jpg",
    "question?hash#.jpg",
    "dots..and...more.jpg",
    "-dash.jpg",
    "n" * 251 + ".jpg",
    "tab\t\x01\x7f.jpg",
]


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode(errors="surrogateescape"))


def listing(folder: Path, prefix: str = "") -> tuple[list[Listed], Counter[str]]:
    ignored: Counter[str] = Counter()
    return list(FolderSource(path=folder, prefix=prefix).list_images(ignored)), ignored


def ids(folder: Path) -> list[str]:
    return [one.image_id for one in listing(folder)[0]]


def test_images_come_in_a_fixed_order_whatever_is_inside(tmp_path: Path) -> None:
    names = ["b.jpg", "a.PNG", "sub/c.webp", "sub/deeper/d.JPEG", "sub2/e.tiff", "Z.heic", "é.jxl"]
    write(tmp_path, *reversed(names))

    listed, ignored = listing(tmp_path)

    assert [one.image_id for one in listed] == [
        "Z.heic",
        "a.PNG",
        "b.jpg",
        "é.jxl",
        "sub/c.webp",
        "sub/deeper/d.JPEG",
        "sub2/e.tiff",
    ]
    assert ignored == {}
    assert [one.size for one in listed] == [len(one.image_id.encode()) for one in listed]


def test_what_is_no_image_is_counted_by_its_extension(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "film.MP4", "film.mp4", "notes", "raw.cr2", "x/y.pdf", "jpg", "a.jpg.bak")

    listed, ignored = listing(tmp_path)

    assert [one.image_id for one in listed] == ["a.jpg"]
    assert ignored == {"mp4": 2, "": 2, "cr2": 1, "pdf": 1, "bak": 1}


def test_hidden_temporary_and_system_files_are_left_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        ".hidden.jpg",
        "._resource.jpg",
        ".cache/a.jpg",
        "a.jpg~",
        "b.jpg.part",
        "c.jpg.CRDOWNLOAD",
        "d.jpg.tmp",
        "e.jpg.swp",
        "__MACOSX/a.jpg",
        "@eaDir/a.jpg",
        "lost+found/a.jpg",
        "$RECYCLE.BIN/a.jpg",
        "System Volume Information/a.jpg",
        "folder.tmp/a.jpg",
    )

    assert listing(tmp_path) == ([], Counter())


def test_sidecars_belong_to_the_image_of_the_same_name(tmp_path: Path) -> None:
    write(
        tmp_path, "a.jpg", "a.txt", "a.json", "b.JPG", "b.TXT", "c.png", "sub/a.caption", "d.txt", "a.b.jpg", "a.b.txt"
    )

    listed, ignored = listing(tmp_path)

    sidecars = {one.image_id: set(split_sidecars(one.sidecars)) for one in listed}
    assert sidecars == {"a.jpg": {"txt", "json"}, "b.JPG": {"TXT"}, "c.png": set(), "a.b.jpg": {"txt"}}
    assert ignored == {}
    source = FolderSource(path=tmp_path)
    assert source.read_sidecar("b.JPG", "TXT", "") == b"b.TXT"
    assert source.read_sidecar("a.b.jpg", "txt", "") == b"a.b.txt"
    assert source.read_sidecar("c.png", "txt", "") is None


def test_a_sidecar_that_changes_changes_its_version(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "a.txt")
    before = listing(tmp_path)[0][0]

    (tmp_path / "a.txt").write_text("another caption")
    after = listing(tmp_path)[0][0]

    assert before.sidecars != after.sidecars
    assert before.version == after.version


def test_sidecars_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "a.txt")  # reading it would wait for ever
    (tmp_path / "a.caption").symlink_to("nowhere")
    (tmp_path / "a.json").mkdir()

    assert listing(tmp_path)[0][0].sidecars == ""


@given(st.dictionaries(st.sampled_from(["txt", "TXT", "caption", "json"]), st.from_regex(r"\d+-\d+", fullmatch=True)))
def test_sidecars_survive_being_joined(versions: dict[str, str]) -> None:
    assert split_sidecars(join_sidecars(versions)) == versions


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_is_listed_and_read(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"sub {name}/{name}" if len(name) < 200 else name)

    (one,) = listing(tmp_path)[0]

    source = FolderSource(path=tmp_path)
    assert one.image_id == (f"sub {name}/{name}" if len(name) < 200 else name)
    assert one.fault is None
    assert source.read(one.uri, one.version) == one.image_id.encode()
    with source.open(one.uri, one.version) as file:
        assert file.read() == one.image_id.encode()


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    write(tmp_path, *map(os.fsdecode, (b"latin \xe9.jpg", b"sub\xff/a.jpg", b"x.\xff\xfe", b"b.jpg")))

    listed, ignored = listing(tmp_path)

    assert [one.image_id for one in listed] == ["b.jpg", r"latin \xe9.jpg", r"sub\xff/a.jpg"]
    assert [one.uri for one in listed] == ["b.jpg", "latin %E9.jpg", "sub%FF/a.jpg"]
    assert ignored == {r"\xff\xfe": 1}
    source = FolderSource(path=tmp_path)
    assert [source.read(one.uri, one.version) for one in listed] == [b"b.jpg", b"latin \xe9.jpg", b"sub\xff/a.jpg"]


def test_ids_are_nfc_with_their_prefix(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é.jpg")
    write(tmp_path, decomposed)

    (one,) = listing(tmp_path, prefix="e")[0]
    assert one.image_id == "eé.jpg"
    assert FolderSource(path=tmp_path).read(one.uri, one.version) == decomposed.encode()

    write(tmp_path, "\u0301.jpg")  # an accent that joins the prefix
    assert "é.jpg" in [one.image_id for one in listing(tmp_path, prefix="e")[0]]


def test_names_that_are_equal_as_ids_are_both_offered(tmp_path: Path) -> None:
    write(tmp_path, "é.jpg", unicodedata.normalize("NFD", "é.jpg"))

    listed = listing(tmp_path)[0]

    assert [one.image_id for one in listed] == ["é.jpg", "é.jpg"]
    assert len({one.uri for one in listed}) == 2


@given(st.binary(min_size=1, max_size=60).filter(lambda name: b"\0" not in name))
def test_an_uri_leads_back_to_every_name(name: bytes) -> None:
    relative = os.fsdecode(name)

    uri = encode_uri(relative)

    assert decode_uri(uri) == relative
    assert uri.encode().decode() == uri  # any database takes it


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_an_id_is_the_name_in_nfc(name: str) -> None:
    assert make_image_id(name) == unicodedata.normalize("NFC", name)


def test_a_pipe_is_counted_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")

    (one,) = listing(tmp_path)[0]

    assert one.fault == (DropReason.UNREADABLE, "not a regular file")


def test_links_that_lead_nowhere_or_in_a_circle_are_counted(tmp_path: Path) -> None:
    (tmp_path / "dangling.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "circle").symlink_to("circle")
    write(tmp_path, "photo.jpg")

    listed, ignored = listing(tmp_path)

    assert {one.image_id: one.fault for one in listed} == {
        "circle.jpg": (DropReason.UNREADABLE, "Too many levels of symbolic links"),
        "dangling.jpg": (DropReason.UNREADABLE, "No such file or directory"),
        "photo.jpg": None,
    }
    assert ignored == {"": 1}


def test_a_link_to_an_image_is_an_image(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/photo.jpg", "raw/a.jpg")
    (tmp_path / "raw" / "link.jpg").symlink_to(tmp_path / "elsewhere" / "photo.jpg")

    assert ids(tmp_path / "raw") == ["a.jpg", "link.jpg"]


def test_a_link_to_a_folder_is_followed_and_a_circle_ends(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/photo.jpg", "raw/sub/a.jpg")
    (tmp_path / "raw" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "raw" / "sub" / "up").symlink_to(tmp_path / "raw")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "raw" / "sub")

    assert ids(tmp_path / "raw") == ["sub/a.jpg", "more/photo.jpg"]


def test_a_folder_reached_twice_goes_by_its_real_path(tmp_path: Path) -> None:
    write(tmp_path, "zoo/photo.jpg")
    (tmp_path / "a link").symlink_to("zoo")
    assert ids(tmp_path) == ["zoo/photo.jpg"]

    shutil.rmtree(tmp_path / "zoo")
    write(tmp_path, "other/zoo/photo.jpg")
    (tmp_path / "a link").unlink()
    (tmp_path / "a link").symlink_to("other/zoo")
    assert ids(tmp_path) == ["other/zoo/photo.jpg"]


def test_a_folder_called_like_an_image_is_entered(tmp_path: Path) -> None:
    write(tmp_path, "album.jpg/photo.jpg")

    assert ids(tmp_path) == ["album.jpg/photo.jpg"]


def test_an_empty_folder_offers_nothing(tmp_path: Path) -> None:
    assert listing(tmp_path) == ([], Counter())


@pytest.mark.parametrize("below", ["no", "file.txt"])
def test_a_missing_folder_is_said(tmp_path: Path, below: str) -> None:
    write(tmp_path, "file.txt")

    with pytest.raises(SourceError) as caught:
        listing(tmp_path / below)

    assert str(caught.value).startswith(f"source {tmp_path / below}: there is no such folder; path under [[sources]]")


def test_a_subfolder_that_cannot_be_listed_stops_the_scan(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "closed/b.jpg")
    (tmp_path / "closed").chmod(0o000)
    said = children.run(LIST, tmp_path, powerless=True)
    (tmp_path / "closed").chmod(0o700)

    assert said.splitlines() == ["a.jpg None", f"source {tmp_path}/closed: cannot be listed: Permission denied"]


def test_links_into_a_closed_folder(tmp_path: Path) -> None:
    write(tmp_path, "closed/b.jpg", "closed/album/c.jpg", "raw/a.jpg")
    (tmp_path / "raw" / "b.jpg").symlink_to(tmp_path / "closed" / "b.jpg")
    (tmp_path / "closed").chmod(0o000)
    one_image = children.run(LIST, tmp_path / "raw", powerless=True)
    (tmp_path / "raw" / "album").symlink_to(tmp_path / "closed" / "album")
    a_folder = children.run(LIST, tmp_path / "raw", powerless=True)
    (tmp_path / "closed").chmod(0o700)

    assert "b.jpg (<DropReason.UNREADABLE: 'skipped_unreadable'>, 'Permission denied')" in one_image.splitlines()
    assert a_folder == f"source {tmp_path}/raw/album: cannot be listed: Permission denied"


def test_reading_another_version_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    source = FolderSource(path=tmp_path)
    (one,) = listing(tmp_path)[0]

    (tmp_path / "a.jpg").write_bytes(b"another")
    with pytest.raises(SampleError) as changed:
        source.read(one.uri, one.version)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(SampleError) as removed:
        source.read(one.uri, one.version)
    with pytest.raises(SampleError) as gone:
        source.open(one.uri, one.version)
    (tmp_path / "a.jpg").mkdir()
    with pytest.raises(SampleError) as folder:
        source.read(one.uri, one.version)

    reasons = [caught.value.reason for caught in (changed, removed, gone, folder)]
    assert reasons == [
        DropReason.SOURCE_CHANGED,
        DropReason.SOURCE_CHANGED,
        DropReason.UNREADABLE,
        DropReason.UNREADABLE,
    ]
