"""Objects of a store as sources see them: listed by pages with their etags, and read by ranges as they were listed.

The etag is an object's version, whatever else the store says of it: it is the same where the same bytes were put again
in one piece. No time is trusted but for what is still being written. Which store it is, its retries, and what its
errors become, is storage/store.py's.
"""

import errno
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote

from dataset_assets.errors import DropReason, SourceError
from dataset_assets.sources.slices import ChangedError
from dataset_assets.sources.waiting import waiting
from dataset_assets.sources.walk import FileState
from dataset_assets.storage.faults import find_status
from dataset_assets.storage.objects import ObjectPath, find_version
from dataset_assets.storage.store import ObjectError, OutageError, calling

_REFUSED = 403
MOST_REFUSED = 100  # objects of a bucket that may not be read, one after the other: then it is no matter of the objects
_VERSION = "?versionId="  # what s3fs takes for the version of an object, whose key ends before it
_OTHER = (412, 416)  # answers to If-Match, and to a range behind the end: it is not the object that was listed
_GROWTH = 8  # times more is read ahead each time

_refused: Counter[str] = Counter()  # by this process, since it last read an object of the bucket


class ObjectFile:
    """An object of which parts are read, as it was listed: one request each, or fewer where more is read at once.

    Not for several threads at a time.
    """

    def __init__(self, path: ObjectPath, state: FileState, *, ahead: int = 0, most: int = 0) -> None:
        """Open nothing yet. At least `ahead` bytes are read at once, and more and more each time, up to `most`."""
        self._path = path
        self._state = state
        self._ahead = ahead
        self._most = most
        self._window, self._start = b"", 0  # what was read last, and where it lies

    @property
    def state(self) -> FileState:
        """What the listing says of it."""
        return self._state

    @property
    def identity(self) -> Hashable:
        """What tells it from all other objects, and from itself when it was another one."""
        return self._path.url, self._state.version

    def read_at(self, size: int, offset: int) -> bytes:
        """Return `size` bytes from `offset` on, fewer where it ends. Raises OSError, ChangedError where it changed."""
        size = max(0, min(size, self._state.size - offset))
        at = offset - self._start
        if size and not 0 <= at <= len(self._window) - size:
            ahead = min(max(size, self._ahead), self._state.size - offset)
            data = fetch(self._path, offset, ahead, self._state)
            if not self._ahead:
                return data
            self._window, self._start, at = data, offset, 0
            self._ahead = min(self._ahead * _GROWTH, self._most)
        return self._window[at : at + size]


def list_objects(folder: ObjectPath, *, deep: bool = True, prefix: str = "") -> Iterator[tuple[str, FileState]]:
    """Yield every object below a folder by its path there, or only those directly in it, in the store's order.

    `prefix` is what these paths begin with, as far as that is known: a store with pages lists no others.
    Only one page of the listing is in memory, as far as the library of the store lets it. A path that ends in a / is
    what some programs put in a folder's place. Raises OSError.
    """
    store, (bucket, _, key) = folder.store, _name(folder).partition("/")
    start = f"{key}/" if key else ""
    if not hasattr(store, "call_s3"):
        yield from _list_any(folder, deep=deep)
        return
    more: dict[str, str] = {} if deep else {"Delimiter": "/"}
    while True:
        with calling(folder.url):
            page = store.call_s3("list_objects_v2", Bucket=bucket, Prefix=start + prefix, **more)
        for found in page.get("Contents", ()):
            yield found["Key"][len(start) :], _describe(found["Size"], found, found["Key"])
        if not page.get("IsTruncated"):
            return
        more["ContinuationToken"] = page["NextContinuationToken"]


def look_up(path: ObjectPath) -> FileState:
    """Return what a store says of an object now. Raises OSError, SourceError where the store says nothing at all."""
    with waiting(), _reaching(path), calling(path.url):
        info = path.store.info(_name(path))
        if info["type"] != "file":
            raise FileNotFoundError
    return _describe(info["size"], info)


