import errno
import socket
import sys
from types import ModuleType
from typing import Any

import botocore.exceptions as boto  # type: ignore[import-untyped]
import pytest

from dataset_assets.storage.faults import find_status, is_late, is_of_store, say
from dataset_assets.storage.store import ObjectError, OutageError, calling


def answer(status: int, code: str = "Said") -> boto.ClientError:
    said: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(said, "GetObject")


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        answer(500),
        answer(503, "SlowDown"),
        answer(429),
        answer(400, "ExpiredToken"),
        answer(403, "InvalidAccessKeyId"),
        answer(403, "SignatureDoesNotMatch"),
        answer(404, "NoSuchBucket"),
        caused(PermissionError(errno.EACCES, "no"), answer(403, "RequestTimeTooSkewed")),
        boto.NoCredentialsError(),
        boto.EndpointConnectionError(endpoint_url="http://127.0.0.1:9"),
        boto.ConnectTimeoutError(endpoint_url="http://127.0.0.1:9"),
        ConnectionRefusedError(errno.ECONNREFUSED, "no"),
        socket.gaierror(socket.EAI_NONAME, "no"),
    ],
    ids=repr,
)
def test_some_errors_are_of_the_whole_store(error: BaseException) -> None:
    assert is_of_store(error)
    with pytest.raises(OutageError), calling("s3://bucket/one"):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        answer(403, "AccessDenied"),
        answer(403, "InvalidObjectState"),
        answer(404, "NoSuchKey"),
        answer(412, "PreconditionFailed"),
        caused(PermissionError(errno.EACCES, "no"), answer(403, "403")),
        boto.ReadTimeoutError(endpoint_url="http://127.0.0.1:9"),
        boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        TimeoutError(),
        OSError(errno.EIO, "no"),
    ],
    ids=repr,
)
def test_some_errors_are_of_one_object(error: BaseException) -> None:
    assert not is_of_store(error)
    with pytest.raises(ObjectError) as caught, calling("s3://bucket/one"):
        raise error
    assert not isinstance(caught.value, OutageError)


@pytest.mark.parametrize(
    ("module", "name", "facts", "whole"),
    [
        ("gcsfs.retry", "HttpError", {"code": 503}, True),
        ("gcsfs.retry", "HttpError", {"code": "403"}, False),
        ("google.auth.exceptions", "GoogleAuthError", {}, True),
        ("azure.core.exceptions", "AzureError", {"status_code": 500}, True),
        ("azure.core.exceptions", "AzureError", {"status_code": 403}, False),
    ],
)
def test_errors_of_other_stores_are_lines(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, facts: dict[str, Any], *, whole: bool
) -> None:
    kind = type(name, (Exception,), facts)
    library = ModuleType(module)
    setattr(library, name, kind)
    monkeypatch.setitem(sys.modules, module, library)

    with pytest.raises(ObjectError, match=r"^gs://bucket/one: it says why$") as caught, calling("gs://bucket/one"):
        raise kind("it says\nwhy")

    assert isinstance(caught.value, OutageError) == whole


def test_a_defect_stays_itself() -> None:
    with pytest.raises(ZeroDivisionError), calling("s3://bucket/one"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "late"),
    [
        (boto.ReadTimeoutError(endpoint_url="http://127.0.0.1:9"), True),
        (caused(OSError(errno.EIO, "no"), boto.ReadTimeoutError(endpoint_url="http://127.0.0.1:9")), True),
        (TimeoutError(), True),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), False),
        (boto.HTTPClientError(error="reset"), False),
        (answer(408), False),
    ],
    ids=repr,
)
def test_an_answer_that_never_came_is_told_from_one_that_is_bad(error: BaseException, *, late: bool) -> None:
    assert is_late(error) == late


def test_the_status_of_an_answer_is_found_in_what_it_came_of() -> None:
    assert find_status(caused(OSError(errno.EINVAL, "no"), answer(416))) == 416
    assert find_status(OSError(errno.EINVAL, "no")) == 0


def test_an_error_is_said_in_a_line() -> None:
    assert say(OSError(errno.EIO, "two\nlines")) == "two lines"
    assert say(TimeoutError()) == "TimeoutError"
