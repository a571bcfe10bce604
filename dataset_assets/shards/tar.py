"""Plain ustar files, written and read in one pass, or their headers alone. What the members mean is not known here.

Every header has the same owner, mode and time, so equal members give equal bytes on every machine; the bytes are those
of Python's `tarfile` with USTAR_FORMAT and a fresh TarInfo. docs/format.md lists the fields.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO

from dataset_assets.errors import DatasetError

BLOCK = 512  # bytes: headers are one, data is padded to it
RECORD = 20 * BLOCK  # bytes: the file is padded to it
LARGEST_MEMBER = 8**11 - 1  # bytes: what 11 octal digits can say

_LONGEST_NAME = 100  # bytes
_END = bytes(2 * BLOCK)
_BEFORE_SIZE = b"0000644\0" + 2 * b"0000000\0"  # mode, uid, gid
_MTIME = b"00000000000\0"
_AFTER_CHECKSUM = b"0" + bytes(100) + b"ustar\x0000" + bytes(247)  # a regular file; no link, owner, device or prefix
# What is the same in every header's sum; the checksum counts as eight spaces in its own.
_REST = sum(_BEFORE_SIZE) + sum(_MTIME) + 8 * ord(" ") + sum(_AFTER_CHECKSUM)
_FIELDS = (  # (name, start, end) of what the checksum covers, for messages
    *(("name", 0, 100), ("mode", 100, 108), ("uid", 108, 116), ("gid", 116, 124), ("size", 124, 136)),
    *(("mtime", 136, 148), ("type", 156, 157), ("link name", 157, 257), ("magic", 257, 265)),
    *(("owner name", 265, 297), ("group name", 297, 329), ("device", 329, 345), ("prefix", 345, 512)),
)
_LARGE = 1 << 13  # bytes: data that is not worth copying to save a call
_CHUNK = 1 << 20  # bytes asked of a file at once: a damaged size must not reserve 8 GiB


class TarError(DatasetError):
    """A tar is not what the writer writes: `what`, at the byte `offset`."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(f"byte {offset}: {what}")
        self.offset = offset
        self.what = what

    def __reduce__(self) -> tuple[type["TarError"], tuple[int, str]]:
        """Let it cross process borders."""
        return type(self), (self.offset, self.what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One regular file of a tar."""

    name: str
    data: bytes
    offset: int  # of the data in the tar, bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where one regular file of a tar lies."""

    name: str
    offset: int  # of the data in the tar, bytes
    size: int  # of the data, bytes


def make_header(name: str, size: int) -> bytes:
    """Return the 512 bytes that announce `size` bytes called `name`.

    Raises ValueError where the name is not 1 to 100 printable ASCII characters, is absolute, has an empty, `.` or `..`
    part, or where the size is over 8 GiB - 1.
    """
    if not (name.isascii() and name.isprintable() and len(name) <= _LONGEST_NAME):
        raise ValueError(f"a member's name must be at most {_LONGEST_NAME} printable ASCII characters: {name!r}")
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"a member's name must be a relative path without empty, . or .. parts: {name!r}")
    if not 0 <= size <= LARGEST_MEMBER:
        raise ValueError(f"a member has at most {LARGEST_MEMBER} bytes: {name} has {size}")
    encoded, octal = name.encode(), b"%011o\0" % size
    total = sum(encoded) + sum(octal) + _REST
    return b"".join(
        (encoded.ljust(_LONGEST_NAME, b"\0"), _BEFORE_SIZE, octal, _MTIME, b"%06o\0 " % total, _AFTER_CHECKSUM)
    )


