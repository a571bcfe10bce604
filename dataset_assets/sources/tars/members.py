"""The members of a tar of anybody's making: their names and where their data lies. Only headers are read.

Understands ustar, pax, GNU and the oldest tars, like `tar` itself. shards/tar.py reads only what we write, and checks
every byte of it; this reads what there is, and says where it is damaged.
"""

import os
from typing import NamedTuple

from dataset_assets.sources.slices import Handle, read_at

BLOCK = 512  # bytes: headers are one, data is padded to it

_END = bytes(BLOCK)
_CHUNK = 1 << 20  # bytes read at once where a header is looked for
_LARGEST_EXTENSION = 1 << 20  # bytes of names and attributes that stand before a header
_REGULAR = (b"0", b"\0", b"7")
_LONG_NAME = b"L"
_ATTRIBUTES = (b"x", b"X")  # of the member that follows
_PASSED_OVER = (b"K", b"g")  # a link's long target, and attributes of all members: none that we need
_EXTENSIONS = (_LONG_NAME, *_ATTRIBUTES, *_PASSED_OVER)
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")  # links, devices, folders and pipes, whatever size they name
_FOLDER, _SPARSE = b"5", b"S"
_KINDS = {b"1": "a link", b"2": "a link", _SPARSE: "a sparse file"}
_MAGIC, _MAGIC_AT = b"ustar", 257


class Member(NamedTuple):
    """One entry of a tar that is no folder."""

    name: str  # bytes that are no UTF-8 as Python reads them in a path
    offset: int  # of the data in the tar, bytes
    size: int  # of the data, bytes
    problem: str  # why this is no plain file, "" for one


class Damage(NamedTuple):
    """What is wrong with a tar, at which byte, and how many members were found before."""

    offset: int
    what: str
    before: int


class Contents(NamedTuple):
    """What a tar holds."""

    members: list[Member]  # in the order of the tar
    damages: list[Damage]


class _Broken(Exception):  # noqa: N818 - it never leaves this module
    """No member can be read here: at `offset`, because of `what`; `last` where nothing can follow."""

    def __init__(self, offset: int, what: str, *, last: bool = False) -> None:
        super().__init__(what)
        self.offset = offset
        self.what = what
        self.last = last


class _Header(NamedTuple):
    name: str
    kind: bytes  # the type flag
    size: int
    extended: bool  # a sparse file's map goes on in the next block


def read_members(file: Handle, size: int) -> Contents:
    """Return what the tar of `size` bytes holds that is open as `file`.

    After damage it goes on at the next whole header. Of members of the same name all are returned. Raises OSError.
    """
    contents, reader = Contents([], []), _Reader(file, size)
    position: int | None = 0
    while position is not None:
        try:
            member, position = reader.read_member(position)
            if member:
                contents.members.append(member)
        except _Broken as broken:
            contents.damages.append(Damage(broken.offset, broken.what, len(contents.members)))
            # What does not begin with a header is no tar: headers deep in it are another's.
            lost = broken.last or broken.offset == 0
            position = None if lost else reader.find_header(broken.offset + BLOCK)
    return contents


