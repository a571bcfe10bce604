import re
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from moto.s3.models import s3_backends

from dataset_assets.errors import DropReason, SampleError, SourceError
from dataset_assets.images import workers
from dataset_assets.settings import ImageSettings
from dataset_assets.sources.base import Listed
from dataset_assets.sources.bucket import BucketTree
from dataset_assets.sources.folder import FolderSource
from dataset_assets.sources.headers import Found, read_headers
from dataset_assets.sources.objects import MOST_REFUSED
from dataset_assets.storage.objects import ObjectPath
from dataset_assets_tests.fakes.object_proxy import ObjectProxy
from dataset_assets_tests.objects import gets, put
from dataset_assets_tests.photos import encoded, hostile, jpeg, photo

PHOTO = jpeg(20, 10)


def listing(root: ObjectPath, **options: Any) -> tuple[list[Listed], Counter[str]]:
    ignored: Counter[str] = Counter()
    return list(FolderSource(path=root, **options).list_images(ignored)), ignored


def headers(root: ObjectPath) -> dict[str, Found]:
    source = FolderSource(path=root)
    listed = list(source.list_images(Counter()))
    files = [("a", one.uri, one.version) for one in listed]
    return dict(
        zip(
            [one.image_id for one in listed],
            read_headers(1, ImageSettings(), {"a": source}, files),
            strict=True,
        )
    )


def lost(root: ObjectPath, one: Listed) -> tuple[DropReason, str]:
    with pytest.raises(SampleError) as caught:
        FolderSource(path=root).read(one.uri, one.version)
    return caught.value.reason, caught.value.detail


def test_a_bucket_is_listed_as_the_same_files_on_disk(tmp_path: Path, object_root: ObjectPath) -> None:
    names = [
        "a.jpg", "a.txt", "a.JSON", "a/b.jpg", "a/b.caption", "a-b/c.png", "a/b/c.jpg", "a/b/c.txt", "notes.pdf",
        "Ünïcode/日本.JPG", "e\u0301.jpg", "percent%41 +&.jpg", "what?is#this.jpg", "no_extension", "x.jpg.tmp",
        ".hidden.jpg", ".hidden/a.jpg", "a/.h/a.jpg", "__MACOSX/a.jpg", "a/@eaDir/b.jpg", "long/" + "n" * 240 + ".jpg",
    ]  # fmt: skip
    for number, name in enumerate(names):
        data = jpeg(20 + number, 10)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
        put(object_root / name, data)

    there, ignored = listing(object_root, prefix="p/")
    ignored_locally: Counter[str] = Counter()
    local = list(FolderSource(path=tmp_path, prefix="p/").list_images(ignored_locally))

    def facts(one: Listed) -> tuple[str, str, int, list[str]]:
        return one.uri, one.image_id, one.size, [pair.split(":")[0] for pair in one.sidecars.split(";")]

    assert sorted(map(facts, there)) == sorted(map(facts, local))
    assert ignored == ignored_locally == {"pdf": 1, "": 1}
    source = FolderSource(path=object_root)
    assert [source.read(one.uri, one.version) for one in there] == [
        (tmp_path / one.image_id.removeprefix("p/")).read_bytes()
        if "\u0301" not in one.uri and "é" not in one.image_id
        else (tmp_path / "e\u0301.jpg").read_bytes()
        for one in there
    ]
    assert all(time.time() - 3600 < one.modified <= time.time() + 1 for one in there)


def test_keys_that_no_disk_has(object_root: ObjectPath) -> None:
    odd = ["a//b.jpg", "/c.jpg", "folder.jpg/", "n" * 1000 + ".jpg", "d.jpg/e.jpg", "d.jpg", "../up.jpg", "f/../g.jpg"]
    put(object_root / "a//b.txt", b"beside it")
    for name in odd:
        put(object_root / name, PHOTO)

    found, _ = listing(object_root)

    assert sorted(one.image_id for one in found) == ["/c.jpg", "a//b.jpg", "d.jpg", "d.jpg/e.jpg", "n" * 1000 + ".jpg"]
    source = FolderSource(path=object_root)
    assert [source.read(one.uri, one.version) for one in found] == [PHOTO] * 5
    (one,) = (one for one in found if one.sidecars)
    assert source.read_sidecar(one.uri, *one.sidecars.split(":")) == b"beside it"


def test_what_builds_made_is_left_alone(object_root: ObjectPath) -> None:
    for name in ("a.jpg", "crops/b.jpg", "crops2/c.jpg", "z/d.jpg"):
        put(object_root / name, PHOTO)
    elsewhere = ObjectPath("s3://another/crops2")

    found, _ = listing(object_root, skip=(object_root / "crops", elsewhere, Path("/crops2")))

    assert sorted(one.image_id for one in found) == ["a.jpg", "crops2/c.jpg", "z/d.jpg"]
    assert listing(object_root, skip=(object_root,))[0] == []


