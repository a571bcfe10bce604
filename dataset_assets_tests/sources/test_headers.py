import os
import threading
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from dataset_assets.errors import DropReason, SourceError
from dataset_assets.records import Header
from dataset_assets.settings import ImageSettings
from dataset_assets.sources.folder import FolderSource
from dataset_assets.sources.headers import Found, read_headers
from dataset_assets.storage import store
from dataset_assets.storage.objects import ObjectPath
from dataset_assets_tests.fakes.object_proxy import ObjectProxy
from dataset_assets_tests.fakes.silent_server import SilentServer
from dataset_assets_tests.photos import encoded, jpeg, photo

READERS: set[int] = set()


class Distant(FolderSource):
    """A folder on a disk that has to be waited for; READERS are the threads that read from it."""

    def open(self, uri: str, version: str) -> BinaryIO:
        time.sleep(0.002)
        READERS.add(threading.get_ident())
        return super().open(uri, version)


def read(source: FolderSource, names: list[str]) -> list[Found]:
    files = [("a", name, "") for name in names]
    return list(read_headers(2, ImageSettings(), {"a": source}, files))


def plain(width: int, height: int, name: str = "JPEG") -> Header:
    return Header(width=width, height=height, orientation=1, format=name)


def test_ordinary_and_odd_files_come_in_the_order_in_which_they_were_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(20, 10))
    (tmp_path / "b.png").write_bytes(encoded(photo(30, 10), "PNG"))
    (tmp_path / "c.jpg").write_bytes(b"")
    (tmp_path / "d.jpg").write_bytes(jpeg(40, 10))
    order = ["d.jpg", "b.png", "a.jpg", "c.jpg", "no.jpg", "a.jpg"]

    found = read(FolderSource(path=tmp_path), order * 1000)

    assert found[:3] == [plain(40, 10), plain(30, 10, "PNG"), plain(20, 10)]
    assert found[3] == (DropReason.EMPTY_FILE, "the file is empty")
    assert found[4] == (DropReason.UNREADABLE, "No such file or directory")
    assert found == found[:6] * 1000


def test_no_worker_is_started_for_ordinary_files(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(20, 10))
    before = {path.name for path in Path("/proc/self/task").iterdir()}

    found = read_headers(2, ImageSettings(), {"a": FolderSource(path=tmp_path)}, [("a", "a.jpg", "")] * 100)

    assert list(found) == [plain(20, 10)] * 100
    assert {path.name for path in Path("/proc/self/task").iterdir()} <= before


def test_files_of_a_disk_that_is_slow_are_read_by_several_threads(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(1, 400)]
    for number, name in enumerate(names, 1):
        (tmp_path / name).write_bytes(jpeg(number, 1))
    READERS.clear()

    assert read(Distant(path=tmp_path), names) == [plain(number, 1) for number in range(1, 400)]
    assert len(READERS) > 2


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")

    assert read(FolderSource(path=tmp_path), ["a.jpg"])[0] != plain(1, 1)


def test_a_store_that_takes_requests_and_never_answers_is_no_matter_of_its_objects(
    object_proxy: ObjectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(store._LIMITS, "read_timeout", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    files = [("a", f"{number}.jpg", "10-tag") for number in range(100)]
    source = FolderSource(path=ObjectPath("s3://silent/raw"))
    store._open_store.cache_clear()
    try:
        with SilentServer() as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            with pytest.raises(
                SourceError, match=r"^source s3://silent/raw/\d+\.jpg: cannot be read: Read timeout on "
            ):
                list(read_headers(1, ImageSettings(), {"a": source}, files))
            assert server.connections <= len(files)
    finally:
        store._open_store.cache_clear()