class _Reader:
    def __init__(self, file: Handle, size: int) -> None:
        self._file = file
        self._size = size

    def read_member(self, start: int) -> tuple[Member | None, int | None]:
        """Read one member and the headers before it; return it, None for a folder, and where the next begins."""
        name, attributes, position = "", dict[bytes, bytes](), start
        while True:
            block = read_at(self._file, BLOCK, position)
            if block == _END and position == start:
                self._check_end(position)
                return None, None
            header = self._parse(block, position)
            position += BLOCK
            if header.kind not in _EXTENSIONS:
                break
            data = self._read_extension(header, position)
            if header.kind == _LONG_NAME:
                name = _text(data)
            elif header.kind in _ATTRIBUTES:
                attributes |= _parse_attributes(data, position - BLOCK)
            position += _padded(header.size)
        extended = header.extended
        while extended:
            block = read_at(self._file, BLOCK, position)
            position += BLOCK
            extended = len(block) == BLOCK and block[504] != 0
        return self._make_member(header, name, attributes, position)

    def _make_member(
        self, header: _Header, name: str, attributes: dict[bytes, bytes], position: int
    ) -> tuple[Member | None, int | None]:
        sparse = header.kind == _SPARSE or any(key.startswith(b"GNU.sparse.") for key in attributes)
        given = attributes.get(b"GNU.sparse.name") or attributes.get(b"path")
        name = _text(given) if given else name or header.name
        size = header.size
        if stated := attributes.get(b"size"):
            size = _decimal(stated, position - BLOCK)
        if header.kind in _WITHOUT_DATA:
            size = 0
        if position + size > self._size:
            missing = position + size - self._size
            raise _Broken(position - BLOCK, f"the last {missing} bytes of a member are missing", last=True)
        end = position + _padded(size)
        if header.kind == _FOLDER or (header.kind in _REGULAR and name.endswith("/")):
            return None, end
        usual = "" if header.kind in _REGULAR else "not a regular file"
        problem = _KINDS[_SPARSE] if sparse else _KINDS.get(header.kind, usual)
        return Member(name, position, size, problem), end

    def _parse(self, block: bytes, position: int) -> _Header:
        if len(block) < BLOCK:
            what = "it ends inside a header" if block else "it ends without the mark of its end"
            raise _Broken(min(position, self._size), what if self._size else "the file is empty", last=True)
        if not _is_header(block):
            raise _Broken(position, "no header, or one whose checksum is wrong")
        name, kind = _text(block[:100]), block[156:157]
        if block[257:263] == b"ustar\0" and block[345]:  # GNU keeps other things there
            name = f"{_text(block[345:500])}/{name}"
        try:
            size = _number(block[124:136])
        except ValueError:
            raise _Broken(position, "a header without a size") from None
        return _Header(name, kind, size, kind == _SPARSE and block[482] != 0)

    def _read_extension(self, header: _Header, position: int) -> bytes:
        if position + header.size > self._size:
            raise _Broken(position - BLOCK, "it ends inside an extended header", last=True)
        if header.kind in _PASSED_OVER:
            return b""
        if header.size > _LARGEST_EXTENSION:
            raise _Broken(position - BLOCK, f"an extended header of {header.size} bytes")
        return read_at(self._file, header.size, position)

    def _check_end(self, position: int) -> None:
        """Raise _Broken where something follows the end, as far as padding goes: tars that were put in a row."""
        rest = read_at(self._file, _CHUNK, position)
        if found := rest.lstrip(b"\0"):
            at = position + len(rest) - len(found)
            raise _Broken(at - at % BLOCK, "something follows the mark of the tar's end", last=True)

    def find_header(self, position: int) -> int | None:
        """Return where the first whole header lies from here on, None where there is none."""
        while chunk := read_at(self._file, _CHUNK, position):
            at = chunk.find(_MAGIC)
            while at >= 0:
                start = at - _MAGIC_AT
                if start % BLOCK == 0 and _is_header(chunk[start : start + BLOCK]):
                    return position + start
                at = chunk.find(_MAGIC, at + 1)
            position += _CHUNK
        return None


def _is_header(block: bytes) -> bool:
    """Return whether a block carries its own checksum; some old writers added up signed bytes."""
    if len(block) < BLOCK:
        return False
    try:
        stored = _number(block[148:156])
    except ValueError:
        return False
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if stored == total:
        return True
    negative = sum(byte > 127 for byte in block[:148]) + sum(byte > 127 for byte in block[156:])
    return stored == total - 256 * negative


def _number(field: bytes) -> int:
    """Return a header's number: octal digits, or for large ones bytes after a first of 128. Raises ValueError."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if digits and not digits.isdigit():
        raise ValueError
    return int(digits or b"0", 8)


def _parse_attributes(data: bytes, offset: int) -> dict[bytes, bytes]:
    """Return pax attributes, each written as its whole length, a space, its name, = and its value, and a newline."""
    attributes, start = {}, 0
    while start < len(data) and data[start]:  # some writers pad with NULs
        length, space, _ = data[start : start + 20].partition(b" ")
        end = start + _decimal(length, offset)
        name, equals, value = data[start + len(length) + 1 : end - 1].partition(b"=")
        if not (space and equals and data[end - 1 : end] == b"\n"):
            raise _Broken(offset, "an extended header that says nothing")
        attributes[name] = value
        start = end
    return attributes


def _decimal(digits: bytes, offset: int) -> int:
    if not digits.isdigit() or len(digits) > 20:
        raise _Broken(offset, "an extended header that says nothing")
    return int(digits)


def _text(field: bytes) -> str:
    return os.fsdecode(field.partition(b"\0")[0])


def _padded(size: int) -> int:
    return size + -size % BLOCK
