"""Whether the files of a stage are there as they were written: by their sizes and times, and no file is opened.

Who asks about many pieces makes a `survey` of them first, and hands it on: a folder of an object store is then listed
once. On a local disk nothing is looked at before it is asked about.

What a stage would be made from now is freshness.py's to say, and what is in a file is the stages'.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dataset_assets.catalog.state import Piece
from dataset_assets.errors import StorageError
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.location import Location, Look, list_sizes, look_at, path_in

MODIFIED = "modified_ns"  # a piece's fact: the time of its file, for those in the export, which others may write to
INDEX = "index"  # a tar's fact: the file that says what lies where in it, as `path`, `bytes` and `version`
FOLDER = "folder"  # a fact of a piece that is more than its file: all files of a folder, as `path` and `sizes`
INDEX_VERSION = 1  # raise it when an index would have something else in it: they are made anew, and no tar is written

_TARS = ("shards", "captions_1ktar")  # stages of freshness.py, which asks this module: their pieces have an index


def survey(layout: Layout, pieces: Iterable[Piece]) -> Look:
    """Return what tells how the files of these pieces are, their indexes among them."""
    paths = ((piece.path, piece.facts.get(INDEX, {}).get("path")) for piece in pieces)
    return look_at(layout.root, dict.fromkeys(path for both in paths for path in both if path))


def is_whole(layout: Layout, piece: Piece, look: Look | None = None) -> bool:
    """Return whether a piece's own file is there with its size, and untouched where the piece knows its time."""
    return not _compare(look or survey(layout, ()), piece.path, piece.bytes, piece.facts.get(MODIFIED))


def is_indexed(layout: Layout, tar: Piece, look: Look | None = None) -> bool:
    """Return whether the index of a tar is there with its size, as this version makes it; none is needed of no tar."""
    return not _find_index_damage(look or survey(layout, ()), tar)


def find_damage(layout: Layout, piece: Piece, look: Look | None = None) -> str:
    """Return what is wrong with the files of a piece, a tar's index among them; "" where nothing is."""
    look = look or survey(layout, ())
    damage = _compare(look, piece.path, piece.bytes, piece.facts.get(MODIFIED))
    damage = damage or (_find_index_damage(look, piece) if piece.stage in _TARS else "")
    return damage or _find_folder_damage(layout, piece)


def describe_index(layout: Layout, index: Location) -> dict[str, Any]:
    """Return the fact that is recorded of an index that was just written, with its tar."""
    path = path_in(layout.root, index)
    return {INDEX: {"path": path, "bytes": index.stat().st_size, "version": INDEX_VERSION}}


def describe_folder(layout: Layout, folder: Location) -> dict[str, Any]:
    """Return the fact that is recorded of a folder whose files were just written: the size of each, from one listing.

    Names that begin with a dot are left out: what desktops leave, and files that are being written. Ours are ASCII.
    """
    found = list_sizes(folder).items()
    sizes = {name: size for name, size in found if name.isascii() and not name.rpartition("/")[2].startswith(".")}
    return {FOLDER: {"path": path_in(layout.root, folder), "sizes": sizes}}


def index_path(layout: Layout, tar: Piece) -> Location:
    """Return where the index of a tar is."""
    return layout.root / str(tar.facts[INDEX]["path"])


def recorded_sizes(piece: Piece) -> Mapping[str, int]:
    """Return the sizes, bytes, with which the files of a piece's folder were written, by their paths in it."""
    sizes: Mapping[str, int] = piece.facts.get(FOLDER, {}).get("sizes", {})
    return sizes


def _find_folder_damage(layout: Layout, piece: Piece) -> str:
    """Return which files of a folder are not as they were written; files that were put there since are no damage."""
    written = recorded_sizes(piece)
    if not written:
        return ""
    folder = piece.facts[FOLDER]["path"]
    there = list_sizes(layout.root / folder)
    lost = [name for name, size in written.items() if there.get(name) != size]
    if not lost:
        return ""
    size = there.get(lost[0])
    said = "No such file or directory" if size is None else f"{size} bytes, {written[lost[0]]} were written"
    return f"{folder}/{lost[0]}: {said}" + (f", and {len(lost) - 1:,} more" if len(lost) > 1 else "")


def _find_index_damage(look: Look, tar: Piece) -> str:
    index = tar.facts.get(INDEX, {})
    if tar.path and index.get("version") != INDEX_VERSION:
        return f"{tar.path}: has no index of this version"
    return _compare(look, index["path"], index["bytes"]) if tar.path else ""


def _compare(look: Look, path: str, size: int, modified: int | None = None) -> str:
    """Return in what a file differs from what is recorded of it, "" where it does not or where there is none."""
    if not path:
        return ""
    try:
        status = look(path)
    except StorageError:
        raise  # an object store that does not answer says nothing of its objects
    except OSError as error:
        return f"{path}: {error.strerror}"
    if status.st_size != size:
        return f"{path}: {status.st_size} bytes, {size} were written"
    return f"{path}: touched since" if modified not in (None, status.st_mtime_ns) else ""