def parse_version(version: str) -> FileState:
    """Return what FileState.version was made of, without the time. Raises ChangedError for what no object has."""
    size, dash, stamp = version.partition("-")
    if not (dash and size.isdecimal()):
        raise ChangedError(errno.ESTALE, "changed after the scan")
    return FileState(int(size), stamp)


def fetch(path: ObjectPath, start: int, size: int, state: FileState) -> bytes:
    """Return `size` bytes of an object from `start` on; there have to be so many.

    One request, where the store can be told which version is meant. Raises OSError: ChangedError where the object is
    not the one of `state`, FileNotFoundError where it is gone; and SourceError where the fault is not the object's: the
    store does not answer, or refuses one object after the other.
    """
    if not size:
        return b""
    with _reaching(path), waiting():
        store, name = path.store, _name(path)
        try:
            with calling(path.url):
                if hasattr(store, "call_s3"):
                    data = _read_if_same(store, name, start, size, state)
                else:
                    data = store.cat_file(name, start=start, end=start + size)
        except ObjectError as error:
            if find_status(error) in _OTHER:
                raise _changed(path) from None
            raise
    if not hasattr(store, "call_s3") and look_up(path).version != state.version:
        raise _changed(path)
    if len(data) != size:
        said = f"{len(data)} bytes came where {size} were asked for, from byte {start} on"
        raise ObjectError(errno.EIO, said, path.url)
    return bytes(data)


@contextmanager
def _reaching(path: ObjectPath) -> Iterator[None]:
    """Raise SourceError where the block shows that the objects of a bucket cannot be read, and not only this one."""
    bucket = _name(path).partition("/")[0]
    try:
        yield
    except OutageError as error:
        raise SourceError(f"source {path}: cannot be read: {error.strerror}") from None
    except ObjectError as error:
        if find_status(error) == _REFUSED:
            _refused[bucket] += 1
            if _refused[bucket] >= MOST_REFUSED:
                _refused.pop(bucket, None)  # who tries again begins anew
                said = f"{error.strerror}, as of the {MOST_REFUSED - 1} objects before it"
                raise SourceError(f"source {path}: cannot be read: {said}; do the credentials allow it?") from None
        raise
    _refused.pop(bucket, None)


def _read_if_same(store: Any, name: str, start: int, size: int, state: FileState) -> bytes:
    """Return a part of an object whose etag is known: its size does not have to be asked for, as s3fs else does."""
    tag = unquote(str(state.stamp))
    with store.open(name, "rb", cache_type="none", size=state.size) as file:
        file.details = {"name": name, "size": state.size, "ETag": tag, "type": "file"}
        file.read_kw = {**file.read_kw, "IfMatch": tag if '"' in tag else f'"{tag}"'}
        file.seek(start)
        data: bytes = file.read(size)
    return data


def _list_any(folder: ObjectPath, *, deep: bool) -> Iterator[tuple[str, FileState]]:
    name = _name(folder)
    with calling(folder.url):
        infos = folder.store.find(name, detail=True) if deep else {i["name"]: i for i in folder.store.ls(name)}
    start = f"{name.strip('/')}/"
    for path, info in sorted(infos.items()):
        if info["type"] == "file":
            yield path.lstrip("/").removeprefix(start), _describe(info["size"], info)


def _describe(size: int, info: Mapping[str, Any], key: str = "") -> FileState:
    seconds, tag = find_version(info)
    fault = (DropReason.UNREADABLE, f"{_VERSION} in its name means another object to s3fs") if _VERSION in key else None
    return FileState(int(size), quote(tag, safe=""), seconds, fault)  # listings put such texts between : and ;


def _changed(path: ObjectPath) -> ChangedError:
    return ChangedError(errno.ESTALE, "changed after the scan", path.url)


def _name(path: ObjectPath) -> str:
    """Return bucket and key."""
    return path.url.partition("://")[2]
