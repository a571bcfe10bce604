"""The file systems of object stores: which there is for a URL, how it is opened, and what its errors become.

Retries, timeouts and credentials are those of its library, which is imported when the first object is touched.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from dataset_assets.errors import StorageError

CONNECTIONS = 32  # of a process with a store, at a time

# Seconds; and how often botocore tries a request, with longer and longer waits. The environment comes first.
_LIMITS = {"connect_timeout": 10, "read_timeout": 60, "max_pool_connections": CONNECTIONS}
_RETRIES = {"mode": "standard", "max_attempts": 5}


class ObjectError(OSError, StorageError):
    """A store did not do what it was asked for; `strerror` says why.

    It is an OSError for those who say what they could not do then, and where nobody does it is one line by itself.
    """

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


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
    if not parts.netloc or parts.query or parts.fragment:
        return "a URL such as s3://bucket/folder"
    return ""


@lru_cache
def open_store(protocol: str, _process: int) -> Any:
    """Return the file system of a kind of URL; each process has its own, and all its threads share it."""
    import fsspec

    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}  # others write there, too
    if protocol in ("s3", "s3a"):
        chosen = {"AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS"} & os.environ.keys()
        options["config_kwargs"] = _LIMITS | ({} if chosen else {"retries": _RETRIES})
    try:
        return fsspec.filesystem(protocol, **options)
    except ImportError as error:
        needed = "pip install 'dataset_assets[s3]'" if protocol in ("s3", "s3a") else "fsspec says what"
        raise ObjectError(errno.ENOSYS, f"a Python package is missing, {needed}: {error}", f"{protocol}://") from None
    except ValueError as error:
        raise ObjectError(errno.EPROTONOSUPPORT, str(error), f"{protocol}://") from None


def _list_foreign() -> tuple[type[BaseException], ...]:
    """Return the errors of libraries that are no OSError."""
    names = (
        ("botocore.exceptions", "BotoCoreError"),
        ("botocore.exceptions", "ClientError"),
        ("aiohttp", "ClientError"),
        ("fsspec.exceptions", "FSTimeoutError"),
    )
    loaded = ((sys.modules.get(module), name) for module, name in names)
    return (TimeoutError, *(getattr(module, name) for module, name in loaded if module))


@contextmanager
def calling(url: str) -> Iterator[None]:
    """Raise whatever a store's library raises in the block as an OSError."""
    try:
        yield
    except ObjectError:
        raise
    except FileNotFoundError as error:
        if getattr(error.__cause__, "response", {}).get("Error", {}).get("Code") == "NoSuchBucket":
            raise ObjectError(errno.ENOENT, f"there is no bucket {urlsplit(url).netloc}", url) from None
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url) from error
    except OSError as error:
        raise ObjectError(error.errno or errno.EIO, _say(error), url) from error
    except BaseException as error:
        if not isinstance(error, _list_foreign()):
            raise
        raise ObjectError(errno.EIO, _say(error), url) from error


def _say(error: BaseException) -> str:
    """Return what an error says, in one line; its name where it says nothing."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(said).split())
