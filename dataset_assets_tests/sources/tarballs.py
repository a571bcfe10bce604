"""Tars for tests, written with Python's tarfile: as other tools write them, and as none should."""

import tarfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

Members = Mapping[str, bytes] | Iterable[tuple[str, bytes] | tarfile.TarInfo]


def make_tar(members: Members, *, form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Return a tar; a TarInfo stands for an entry without data."""
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, errors="surrogateescape") as tar:
        for member in members.items() if isinstance(members, Mapping) else members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                tar.addfile(entry(member[0], size=len(member[1])), BytesIO(member[1]))
    return file.getvalue()


def write_tar(path: Path, members: Members, *, form: int = tarfile.USTAR_FORMAT) -> Path:
    """Write a tar and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_tar(members, form=form))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, link: str = "") -> tarfile.TarInfo:
    """Return what stands in a tar for a member."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def header(name: str, *, kind: bytes = tarfile.REGTYPE, size: bytes = b"00000000000\0") -> bytes:
    """Return one header block with a right checksum, whatever its fields say."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[124:136], block[156:157] = size.ljust(12, b"\0"), kind
    return seal(block)


def seal(block: bytearray) -> bytes:
    """Return a header block with the checksum of what it says."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
