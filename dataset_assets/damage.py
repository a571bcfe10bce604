"""Whether the files of a stage are there as they were written: by their sizes and times, and no file is opened.

Who asks about many pieces makes a `survey` of them first, and hands it on: a folder of an object store is then listed
once. On a local disk nothing is looked at before it is asked about.

What a stage would be made from now is freshness.py's to say, and what is in a file is the stages'.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from dataset_assets.catalog.state import Piece
from dataset_assets.errors import StorageError
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.location import Location, Look, find_files, look_at, path_in

MODIFIED = "modified_ns"  # a piece's fact: the time of its file, for those in the export, which others may write to
INDEX = "index"  # a tar's fact: the file that says what lies where in it, as `path`, `bytes` and `version`
FOLDER = "folder"  # a fact of a piece that is more than its file: all files of a folder, as `path`, `files` and `names`
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
    """Return the fact that is recorded of a folder whose files were just written: one listing, without their sizes.

    Names that begin with a dot are not counted: what desktops leave, and files that are being written.
    """
    names = [name for name in find_files(folder) if not name.rpartition("/")[2].startswith(".")]
    digest = sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()
    return {FOLDER: {"path": path_in(layout.root, folder), "files": len(names), "names": digest}}


def _find_folder_damage(layout: Layout, piece: Piece) -> str:
    if FOLDER not in piece.facts:
        return ""
    written = piece.facts[FOLDER]
    there = describe_folder(layout, layout.root / written["path"])[FOLDER]
    said = f"{written['path']}: {there['files']:,} files, not the {written['files']:,} that were written"
    return "" if there == written else said


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
