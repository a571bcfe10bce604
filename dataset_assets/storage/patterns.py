"""URLs of objects in which `*`, `?`, `[…]` and `**` stand for names, as in patterns of paths. Nothing is listed."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

_SOME = frozenset("*?[")  # a part of a pattern has one of these, else it is a name
_ANY_FOLDERS = "**"


def has_pattern(text: str) -> bool:
    """Return whether a text may mean other names than itself."""
    return not _SOME.isdisjoint(text)


def fixed_start(pattern: str) -> str:
    """Return what everything that a pattern means begins with."""
    end = next((number for number, sign in enumerate(pattern) if sign in _SOME), len(pattern))
    return pattern[:end]


def cut_pattern(url: str) -> tuple[str, list[str]]:
    """Return the folder in or below which all lies that a URL means, and the parts of the way on from there."""
    protocol, _, path = url.partition("://")
    bucket, *parts = path.split("/")
    fixed = next((number for number, part in enumerate(parts[:-1]) if has_pattern(part)), max(len(parts) - 1, 0))
    return f"{protocol}://{'/'.join([bucket, *parts[:fixed]])}", parts[fixed:]


def fits(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Return whether a pattern means a path, both by their parts. As on a disk, `*` means no name that is hidden."""
    if not wanted:
        return not parts
    if wanted[0] == _ANY_FOLDERS and fits(parts, wanted[1:]):
        return True
    if not parts or (parts[0].startswith(".") and not wanted[0].startswith(".")):
        return False
    if wanted[0] == _ANY_FOLDERS:
        return fits(parts[1:], wanted)
    return fnmatchcase(parts[0], wanted[0]) and fits(parts[1:], wanted[1:])