def test_thousands_of_objects_are_listed_page_by_page_and_their_headers_read_in_a_request_each(
    object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    bucket, _, key = object_root.url.removeprefix("s3://").partition("/")
    for number in range(2500):  # where the server keeps them: requests take longer
        s3_backends["123456789012"]["aws"].put_object(bucket, f"{key}/{number % 7}/{number:05d}.jpg", PHOTO)
    object_proxy.forget()

    found, _ = listing(object_root)
    assert len({one.image_id for one in found}) == len(found) == 2500
    assert len(object_proxy.requests) == 3

    some = FolderSource(path=object_root / "3")
    files = [("a", one.uri, one.version) for one in some.list_images(Counter())]
    object_proxy.forget()
    assert {(one.width, one.height) for one in read_headers(1, ImageSettings(), {"a": some}, files)} == {(20, 10)}  # type: ignore[union-attr]
    assert len(object_proxy.requests) == len(gets(object_proxy)) == len(files) == 357


def test_of_a_long_header_only_the_rest_is_read_in_larger_parts(
    object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    plain = jpeg(200, 100)
    comment = b"\xff\xfe\xff\xff" + bytes(65533)
    put(object_root / "long.jpg", plain[:2] + comment * 3 + plain[2:] + bytes(1 << 22))
    put(object_root / "short.jpg", plain + bytes(1 << 22))
    put(object_root / "a.png", encoded(photo(30, 10), "PNG"))
    put(object_root / "empty.jpg", b"")
    put(object_root / "text.jpg", hostile()["text"][1])
    object_proxy.forget()

    found = headers(object_root)

    sizes = {name: (one.width, one.height) for name, one in found.items() if not isinstance(one, tuple)}
    assert sizes == {"long.jpg": (200, 100), "short.jpg": (200, 100), "a.png": (30, 10)}
    assert found["empty.jpg"] == (DropReason.EMPTY_FILE, "the file is empty")
    assert found["text.jpg"][0] == DropReason.UNSUPPORTED_FORMAT  # type: ignore[index]
    asked = Counter(target.rpartition("/")[2] for target in gets(object_proxy))
    assert asked["short.jpg"] == 1
    assert asked["long.jpg"] == 3
    assert asked["a.png"] == asked["text.jpg"] == 2  # here, and by the worker that decodes
    assert object_proxy.received < 3 << 19


def test_an_object_that_changed_or_is_gone_is_told_by_its_etag(
    object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        put(object_root / name, PHOTO)
    put(object_root / "a.txt", b"text")
    found, _ = listing(object_root)
    put(object_root / "a.jpg", PHOTO[:-1] + b"x")  # as large as it was
    put(object_root / "b.jpg", PHOTO)  # the same again, at another time
    (object_root / "c.jpg").remove()

    assert lost(object_root, found[0]) == (DropReason.SOURCE_CHANGED, "changed after the scan")
    assert FolderSource(path=object_root).read(found[1].uri, found[1].version) == PHOTO
    assert lost(object_root, found[2]) == (DropReason.SOURCE_CHANGED, "removed after the scan")
    files = [("a", one.uri, one.version) for one in found]
    seen = list(read_headers(1, ImageSettings(), {"a": FolderSource(path=object_root)}, files))
    assert seen[0] == (DropReason.SOURCE_CHANGED, "changed after the scan")
    assert seen[2] == (DropReason.SOURCE_CHANGED, "removed after the scan")
    assert [one.version for one in listing(object_root)[0]][1] == found[1].version

    source, beside = FolderSource(path=object_root), found[0].sidecars.partition(":")[2]
    put(object_root / "a.txt", b"TEXT")
    with pytest.raises(OSError, match="changed after the scan"):
        source.read_sidecar("a.jpg", "txt", beside)
    (object_root / "a.txt").remove()
    assert source.read_sidecar("a.jpg", "txt", beside) is None


def test_an_object_of_several_parts_has_a_version_as_any(object_root: ObjectPath) -> None:
    store, (bucket, _, key) = object_root.store, (object_root / "a.jpg").url.removeprefix("s3://").partition("/")
    upload = {"Bucket": bucket, "Key": key, "UploadId": ""}
    upload["UploadId"] = store.call_s3("create_multipart_upload", Bucket=bucket, Key=key)["UploadId"]
    part = store.call_s3("upload_part", **upload, PartNumber=1, Body=PHOTO)
    store.call_s3(
        "complete_multipart_upload", **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )

    ((one,), _) = listing(object_root)

    assert one.version.startswith(f"{len(PHOTO)}-")
    assert one.version.endswith("-1")
    assert FolderSource(path=object_root).read(one.uri, one.version) == PHOTO


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "error", "status": 403}, "403|Forbidden|denied|told to"),
        ({"kind": "error", "status": 403, "code": "AccessDenied"}, "told to"),
        ({"kind": "error", "status": 403, "code": "InvalidObjectState"}, "told to"),
        ({"kind": "cut"}, "payload|complete|closed|reset|[Cc]onnect"),
        ({"kind": "shorten"}, r"^\d+ bytes came where \d+ were asked for, from byte 0 on$|checksum"),
    ],
)
def test_an_object_that_cannot_be_read_is_a_drop_and_read_again_when_it_can_be(
    object_root: ObjectPath, object_proxy: ObjectProxy, fault: dict[str, Any], reason: str
) -> None:
    put(object_root / "a.jpg", PHOTO)
    ((one,), _) = listing(object_root)
    object_proxy.fail(**fault, target="a.jpg", times=1000)

    found, detail = lost(object_root, one)

    assert found == DropReason.UNREADABLE
    assert "\n" not in detail
    assert re.search(reason, detail), detail
    object_proxy.forget()
    assert FolderSource(path=object_root).read(one.uri, one.version) == PHOTO


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "error", "status": 500}, "told to"),
        ({"kind": "error", "status": 503, "code": "SlowDown"}, "told to"),
        ({"kind": "error", "status": 400, "code": "ExpiredToken"}, "told to"),
        ({"kind": "error", "status": 400, "code": "InvalidToken"}, "told to"),
        ({"kind": "error", "status": 403, "code": "InvalidAccessKeyId"}, "told to"),
        ({"kind": "error", "status": 403, "code": "SignatureDoesNotMatch"}, "told to"),
        ({"kind": "error", "status": 404, "code": "NoSuchBucket"}, "there is no bucket test-"),
        ({"kind": "reset"}, "closed|reset|[Cc]onnect|disconnect"),
    ],
)
def test_a_store_that_gives_no_object_is_no_fault_of_an_image(
    object_root: ObjectPath, object_proxy: ObjectProxy, fault: dict[str, Any], said: str
) -> None:
    put(object_root / "a.jpg", PHOTO)
    put(object_root / "a.txt", b"text")
    ((one,), _) = listing(object_root)
    source = FolderSource(path=object_root)
    object_proxy.fail(**fault, target=r"a\.(jpg|txt)", times=1000)

    line = rf"^source {object_root}/a\.(jpg|txt): cannot be read: .*({said}).*$"
    with pytest.raises(SourceError, match=line):
        source.read(one.uri, one.version)
    with pytest.raises(SourceError, match=line):
        source.read_sidecar(one.uri, *one.sidecars.split(":"))
    with pytest.raises(SourceError, match=line):
        list(read_headers(1, ImageSettings(), {"a": source}, [("a", one.uri, one.version)]))


