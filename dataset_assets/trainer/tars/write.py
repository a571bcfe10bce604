"""A tar of texts by id and its index, in one pass: each byte is hashed as it is written, and nothing is read again.

Tar and index are what Python's `tarfile` and `hfutils` make (docs/records.md, What lies where). Where texts come
from is not known here.
"""

from collections.abc import Iterator
from hashlib import sha1, sha256
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataset_assets.shards.tar import BLOCK, RECORD
from dataset_assets.trainer.tars.headers import TOLD, make_headers
from dataset_assets.trainer.tars.index import make_entries

_END = 2 * BLOCK
_CHUNK = 2 << 20  # bytes of a tar that are put together at once: what processors keep near


def measure_members(texts: pa.Array) -> int:
    """Return the bytes that these texts take up in a tar with their headers; empty ones take none."""
    return int(_measure(np.diff(_offsets(texts))).sum())


def measure_tar(members: int) -> int:
    """Return the bytes of a tar whose members take up `members` bytes."""
    return members + _END + -(members + _END) % RECORD


class IndexedTar:
    """Writes texts to a binary file as a tar; `bytes`, `sha256` and `count`, of members, say what is written."""

    def __init__(self, file: BinaryIO, suffix: str, size: int) -> None:
        """Begin a tar of `size` bytes, which one of its hashes starts with; members are called `{id}{suffix}`."""
        self._file = file
        self._suffix = suffix
        self._size = size
        self._sha1 = sha1(b"blob %d\0" % size, usedforsecurity=False)
        self._sha256 = sha256()
        self._entries: list[bytes] = []
        self._last = -1
        self.bytes = 0
        self.count = 0

    @property
    def sha256(self) -> str:
        """The hexadecimal hash of everything written so far: the file's, once it is closed."""
        return self._sha256.hexdigest()

    def add(self, ids: NDArray[np.int64], texts: pa.Array) -> None:
        """Write a member for each text that is not empty.

        Raises ValueError where the ids do not ascend from 0, also from one call to the next, or where there is not one
        for each text; TypeError where the texts are no large strings, or some are null.
        """
        offsets = _offsets(texts)
        sizes = np.diff(offsets)
        if len(ids) != len(sizes):
            raise ValueError(f"{len(ids)} ids, {len(sizes)} texts")
        some = np.flatnonzero(sizes)
        ids, starts, sizes = ids[some], offsets[some], sizes[some]
        if not len(ids):
            return
        if ids[0] <= self._last or (ids[1:] <= ids[:-1]).any():
            raise ValueError("the ids do not ascend from 0, each once")
        data = memoryview(texts.buffers()[2]).cast("B")
        ends = np.cumsum(_measure(sizes))
        start = 0
        while start < len(ids):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + _CHUNK, "right")))
            self._add_chunk(ids[start:stop], data, starts[start:stop], sizes[start:stop])
            start = stop
        self._last = int(ids[-1])

    def close(self) -> None:
        """Write the end of the tar, once, after the last member. The file stays open.

        Raises ValueError where it has another size than was said.
        """
        self._write(bytes(_END))
        self._write(bytes(-self.bytes % RECORD))
        if self.bytes != self._size:
            raise ValueError(f"the tar has {self.bytes} bytes, not {self._size}")

    def list_index(self) -> Iterator[bytes]:
        """Yield the parts of the index of a tar that is closed."""
        hashes = f'"hash": "{self._sha1.hexdigest()}", "hash_lfs": "{self.sha256}"'
        yield f'{{"filesize": {self.bytes}, {hashes}, "files": {{'.encode("ascii")
        for number, entries in enumerate(self._entries):
            yield b", " + entries if number else entries
        yield b"}}"

    def _add_chunk(
        self, ids: NDArray[np.int64], data: memoryview, starts: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> None:
        spans = _measure(sizes)
        places = np.cumsum(spans) - spans
        chunk = bytearray(int(spans.sum()))
        blocks = np.frombuffer(chunk, np.uint8).reshape(-1, BLOCK)
        blocks[places // BLOCK, :TOLD] = make_headers(ids, self._suffix, sizes)
        out = memoryview(chunk)
        places += BLOCK
        hashes = []
        cuts = (numbers.tolist() for numbers in (starts, starts + sizes, places, places + sizes))
        for start, stop, place, end in zip(*cuts, strict=True):
            out[place:end] = text = data[start:stop]
            hashes.append(sha256(text).digest())
        self._entries.append(make_entries(ids, self._suffix, places + self.bytes, sizes, b"".join(hashes)))
        self.count += len(hashes)
        self._write(chunk)

    def _write(self, data: bytes | bytearray) -> None:
        self._file.write(data)
        self._sha1.update(data)
        self._sha256.update(data)
        self.bytes += len(data)


def _measure(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bytes that members of these sizes take up in a tar with their headers; empty ones take none."""
    return np.where(sizes > 0, BLOCK + (sizes + BLOCK - 1 & -BLOCK), 0)


def _offsets(texts: pa.Array) -> NDArray[np.int64]:
    """Return where each text starts in the array's data, and where the last ends. Raises TypeError at other arrays."""
    if texts.type not in (pa.large_string(), pa.large_binary()) or texts.null_count:
        raise TypeError(f"texts are large strings without nulls, not {texts.type} with {texts.null_count} nulls")
    if not len(texts):
        return np.zeros(1, np.int64)
    offsets: NDArray[np.int64] = np.frombuffer(texts.buffers()[1], np.int64)
    return offsets[texts.offset : texts.offset + len(texts) + 1]
