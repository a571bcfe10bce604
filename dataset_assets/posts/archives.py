"""The bytes of a file of lines, unpacked where its name says that it is packed. What is in them is lines.py's.

A packed file may be several put together, and one that was cut short is read as far as it goes. What comes out before a
check fails may be something else than what went in: who reads it must forget it then. zstd checks only where the file
was written with checksums, as the program of that name does.
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from dataset_assets.storage.location import Location

_READ = 1 << 20  # bytes
_UNPACKED = 1 << 22  # bytes that come out at a time, whatever goes in
_ZSTD_READ = 1 << 16  # bytes that come out of zstd at a time
_GZIP = 31  # zlib's number for gzip with the largest window


class CutShortError(Exception):
    """A packed file ends before its end."""


class PackedDamageError(Exception):
    """A packed file holds something else than its name says, or is damaged; so may be all that came out of it."""


def read_bytes(path: Location) -> Iterator[bytes]:
    """Yield what is in a file, some megabytes at most at a time.

    Raises OSError, CutShortError after what could be unpacked, and PackedDamageError, when that is not to be trusted.
    """
    match path.suffix.lower():
        case ".gz":
            with path.open("rb") as file:
                yield from _gather(_unpack_gzip(file))
        case ".zst":
            yield from _gather(_unpack_zstd(path))
        case _:
            with path.open("rb") as file:
                while data := file.read(_READ):
                    yield data


def _gather(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield small parts together, those before an exception too."""
    waiting = bytearray()
    try:
        for part in parts:
            waiting += part
            if len(waiting) >= _READ:
                yield bytes(waiting)
                waiting.clear()
    except (CutShortError, PackedDamageError):
        yield bytes(waiting)
        raise
    if waiting:
        yield bytes(waiting)


def _unpack_gzip(file: BinaryIO) -> Iterator[bytes]:
    unpacker, data = zlib.decompressobj(_GZIP), b""
    begun = False  # in the middle of a member
    while data := data or file.read(_READ):
        if not begun and not (data := data.lstrip(b"\0")):
            continue  # tapes and disks fill up with zeros
        begun = True
        try:
            unpacked = unpacker.decompress(data, _UNPACKED)
        except zlib.error as error:
            raise PackedDamageError(str(error)) from None
        if unpacked:
            yield unpacked
        data = unpacker.unconsumed_tail
        if unpacker.eof:
            data = unpacker.unused_data
            unpacker, begun = zlib.decompressobj(_GZIP), False
    if begun:
        yield unpacker.flush()
        raise CutShortError("it ends in the middle of a gzip member")


def _unpack_zstd(path: Location) -> Iterator[bytes]:
    if not path.stat().st_size:
        raise CutShortError("it is empty")
    done, said = 0, ""
    for size in (_ZSTD_READ, 1):  # a read that fails gives nothing: byte by byte all that is there is had
        try:
            for data in _read_zstd(path, done, size):
                done += len(data)
                yield data
        except OSError as error:
            if error.errno:
                raise
            said = " ".join(str(error).split())
        else:
            return
    raise (CutShortError if "runcated" in said else PackedDamageError)(said)


def _read_zstd(path: Location, done: int, size: int) -> Iterator[bytes]:
    """Yield what a file unpacks to after its first `done` bytes, some bytes at a time."""
    with path.open("rb") as file, pa.CompressedInputStream(file, "zstd") as stream:
        while done:
            done -= len(stream.read(min(done, _ZSTD_READ)))
        while data := stream.read(size):
            yield data
