import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions as boto  # type: ignore[import-untyped]
import pytest

from dataset_assets.storage import store as module
from dataset_assets.storage.objects import ObjectPath
from dataset_assets.storage.store import MOST_LATE, ObjectError, OutageError, calling
from dataset_assets_tests.fakes.object_proxy import ObjectProxy
from dataset_assets_tests.fakes.silent_server import SilentServer
from dataset_assets_tests.objects import put

LATE = boto.ReadTimeoutError(endpoint_url="http://127.0.0.1:9")


@pytest.fixture
def url() -> Iterator[str]:
    yield "s3://late/one"
    module._late.clear()


def ask(url: str, error: BaseException | None = None) -> type[ObjectError]:
    with pytest.raises(ObjectError) as caught, calling(url):
        raise error or LATE
    return caught.type


def test_a_request_that_is_never_answered_is_tried_as_often_as_is_said_and_no_more(
    object_proxy: ObjectProxy, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setitem(module._LIMITS, "read_timeout", 1)
    with SilentServer() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
        store: Any = module._open_store.__wrapped__("s3", os.getpid())
        with (
            pytest.raises(ObjectError, match=r"^s3://late/one: Read timeout on endpoint URL: ") as caught,
            calling(url),
            store.open("late/one", "rb", cache_type="none", size=10) as file,
        ):
            file.read(10)

        assert not isinstance(caught.value, OutageError)
        assert server.connections == 2


def test_threads_that_ask_at_once_share_one_store(object_root: ObjectPath) -> None:
    module._open_store.cache_clear()

    with ThreadPoolExecutor(16) as threads:
        stores = list(threads.map(lambda _: object_root.store, range(64)))

    assert len({id(store) for store in stores}) == 1


def test_bytes_that_end_early_are_asked_for_again(object_root: ObjectPath, object_proxy: ObjectProxy) -> None:
    put(object_root / "one", b"0123456789")
    object_proxy.fail("cut", target="one", times=4)

    assert (object_root / "one").read_part(2, 3) == b"234"
    assert object_proxy.faults[0].times == 0


def test_requests_that_are_never_answered_one_after_the_other_are_no_matter_of_the_objects(url: str) -> None:
    kinds = [ask(f"{url}/{number}") for number in range(2 * MOST_LATE)]

    assert kinds == ([ObjectError] * (MOST_LATE - 1) + [OutageError]) * 2
    assert ask("s3://other/one") == ObjectError


@pytest.mark.parametrize("answer", [None, FileNotFoundError(errno.ENOENT, "no"), OSError(errno.EIO, "no")], ids=repr)
def test_any_answer_begins_the_count_anew(url: str, answer: OSError | None) -> None:
    for _ in range(2):
        for _ in range(MOST_LATE - 1):
            assert ask(url) == ObjectError
        if answer is None:
            with calling(url):
                pass
        else:
            with pytest.raises(OSError, match=r"s3://late/one"), calling(url):
                raise answer


def test_what_a_store_did_is_one_line_that_begins_with_its_place() -> None:
    error = ObjectError(errno.EIO, "it did not answer", "s3://bucket/one")

    assert error.lines == ("s3://bucket/one: it did not answer",)
    assert str(error) == error.lines[0]
