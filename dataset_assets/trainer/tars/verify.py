"""Verifies an export of numbered tars: a folder of one kind, or of several. What is asked of a tar is check.py's."""

from collections import Counter
from dataclasses import replace

from dataset_assets.errors import StorageError
from dataset_assets.progress import Progress, Silence
from dataset_assets.shards.report import Fault, Report
from dataset_assets.storage.location import Location
from dataset_assets.trainer.tars.check import TAR, check_numbered_tars


def find_kinds(folder: Location) -> list[Location]:
    """Return the folders of numbered tars that a folder is or has in it, by name; [] where it is no such export.

    Raises StorageError where a folder cannot be listed.
    """
    try:
        return [folder] if _list_numbers(folder) else [one for one in sorted(folder.iterdir()) if _list_numbers(one)]
    except OSError as error:
        raise StorageError(f"cannot list {error.filename}: {error.strerror}") from error


def verify_numbered_tars(folder: Location, *, progress: Progress | None = None) -> Report:
    """Return what is wrong with the tars of all kinds in a folder, and how much was read.

    There should be as many tars of each kind as the highest number of any says. A report's samples are members.
    """
    kinds, progress, read = find_kinds(folder), progress or Silence(), Counter[str]()
    numbers = {kind: _list_numbers(kind) for kind in kinds}
    modulus = 1 + max((max(found) for found in numbers.values()), default=-1)
    progress.start("verify", sum(map(len, numbers.values())), "tars")

    def tell(members: int, size: int) -> None:
        read.update(files=1, samples=members, bytes=size)
        progress.advance(1)

    faults: list[Fault] = []
    for kind in kinds:
        above = [] if kind == folder else [kind.name]
        found = check_numbered_tars(kind, modulus, tell)
        faults += [replace(fault, file="/".join([*above, *filter(None, [fault.file])])) for fault in found]
    progress.finish()
    return Report(faults=tuple(faults), files=read["files"], samples=read["samples"], bytes=read["bytes"])


def _list_numbers(folder: Location) -> list[int]:
    """Return the numbers that the tars in a folder have for names."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return [int(path.stem) for path in paths if TAR.fullmatch(path.name)]
