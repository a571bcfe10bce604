import errno
import io
import os
import pickle
import signal
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_assets.errors import DamagedError, DatasetError, StorageError
from dataset_assets.storage import store, upload
from dataset_assets.storage.atomic import remove, sweep, write_bytes, writing
from dataset_assets.storage.location import find_files, look_at, read_part
from dataset_assets.storage.objects import BLOCK, ObjectPath, find_version
from dataset_assets.storage.parquet import find_table, open_table, read_table, write_table
from dataset_assets.storage.store import ObjectError, OutageError
from dataset_assets_tests import children
from dataset_assets_tests.fakes.object_proxy import ObjectProxy
from dataset_assets_tests.objects import put

LARGE = bytes(range(256)) * (2 * BLOCK // 256) + b"and a little more"
KILLED = """
import os, signal, sys
from dataset_assets.storage.atomic import writing
from dataset_assets.storage.objects import BLOCK, ObjectPath

with writing(ObjectPath(sys.argv[1])) as file:
    for _ in range(6):
        file.write(bytes(BLOCK))
    print("sent", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def uploads(object_root: ObjectPath) -> list[str]:
    """Return the keys of uploads that were begun and neither finished nor given up."""
    found = object_root.store.call_s3("list_multipart_uploads", Bucket=object_root.url.split("/")[2])
    return [upload["Key"] for upload in found.get("Uploads") or ()]


@pytest.mark.parametrize("data", [b"", b"x", LARGE[:BLOCK], LARGE[: BLOCK + 1], LARGE], ids=len)
def test_what_is_written_is_read(object_root: ObjectPath, data: bytes) -> None:
    path = object_root / "a" / "b.bin"

    write_bytes(path, data)

    assert path.read_bytes() == data
    assert path.stat().st_size == len(data)
    assert uploads(object_root) == []


def test_an_object_is_replaced(object_root: ObjectPath) -> None:
    write_bytes(object_root / "one", b"old")
    before = (object_root / "one").stat()

    write_bytes(object_root / "one", b"new")

    assert (object_root / "one").read_bytes() == b"new"
    assert (object_root / "one").stat() != before


def fail_after(path: ObjectPath, data: bytes) -> None:
    with writing(path) as file:
        file.write(data)
        raise RuntimeError("in the middle")


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_nothing_is_there_where_the_block_fails(object_root: ObjectPath, size: int) -> None:
    with pytest.raises(RuntimeError, match="in the middle"):
        fail_after(object_root / "torn", LARGE[:size])

    assert find_files(object_root) == {}
    assert uploads(object_root) == []


def test_what_was_there_stays_where_the_block_fails(object_root: ObjectPath) -> None:
    write_bytes(object_root / "kept", b"old")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail_after(object_root / "kept", LARGE)

    assert (object_root / "kept").read_bytes() == b"old"


def test_a_killed_process_leaves_no_object(object_root: ObjectPath) -> None:
    with children.start(KILLED, object_root) as process:
        assert process.communicate(timeout=60)[0] == "sent\n"

    assert process.returncode == -signal.SIGKILL
    assert find_files(object_root) == {}


@pytest.mark.parametrize(("kind", "method"), [("error", "PUT"), ("reset", "PUT"), ("error", "POST"), ("reset", "HEAD")])
def test_a_request_that_fails_once_is_asked_again(
    object_root: ObjectPath, object_proxy: ObjectProxy, kind: str, method: str
) -> None:
    object_proxy.fail(kind, method)

    write_bytes(object_root / "one", LARGE)

    assert (object_root / "one").read_bytes() == LARGE
    assert [fault.times for fault in object_proxy.faults] == [0]


@pytest.mark.parametrize("data", [b"small", LARGE], ids=len)
def test_a_store_that_takes_nothing_is_an_error_that_names_the_object(
    object_root: ObjectPath, object_proxy: ObjectProxy, data: bytes
) -> None:
    object_proxy.fail("error", "PUT", times=1000)

    with pytest.raises(StorageError, match=rf"^cannot write {object_root}/one: .*told to"):
        write_bytes(object_root / "one", data)

    assert find_files(object_root) == {}
    assert uploads(object_root) == []


def test_an_upload_that_is_not_completed_makes_no_object(object_root: ObjectPath, object_proxy: ObjectProxy) -> None:
    object_proxy.fail("error", "POST", "uploadId=", times=1000)

    with pytest.raises(StorageError, match=r"cannot write .*/one: "):
        write_bytes(object_root / "one", LARGE)

    assert find_files(object_root) == {}
    assert uploads(object_root) == []


@pytest.mark.parametrize("kind", ["error", "reset", "cut"])
def test_a_read_that_fails_once_gives_the_same_bytes(
    object_root: ObjectPath, object_proxy: ObjectProxy, kind: str
) -> None:
    write_bytes(object_root / "one", LARGE)
    object_proxy.fail(kind, "GET", "one")

    assert (object_root / "one").read_bytes() == LARGE
    assert [fault.times for fault in object_proxy.faults] == [0]


def test_a_slow_answer_is_waited_for(object_root: ObjectPath, object_proxy: ObjectProxy) -> None:
    write_bytes(object_root / "one", b"slow")
    object_proxy.fail("delay", "GET", "one", seconds=0.3)

    assert (object_root / "one").read_bytes() == b"slow"


@pytest.mark.parametrize("kind", ["error", "reset", "cut", "shorten"])
def test_a_read_that_fails_every_time_is_an_error_that_names_the_object(
    object_root: ObjectPath, object_proxy: ObjectProxy, kind: str
) -> None:
    write_bytes(object_root / "one", LARGE)
    object_proxy.fail(kind, "GET", "one", times=1000)

    with pytest.raises(ObjectError) as error:
        (object_root / "one").read_bytes()

    assert error.value.filename == f"{object_root}/one"
    assert str(error.value).startswith(f"{object_root}/one: ")
    assert isinstance(error.value, DatasetError)


def test_an_object_that_is_replaced_while_it_is_read_is_not_read_as_a_mixture(object_root: ObjectPath) -> None:
    write_bytes(object_root / "one", LARGE * 3)
    with (object_root / "one").open("rb") as file:
        file.read(10)
        write_bytes(object_root / "one", bytes(len(LARGE) * 3))

        file.seek(5 * BLOCK)
        with pytest.raises(ObjectError):
            file.read(10)


def test_what_is_not_there_is_a_missing_file(object_root: ObjectPath) -> None:
    write_bytes(object_root / "folder" / "one", b"")
    for ask in (ObjectPath.stat, ObjectPath.read_bytes, lambda path: path.open("rb"), ObjectPath.remove):
        for name in ("none", "folder"):
            with pytest.raises(FileNotFoundError) as error:
                ask(object_root / name)
            assert error.value.strerror == os.strerror(errno.ENOENT)

    assert [(object_root / name).exists() for name in ("none", "folder", "folder/one")] == [False, True, True]
    assert [(object_root / name).is_file() for name in ("none", "folder", "folder/one")] == [False, False, True]
    assert [(object_root / name).is_dir() for name in ("none", "folder", "folder/one")] == [False, True, False]


def test_objects_are_found_by_their_names(object_root: ObjectPath) -> None:
    names = ("a/1.tar", "a/2.tar", "a/2.json", "b/c/3.tar", "top.tar", "b [x].tar", "ü/4.tar")
    for name in names:
        write_bytes(object_root / name, b"")

    def found(pattern: str) -> list[str]:
        return [path.relative_to(object_root).as_posix() for path in object_root.glob(pattern)]

    assert list(find_files(object_root)) == sorted(names)
    assert found("*/*.tar") == ["a/1.tar", "a/2.tar", "ü/4.tar"]
    assert found("a/[!1]*.tar") == ["a/2.tar"]
    assert found("*.tar") == ["b [x].tar", "top.tar"]
    assert found("top.tar") == ["top.tar"]
    assert found("none.tar") == []
    assert [path.name for path in object_root.iterdir()] == sorted({name.partition("/")[0] for name in names})
    assert list(find_files(object_root / "none")) == []


def test_nothing_is_in_an_object(object_root: ObjectPath) -> None:
    write_bytes(object_root / "one", b"x")
    put(object_root / "folder/", b"")
    write_bytes(object_root / "folder" / "two", b"")

    assert (object_root / "one").list() == {}
    assert find_files(object_root / "one") == {}
    assert list((object_root / "folder").iterdir()) == [object_root / "folder" / "two"]


@pytest.mark.parametrize("data", [b"", b"0123"])
def test_a_part_behind_the_end_is_nothing(object_root: ObjectPath, data: bytes) -> None:
    write_bytes(object_root / "one", data)

    assert read_part(object_root / "one", 20, 5) == b""
    assert read_part(object_root / "one", 1, 9) == data[1:]
    with pytest.raises(FileNotFoundError):
        read_part(object_root / "none", 20, 5)


def test_blocks_grow_so_that_the_parts_of_an_object_suffice(
    object_root: ObjectPath, object_proxy: ObjectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "_GROWTH", 1)

    write_bytes(object_root / "one", LARGE * 2)

    assert (object_root / "one").read_bytes() == LARGE * 2
    assert sum("partNumber" in target for _, target in object_proxy.requests) == 3  # of 8, 16 and 8 MiB and a little


def test_what_the_library_does_not_take_from_the_environment_is_said_in_a_line(
    object_root: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9")
    store._open_store.cache_clear()
    try:
        for ask in (ObjectPath.stat, ObjectPath.check, ObjectPath.read_bytes, lambda path: path.list()):
            with pytest.raises(OutageError, match=r"^s3://: Invalid endpoint: 127\.0\.0\.1:9$"):
                ask(object_root / "one")
        with pytest.raises(StorageError, match=r"^cannot write .*/one: Invalid endpoint"):
            write_bytes(object_root / "one", b"")
    finally:
        store._open_store.cache_clear()


def test_what_is_known_of_objects_is_found_whatever_it_is_called() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert find_version({"LastModified": moment, "ETag": '"ab"'}) == (moment.timestamp(), "ab")
    assert find_version({"updated": "2026-01-02T03:04:05Z", "generation": 17}) == (moment.timestamp(), "17")
    assert find_version({"last_modified": moment, "content_md5": "cd=="}) == (moment.timestamp(), "cd==")
    assert find_version({"created": 7.5}) == (7.5, "7.5")
    assert find_version({}) == (0.0, "0.0")


def test_a_place_has_the_parts_of_a_path() -> None:
    path = ObjectPath("s3://bucket/data") / "a/b.tar"

    assert (str(path), path.name, str(path.parent)) == ("s3://bucket/data/a/b.tar", "b.tar", "s3://bucket/data/a")
    assert str(path.with_suffix(".json")) == "s3://bucket/data/a/b.json"
    assert path.relative_to(ObjectPath("s3://bucket/data")).as_posix() == "a/b.tar"
    assert not path.is_relative_to(ObjectPath("s3://bucket/dat"))
    with pytest.raises(ValueError, match="not below"):
        path.relative_to(ObjectPath("s3://other"))
    assert pickle.loads(pickle.dumps(path)) == path


def test_an_object_is_removed(object_root: ObjectPath) -> None:
    write_bytes(object_root / "one", b"")

    assert remove(object_root / "one")
    assert not remove(object_root / "one")
    assert find_files(object_root) == {}


def test_sweeping_leaves_objects_alone(object_root: ObjectPath) -> None:
    write_bytes(object_root / ".one.1.writing", b"")

    assert sweep([object_root]) == 0
    assert list(find_files(object_root)) == [".one.1.writing"]


def test_a_part_is_one_request(object_root: ObjectPath, object_proxy: ObjectProxy) -> None:
    write_bytes(object_root / "one", LARGE)
    object_proxy.requests.clear()

    assert read_part(object_root / "one", 300, 20) == LARGE[300:320]
    assert [method for method, _ in object_proxy.requests] == ["GET"]
    assert read_part(object_root / "one", len(LARGE) - 3, 20) == LARGE[-3:]


def test_many_files_are_looked_at_with_a_request_for_a_folder(
    object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    paths = [f"{folder}/{number:06d}" for folder in "ab" for number in range(30)]
    for path in paths:
        write_bytes(object_root / path, path.encode())
    stamps = {path: (object_root / path).stat() for path in paths}
    object_proxy.requests.clear()

    look = look_at(object_root, paths)

    assert {path: look(path) for path in paths} == stamps
    assert [method for method, _ in object_proxy.requests] == ["GET", "GET"]


def test_what_a_listing_does_not_show_yet_is_asked_for(object_root: ObjectPath, object_proxy: ObjectProxy) -> None:
    for name in "123":
        write_bytes(object_root / name, b"x")
    object_proxy.fail("hide", "GET", "list-type", key="<Key>some/data/2<")

    look = look_at(object_root, ["1", "2", "3", "4"])

    assert look("2").st_size == 1
    with pytest.raises(FileNotFoundError):
        look("4")


def test_a_store_that_does_not_answer_is_no_missing_file(object_root: ObjectPath, object_proxy: ObjectProxy) -> None:
    object_proxy.fail("error", "GET", times=1000)
    object_proxy.fail("error", "HEAD", times=1000)

    for ask in (
        lambda: look_at(object_root, ["1", "2", "3"]),
        lambda: look_at(object_root, [])("1"),
        (object_root / "1").is_file,
    ):
        with pytest.raises(StorageError) as error:
            ask()
        assert not isinstance(error.value, FileNotFoundError)


TABLE = pa.table({"number": range(60_000), "data": [os.urandom(200) for _ in range(60_000)]})


def test_a_table_is_written_and_read(object_root: ObjectPath) -> None:
    write_table(object_root / "table.parquet", TABLE)

    assert read_table(object_root / "table.parquet") == TABLE
    assert read_table(object_root / "table.parquet", ["number"]) == TABLE.select(["number"])


def test_a_few_columns_of_a_large_table_are_a_few_of_its_bytes(
    object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    write_table(object_root / "table.parquet", TABLE)
    size = (object_root / "table.parquet").stat().st_size
    assert size > BLOCK
    object_proxy.received = 0

    assert read_table(object_root / "table.parquet", ["number"]) == TABLE.select(["number"])
    assert object_proxy.received < size / 10


@pytest.mark.parametrize("whole", [False, True])
def test_a_table_that_is_cut_is_damaged(object_root: ObjectPath, *, whole: bool) -> None:
    sink = io.BytesIO()
    pq.write_table(TABLE, sink)
    write_bytes(object_root / "table.parquet", sink.getvalue()[:-100])

    with (
        pytest.raises(DamagedError, match=rf"^{object_root}/table.parquet is damaged"),
        open_table(object_root / "table.parquet", whole=whole),
    ):
        pass


@pytest.mark.parametrize("whole", [False, True])
def test_a_table_that_cannot_be_fetched_is_not_damaged(
    object_root: ObjectPath, object_proxy: ObjectProxy, *, whole: bool
) -> None:
    write_table(object_root / "table.parquet", TABLE)

    def read() -> None:
        with open_table(object_root / "table.parquet", whole=whole) as file:
            object_proxy.fail("error", "GET", times=1000)
            file.read(["data"])

    with pytest.raises(StorageError, match=rf"^cannot read {object_root}/table.parquet: ") as error:
        read()

    assert not isinstance(error.value, DamagedError)


def test_a_table_is_given_up_where_it_is_damaged_or_gone_and_not_where_it_cannot_be_fetched(
    object_root: ObjectPath, object_proxy: ObjectProxy
) -> None:
    write_table(object_root / "whole", TABLE.slice(0, 9))
    write_bytes(object_root / "cut", (object_root / "whole").read_bytes()[:-9])

    assert find_table(object_root / "whole") == TABLE.slice(0, 9)
    assert find_table(object_root / "cut") is None
    assert find_table(object_root / "gone") is None
    object_proxy.fail("error", "GET", "whole", times=1000)
    with pytest.raises(StorageError, match=r"^cannot read .*whole: told to$"):
        find_table(object_root / "whole")