def test_an_object_that_is_refused_is_a_drop_and_a_hundred_in_a_row_are_no_matter_of_the_objects(
    object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    for name in ("a.jpg", "b.jpg"):
        put(object_root / name, PHOTO)
    (refused, other), _ = listing(object_root)
    object_proxy.fail("error", target="a.jpg", times=1000, status=403, code="AccessDenied")

    for _ in range(2):
        for _ in range(MOST_REFUSED - 1):
            assert lost(object_root, refused) == (DropReason.UNREADABLE, "told to")
        assert FolderSource(path=object_root).read(other.uri, other.version) == PHOTO  # and it begins anew
    for _ in range(MOST_REFUSED - 1):
        lost(object_root, refused)
    with pytest.raises(SourceError, match=r"/a\.jpg: cannot be read: told to, as of the 99 objects before it; "):
        FolderSource(path=object_root).read(refused.uri, refused.version)
    assert lost(object_root, refused) == (DropReason.UNREADABLE, "told to")


def test_a_store_that_is_slow_costs_no_header(
    object_root: ObjectPath, object_proxy: ObjectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(object_root / "a.png", encoded(photo(30, 10), "PNG"))
    object_proxy.fail("delay", target=r"a\.png", times=10, seconds=3)
    source = FolderSource(path=object_root)
    files = [("a", one.uri, one.version) for one in source.list_images(Counter())]

    (found,) = read_headers(1, ImageSettings(timeout_seconds=2), {"a": source}, files)
    assert (found.width, found.height) == (30, 10)  # type: ignore[union-attr]

    monkeypatch.setattr(workers, "READ_SECONDS", 2)
    (found,) = read_headers(1, ImageSettings(timeout_seconds=2), {"a": source}, files)
    assert found == (DropReason.UNREADABLE, "took longer than 2 seconds to read")


def test_a_key_that_the_library_cuts_is_said_to_be_one(object_root: ObjectPath) -> None:
    put(object_root / "a?versionId=5.jpg", PHOTO)

    ((one,), _) = listing(object_root)

    assert one.image_id == "a?versionId=5.jpg"
    assert one.fault == (DropReason.UNREADABLE, "?versionId= in its name means another object to s3fs")


def test_a_store_without_an_order_is_put_in_one() -> None:
    root = ObjectPath(f"memory://{uuid.uuid4().hex}/data")
    for name in ("b.jpg", "a.jpg", "c/d.jpg", "c.jpg"):
        root.store.pipe_file((root / name).url.removeprefix("memory://"), PHOTO)

    found, _ = listing(root)

    assert [one.image_id for one in found] == ["a.jpg", "b.jpg", "c.jpg", "c/d.jpg"] or [
        one.image_id for one in found
    ] == ["c/d.jpg", "a.jpg", "b.jpg", "c.jpg"]
    assert BucketTree(root).make_look()("c.jpg").size == len(PHOTO)
    assert FolderSource(path=root).read(found[0].uri, found[0].version) == PHOTO


def test_faults_that_pass_are_not_noticed(object_root: ObjectPath, object_proxy: ObjectProxy) -> None:
    for number in range(8):
        put(object_root / f"{number}.jpg", PHOTO)
    for number, kind in enumerate(("error", "reset", "cut")):
        object_proxy.fail(kind, target=f"{number}.jpg")
    object_proxy.fail("error", target="list-type", status=503)

    assert [(one.width, one.height) for one in headers(object_root).values()] == [(20, 10)] * 8  # type: ignore[union-attr]
    assert all(fault.times == 0 for fault in object_proxy.faults)


@pytest.mark.parametrize("kind", ["error", "reset", "cut", "shorten"])
def test_a_listing_that_fails_on_its_second_page_is_a_line(
    object_root: ObjectPath, object_proxy: ObjectProxy, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        put(object_root / f"{number}.jpg", PHOTO)
    call = object_root.store.call_s3
    monkeypatch.setattr(object_root.store, "call_s3", lambda method, **said: call(method, **said, MaxKeys=2))
    assert len(listing(object_root)[0]) == 4
    object_proxy.fail(kind, target="continuation-token", times=1000)

    with pytest.raises(SourceError, match=rf"^source {object_root}: cannot be listed: .+") as caught:
        listing(object_root)

    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said_in_a_line(object_root: ObjectPath) -> None:
    with pytest.raises(SourceError, match=rf"^source {object_root}/no: there is nothing in it; path under "):
        listing(object_root / "no")
    with pytest.raises(
        SourceError, match=r"^source s3://no-such-bucket-here/a: .*: there is no bucket no-such-bucket-he"
    ):
        listing(ObjectPath("s3://no-such-bucket-here/a"))
    put(object_root / "folder/", b"")
    assert listing(object_root / "folder") == ([], Counter())


def test_a_person_names_an_object_by_its_url(object_root: ObjectPath) -> None:
    source = FolderSource(path=object_root)

    assert source.find_uri(f"{object_root}/a/b 100%.jpg") == "a/b 100%25.jpg"
    assert source.find_uri("a/b.jpg") is None
    assert source.find_uri(f"{object_root}2/b.jpg") is None


def test_answers_come_in_order_and_an_error_in_its_place(object_root: ObjectPath) -> None:
    def halve(number: int) -> float:
        time.sleep(0.01 * (number % 3))
        return 1 / (20 - number)

    answers = BucketTree(object_root).map(halve, range(30))

    assert [next(answers) for _ in range(20)] == [1 / (20 - number) for number in range(20)]
    with pytest.raises(ZeroDivisionError):
        next(answers)


def test_what_lies_beside_a_file_is_looked_up_in_one_listing_of_its_folder(
    object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    for name in ("data/rows", "data/a.jpg", "images/b.jpg", "images/sub/c.jpg"):
        put(object_root / name, PHOTO)
    tree = BucketTree(object_root / "data")
    look = tree.make_look()
    object_proxy.forget()

    places = [tree.beside("rows", other) for other in ("a.jpg", "../images/b.jpg", "./../images/x/../b.jpg")]
    assert places == ["a.jpg", "../images/b.jpg", "../images/b.jpg"]
    assert [look(place).size for place in places] == [len(PHOTO)] * 3
    for gone in ("no.jpg", "../images/sub", "../../../../../a.jpg", "/etc/a.jpg"):
        with pytest.raises(FileNotFoundError):
            look(tree.beside("rows", gone))
    assert len([target for _, target in object_proxy.requests if str(object_root).rpartition("/")[2] in target]) <= 4
    assert (tree.is_folder("rows"), BucketTree(object_root).is_folder("images")) == (False, True)

    object_proxy.fail("error", target="list-type", times=1000)
    with pytest.raises(SourceError, match="cannot be listed"):
        tree.make_look()("a.jpg")
