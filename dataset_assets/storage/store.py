"""The file systems of object stores: which there is for a URL, how it is opened, and what its errors become.

What an error means is faults.py's. Retries, timeouts and credentials are those of its library, which is imported when
the first object is touched.
"""

import errno
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from dataset_assets.errors import StorageError
from dataset_assets.storage.faults import find_code, is_late, is_of_store, list_foreign, say

CONNECTIONS = 32  # of a process with a store, at a time

_S3 = ("s3", "s3a")
_KNOWN = (*_S3, "gs", "gcs", "abfs", "az", "memory")  # kinds of URL; the last is of this process, for tests
_EXAMPLE = "a URL such as s3://bucket/folder"

# Seconds; and how often botocore tries a request again, with longer and longer waits: 6 tries of a store that takes
# requests and never answers take 6 to 7 minutes, less than READ_SECONDS of images/workers.py. The environment is first.
_LIMITS = {"connect_timeout": 10, "read_timeout": 60, "max_pool_connections": CONNECTIONS}
_RETRIES = {"mode": "standard", "max_attempts": 5}

MOST_LATE = 4  # requests to a bucket, one after the other, that are never answered: then it is no matter of the objects

_opening = Lock()
_late: Counter[str] = Counter()  # by this process, since the bucket last answered


class ObjectError(OSError, StorageError):
    """A store did not do what it was asked for; `strerror` says why.

    It is an OSError for those who say what they could not do then, and where nobody does it is one line by itself.
    """

    @property
    def lines(self) -> tuple[str, ...]:
        """The message in its one line: the arguments are an OSError's."""
        return (f"{self.filename}: {self.strerror}",)

    def __str__(self) -> str:
        return self.lines[0]


class _LateError(OSError):
    """An answer that was waited for in vain. No TimeoutError: s3fs would try that again."""


class OutageError(ObjectError):
    """The store does not answer, or does not answer us: it would say the same of every object in it."""


def is_url(text: str) -> bool:
    """Return whether a text is a URL rather than a path."""
    return "://" in text


def find_fault(url: str) -> str:
    """Return why a URL cannot name a folder of objects, "" where it can. What it says shows no secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "this is no URL"
    if "@" in parts.netloc:
        return "a URL without user and password: these come from the environment"
    protocol = url.partition("://")[0]
    if protocol not in _KNOWN:
        return f"{_EXAMPLE}, of {', '.join(_KNOWN[:-1])} or {_KNOWN[-1]}, not {protocol}"
    if not parts.netloc or parts.query or parts.fragment:
        return _EXAMPLE
    return ""


def open_store(protocol: str, process: int) -> Any:
    """Return the file system of a kind of URL; each process has its own, and all its threads share it.

    Raises ObjectError where there is none.
    """
    with _opening:  # else each of many threads that ask at once would make one, which takes a tenth of a second
        return _open_store(protocol, process)


@lru_cache
def _open_store(protocol: str, _process: int) -> Any:
    import fsspec

    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}  # others write there, too
    if protocol in _S3:
        chosen = {"AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"} & os.environ.keys()
        options["config_kwargs"] = _LIMITS | ({} if chosen else {"retries": _RETRIES})
    try:
        with calling(f"{protocol}://"):
            store = fsspec.filesystem(protocol, **options)
            if protocol in _S3:
                client = store.connect()  # no request is made; what is wrong with the environment is said here
                client.meta.events.register("after-call-error.s3", _give_up_late)
            return store
    except ImportError as error:
        needed = "pip install 'dataset_assets[s3]'" if protocol in _S3 else "fsspec says what"
        raise OutageError(errno.ENOSYS, f"a Python package is missing, {needed}: {error}", f"{protocol}://") from None
    except ValueError as error:
        raise OutageError(errno.EINVAL, say(error), f"{protocol}://") from None


@contextmanager
def calling(url: str) -> Iterator[None]:
    """Raise whatever a store's library raises in the block as an OSError."""
    bucket = urlsplit(url).netloc
    try:
        yield
    except ObjectError:
        raise
    except FileNotFoundError as error:
        _late.pop(bucket, None)
        if error.__cause__ is not None and find_code(error.__cause__) == "NoSuchBucket":
            raise OutageError(errno.ENOENT, f"there is no bucket {urlsplit(url).netloc}", url) from None
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url) from error
    except BaseException as error:
        if not isinstance(error, (OSError, *list_foreign())):
            raise
        kind = OutageError if is_of_store(error) or _count_late(bucket, error) else ObjectError
        raise kind(getattr(error, "errno", None) or errno.EIO, say(error), url) from error
    _late.pop(bucket, None)


def _count_late(bucket: str, error: BaseException) -> bool:
    """Count an answer that did not come; return whether so many in a row are no matter of the objects."""
    if not is_late(error):
        _late.pop(bucket, None)
        return False
    _late[bucket] += 1
    if _late[bucket] < MOST_LATE:
        return False
    _late.pop(bucket, None)  # who tries again begins anew
    return True


def _give_up_late(exception: Exception, **_: object) -> None:
    """Raise what s3fs takes for final where botocore got no answer in all its tries: s3fs would begin them 25 times.

    The bytes of an answer that has begun are none of this: s3fs asks for them again where they end early.
    """
    if is_late(exception):
        raise _LateError(errno.EIO, say(exception)) from exception
