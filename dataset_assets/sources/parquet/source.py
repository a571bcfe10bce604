"""Images in a column of Parquet files, as Hugging Face `datasets` and others write them.

Which rows a file offers, and where their images lie in it, is found out once, see `rows`, and kept, see `kept`. The
version of an image says where it lies: reading one opens its file and goes there.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from dataset_assets.errors import DropReason, SampleError, SourceError, StorageError
from dataset_assets.sources.base import LARGEST_SIDECAR, Listed, join_sidecars
from dataset_assets.sources.folder import decode_uri, encode_uri, make_image_id
from dataset_assets.sources.parquet.columns import BY_NAME, ColumnRule
from dataset_assets.sources.parquet.kept import KeptRow, Line, forget_others, keep, make_key, recall
from dataset_assets.sources.parquet.places import Place
from dataset_assets.sources.parquet.rows import Row, open_image, read_image, read_rows
from dataset_assets.sources.slices import Handle, Wanted, find_state
from dataset_assets.sources.trees import Tree, find_folder, make_tree, tell_loss
from dataset_assets.sources.walk import FileState, read_size, show_path, split_name
from dataset_assets.storage.location import Location

_PARQUET = "parquet"
_ROW = re.compile(r"#\d+$")  # at the end of an image's uri
_LIES_OPEN = re.compile(r":|@\d+-\d+$")  # in the version of an image that has a file of its own, or no codec
_METADATA = "json"  # what the metadata of an image goes by, as if it lay beside it

_Rows = tuple[str, Iterator[KeptRow]]  # of a file, with what they are kept under


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetSource:
    """The Parquet files in a folder and its subfolders, or one file. `prefix` is put before every image_id."""

    path: Location
    listings: Location  # the folder of what is kept between two scans
    prefix: str = ""
    rule: ColumnRule = BY_NAME
    skip: tuple[Location, ...] = ()  # folders that are left alone: what we make ourselves

    def list_images(self, ignored: Counter[str]) -> Iterator[Listed]:
        """Offer the image of every row, in a fixed order; a file that did not change since the last time is not opened.

        The size of an image is that in the file or of its own file, 0 where there is none. A row without an image is
        offered with a fault, and so is a file that is damaged. Raises SourceError when the folder or one below it
        cannot be listed, a file not be read, or when it lacks a column; StorageError when a listing cannot be kept.
        """
        keys = []
        try:
            alone = find_folder(self.path, again=True) != self.path
            tree = self._tree
            look = tree.make_look()
            files = iter([(self.path.name, look(self.path.name))]) if alone else self._find_files(tree, ignored)
        except OSError as error:
            raise SourceError(f"source {show_path(str(self.path))}: {error.strerror or error}") from None
        for relative, state, found in tree.map(self._look_into, files):
            if isinstance(found, SampleError):
                yield self._list_file(relative, state, found)
                continue
            key, rows = found
            keys.append(key)
            for number, row in enumerate(rows):
                own = _look_up(look, tree.beside(relative, decode_uri(row.path))) if row.path else None
                yield self._list_row(relative, state, key, number, row, own)
        forget_others(self.listings, keys)

    def find_file(self, uri: str) -> str:
        """Return the uri of the Parquet file that a row is in."""
        return _ROW.sub("", uri)

    @property
    def at_once(self) -> int:
        """How many images are best opened at a time."""
        return make_tree(self.path).at_once

    def is_quick(self, version: str) -> bool:
        """Return whether it is waited for, and nothing has to be decompressed for it: else rows share what is."""
        return self.at_once > 1 and _LIES_OPEN.search(version) is not None

    def count_bytes(self, version: str) -> int:
        """Return the size of the image, or of its own file."""
        if ":" in version:
            return read_size(version)
        try:
            return Place.parse(version.partition("@")[2]).size
        except ValueError:
            return 0

    def open(self, uri: str, version: str) -> BinaryIO:
        """Open an image to read its header. Raises SampleError: UNREADABLE, or SOURCE_CHANGED."""
        if own := _find_own(uri, version):
            try:
                tree = self._tree
                return tree.open(tree.beside(*own[:2]), own[2])
            except OSError as error:
                raise SampleError(DropReason.UNREADABLE, error.strerror or str(error)) from None
        with self._opening(uri, version, "start") as (file, where):
            return open_image(file, where, self.rule)

    def read(self, uri: str, version: str) -> bytes:
        """Return the whole image. Raises SampleError: UNREADABLE, or SOURCE_CHANGED when its file is another one."""
        if own := _find_own(uri, version):
            try:
                tree = self._tree
                return tree.read(tree.beside(*own[:2]), own[2])
            except OSError as error:
                raise tell_loss(error) from None
        with self._opening(uri, version) as (file, where):
            return read_image(file, where, self.rule)

    def read_sidecar(self, uri: str, extension: str, version: str) -> bytes | None:
        """Return the metadata of an image as a JSON object, as it was listed. Raises OSError where it is not kept."""
        try:
            return Line.parse(version).read(self.listings, LARGEST_SIDECAR + 1)
        except (FileNotFoundError, ValueError):
            raise OSError("it is not kept any more; scan the source again") from None

    @property
    def _tree(self) -> Tree:
        return make_tree(find_folder(self.path), self.skip)

    def _find_files(self, tree: Tree, ignored: Counter[str]) -> Iterator[tuple[str, FileState]]:
        """Yield the Parquet files by their paths in the source; all other files are counted. Raises SourceError."""
        for folder, files in tree.walk(frozenset((_PARQUET,))):
            for entry in files:
                extension = split_name(entry.name)[1].lower()
                if extension == _PARQUET:
                    yield folder + entry.name, tree.look_at(entry)
                else:
                    ignored[show_path(extension)] += 1

    def _look_into(self, found: tuple[str, FileState]) -> tuple[str, FileState, _Rows | SampleError]:
        """Return a file that was found, and its rows or why it has none. Raises as list_images does."""
        relative, state = found
        if state.fault:
            return relative, state, SampleError(*state.fault)
        key = make_key(relative, state.version, self.rule)
        try:
            return relative, state, (key, self._recall(relative, state, key))
        except SampleError as error:
            return relative, state, error

    def _recall(self, relative: str, state: FileState, key: str) -> Iterator[KeptRow]:
        """Return the rows of a file, after keeping them where they are not kept."""
        rows = recall(self.listings, key)
        if rows is None:
            keep(self.listings, key, self._read_rows(relative, state))
            rows = recall(self.listings, key)
        if rows is None:
            raise StorageError(f"cannot read what was just written to {self.listings}")
        return rows

    def _read_rows(self, relative: str, state: FileState) -> Iterator[list[Row]]:
        shown = f"source {show_path(str(find_folder(self.path) / relative))}"
        try:
            with self._tree.open_parts(relative, state.version, "walk") as file:
                yield from read_rows(file, self.rule)
                if find_state(file).version != state.version:
                    raise SourceError("it changed while it was read; build again when it is complete")
        except OSError as error:
            raise SourceError(f"{shown}: cannot be read: {error.strerror or error}") from None
        except SourceError as error:
            raise SourceError(f"{shown}: {error}") from None

    def _list_file(self, relative: str, state: FileState, error: SampleError) -> Listed:
        return Listed(
            uri=encode_uri(relative),
            image_id=make_image_id(self.prefix + relative),
            size=state.size,
            version=state.version,
            modified=state.modified,
            fault=(error.reason, error.detail),
        )

    def _list_row(
        self, relative: str, state: FileState, key: str, number: int, row: KeptRow, own: FileState | None
    ) -> Listed:
        image_id = row.image_id or f"{split_name(relative)[0]}/{number}"
        fault = (DropReason.UNREADABLE, row.fault) if row.fault else own and own.fault
        return Listed(
            uri=f"{encode_uri(relative)}#{number}",
            image_id=make_image_id(self.prefix + image_id),
            size=own.size if own else row.size,
            version=f"{own.version}:{row.path}" if own else f"{state.version}@{row.where}",
            modified=max(state.modified, own.modified) if own else state.modified,
            sidecars=join_sidecars({_METADATA: str(Line(key, row.start, row.length))}) if row.length else "",
            fault=fault,
        )

    @contextmanager
    def _opening(self, uri: str, version: str, what: Wanted = "parts") -> Iterator[tuple[Handle, str]]:
        """Yield the file that an image is in, and where it lies there. Raises SampleError."""
        relative, number, _ = uri.rpartition("#")
        stamp, at, where = version.partition("@")
        if not number or not at:
            raise SampleError(DropReason.SOURCE_CHANGED, "not in a Parquet file; scan the source again")
        try:
            with self._tree.open_parts(decode_uri(relative), stamp, what) as file:
                _check(file, stamp)
                yield file, where
                _check(file, stamp)
        except OSError as error:
            raise tell_loss(error, "its file") from None


def _look_up(look: Callable[[str], FileState], path: str) -> FileState:
    """Return the state of an image's own file."""
    try:
        return look(path)
    except OSError as error:
        return FileState(fault=(DropReason.UNREADABLE, error.strerror or str(error)))


def _find_own(uri: str, version: str) -> tuple[str, str, str] | None:
    """Return the Parquet file of an image that is in a file of its own, its name there and its version, else None."""
    stamp, colon, path = version.partition(":")
    return (decode_uri(uri.rpartition("#")[0]), decode_uri(path), stamp) if colon else None


def _check(file: Handle, version: str) -> None:
    """Raise SampleError(SOURCE_CHANGED) where a file is not the one that was listed."""
    if find_state(file).version != version:
        raise SampleError(DropReason.SOURCE_CHANGED, "its file changed after the scan")