class TarWriter:
    """Writes members to a binary file; `bytes` and `sha256` say what was written so far, so nothing is read again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """The hexadecimal hash of everything written so far: the file's, once it is closed."""
        return self._hash.hexdigest()

    def add(self, name: str, data: bytes) -> int:
        """Write one member and return the offset of its data. Raises ValueError as `make_header` does."""
        return self.add_all([(name, data)])[0]

    def add_all(self, members: Iterable[tuple[str, bytes | memoryview]]) -> list[int]:
        """Write members and return the offsets of their data; small ones and what is between go out in one piece.

        Raises ValueError as `make_header` does.
        """
        offsets: list[int] = []
        parts: list[bytes | memoryview] = []
        end = self.bytes
        for name, data in members:
            size = len(data)
            padding = bytes(-size % BLOCK)
            parts.append(make_header(name, size))
            offsets.append(end + BLOCK)
            if size < _LARGE:
                parts += (data, padding)
            else:  # never copied
                self._write(b"".join(parts))
                self._write(data)
                parts = [padding]
            end += BLOCK + size + len(padding)
        self._write(b"".join(parts))
        return offsets

    def close(self) -> None:
        """Write the end of the tar, once, after the last member. The file stays open."""
        self._write(_END)
        self._write(bytes(-self.bytes % RECORD))

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.bytes += len(data)


class TarReader:
    """Reads what TarWriter writes and nothing else; `bytes` and `sha256` say what was read so far.

    Iterating yields the members and raises TarError at the first byte that TarWriter would have written differently;
    after it `drain` reads the rest, so that the hash is the whole file's either way. One member is in memory at a time.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """The hexadecimal hash of everything read so far: the file's, once it is read to its end."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[Member]:
        while (header := self._read(BLOCK)) != bytes(BLOCK):
            name, size = _parse_header(header, self.bytes - BLOCK)
            offset = self.bytes
            data = self._read(size)
            self._expect_zeros(-size % BLOCK, "the padding of a member")
            yield Member(name=name, data=data, offset=offset)
        self._expect_zeros(BLOCK, "the second end block")
        self._expect_zeros(-self.bytes % RECORD, "the padding of the tar")
        end = self.bytes
        if self.drain():
            raise TarError(end, "there is something after the end of the tar")

    def drain(self) -> int:
        """Read to the end of the file and return how many bytes that were."""
        before = self.bytes
        while self._take(_CHUNK):
            pass
        return self.bytes - before

    def _read(self, size: int) -> bytes:
        start, parts, left = self.bytes, [], size
        while left:
            part = self._take(min(left, _CHUNK))
            if not part:
                raise TarError(start, f"the file ends where {size} bytes should follow")
            parts.append(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        self.bytes += len(data)
        return data

    def _expect_zeros(self, size: int, what: str) -> None:
        start = self.bytes
        if self._read(size).count(0) != size:
            raise TarError(start, f"{what} is not zeros")


def list_places(file: BinaryIO) -> Iterator[Place]:
    """Yield where each member of a tar lies, in order; only headers are read, and data may be read in between.

    Raises TarError at a header that TarWriter would not have written. What lies between headers is not looked at.
    """
    end = 0
    while True:
        file.seek(end)
        header = file.read(BLOCK)
        if header == bytes(BLOCK):
            return
        if len(header) < BLOCK:
            raise TarError(end, f"the file ends where {BLOCK} bytes should follow")
        name, size = _parse_header(header, end)
        yield Place(name, end + BLOCK, size)
        end += BLOCK + size + -size % BLOCK


def _parse_header(header: bytes, offset: int) -> tuple[str, int]:
    """Return a header's name and size. Raises TarError unless it is the header that the writer makes of them."""
    try:
        name = header[:100].rstrip(b"\0").decode("ascii")
        size = int(header[124:135], 8)
        expected = make_header(name, size)
    except ValueError as error:
        raise TarError(offset, f"not a header: {error}") from None
    if header == expected:
        return name, size
    counted = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if header[148:156] != b"%06o\0 " % counted:
        raise TarError(offset, "the header's checksum is wrong")
    field = next(field for field, start, end in _FIELDS if header[start:end] != expected[start:end])
    raise TarError(offset, f"the header's {field} is not what a plain ustar header has")
