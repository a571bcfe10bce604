"""Images in a column of Parquet files, as Hugging Face `datasets` and others write them.

Which rows a file offers, and where their images lie in it, is found out once, see `rows`, and kept, see `kept`. The
version of an image says where it lies: reading one opens its file and goes there.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dataset_assets.errors import DropReason, SampleError, SourceError, StorageError
from dataset_assets.sources.base import LARGEST_SIDECAR, Listed, join_sidecars
from dataset_assets.sources.folder import FolderSource, decode_uri, encode_uri, make_image_id
from dataset_assets.sources.parquet.columns import BY_NAME, ColumnRule
from dataset_assets.sources.parquet.kept import KeptRow, Line, forget_others, keep, make_key, recall
from dataset_assets.sources.parquet.rows import Row, open_image, read_image, read_rows
from dataset_assets.sources.walk import FileState, look_at, show_path, split_name, state_of, walk
from dataset_assets.storage.location import Location

_PARQUET = "parquet"
_ROW = re.compile(r"#\d+$")  # at the end of an image's uri
_METADATA = "json"  # what the metadata of an image goes by, as if it lay beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetSource:
    """The Parquet files in a folder and its subfolders, or one file. `prefix` is put before every image_id."""

    path: Path
    listings: Location  # the folder of what is kept between two scans
    prefix: str = ""
    rule: ColumnRule = BY_NAME
    skip: tuple[Path, ...] = ()  # folders that are left alone: what we make ourselves

    def list_images(self, ignored: Counter[str]) -> Iterator[Listed]:
        """Offer the image of every row, in a fixed order; a file that did not change since the last time is not opened.

        The size of an image is that in the file or of its own file, 0 where there is none. A row without an image is
        offered with a fault, and so is a file that is damaged. Raises SourceError when the folder or one below it
        cannot be listed, a file not be read, or when it lacks a column; StorageError when a listing cannot be kept.
        """
        keys = []
        for relative, state in self._find_files(ignored):
            try:
                if state.fault:
                    raise SampleError(*state.fault)
                key = make_key(relative, state.version, self.rule)
                rows = self._look_into(relative, state, key)
            except SampleError as error:
                yield self._list_file(relative, state, error)
                continue
            keys.append(key)
            yield from (self._list_row(relative, state, key, number, row) for number, row in enumerate(rows))
        forget_others(self.listings, keys)

    def find_file(self, uri: str) -> str:
        """Return the uri of the Parquet file that a row is in."""
        return _ROW.sub("", uri)

    def open(self, uri: str, version: str) -> BinaryIO:
        """Open an image to read its header. Raises SampleError: UNREADABLE, or SOURCE_CHANGED."""
        if own := self._find_own(uri, version):
            return own[0].open(*own[1:])
        with self._opening(uri, version) as (file, where):
            return open_image(file.fileno(), where, self.rule)

    def read(self, uri: str, version: str) -> bytes:
        """Return the whole image. Raises SampleError: UNREADABLE, or SOURCE_CHANGED when its file is another one."""
        if own := self._find_own(uri, version):
            return own[0].read(*own[1:])
        with self._opening(uri, version) as (file, where):
            return read_image(file.fileno(), where, self.rule)

    def read_sidecar(self, uri: str, extension: str, version: str) -> bytes | None:
        """Return the metadata of an image as a JSON object, as it was listed. Raises OSError where it is not kept."""
        try:
            return Line.parse(version).read(self.listings, LARGEST_SIDECAR + 1)
        except (FileNotFoundError, ValueError):
            raise OSError("it is not kept any more; scan the source again") from None

    @property
    def _root(self) -> Path:
        return self.path.parent if self.path.is_file() else self.path

    def _find_files(self, ignored: Counter[str]) -> Iterator[tuple[str, FileState]]:
        """Yield the Parquet files by their paths in the source; all other files are counted. Raises SourceError."""
        if self.path.is_file():
            yield self.path.name, state_of(self.path.stat())
            return
        for folder, files in walk(self.path, frozenset((_PARQUET,)), self.skip):
            for entry in files:
                extension = split_name(entry.name)[1].lower()
                if extension == _PARQUET:
                    yield folder + entry.name, look_at(entry)
                else:
                    ignored[show_path(extension)] += 1

    def _look_into(self, relative: str, state: FileState, key: str) -> Iterator[KeptRow]:
        """Return the rows of a file, after keeping them where they are not kept. Raises as list_images does."""
        rows = recall(self.listings, key)
        if rows is None:
            keep(self.listings, key, self._read_rows(relative, state))
            rows = recall(self.listings, key)
        if rows is None:
            raise StorageError(f"cannot read what was just written to {self.listings}")
        return rows

    def _read_rows(self, relative: str, state: FileState) -> Iterator[list[Row]]:
        path = self._root / relative
        shown = f"source {show_path(path)}"
        try:
            with path.open("rb") as file:
                yield from read_rows(file, self.rule)
            if state_of(path.stat()) != state:
                raise SourceError("it changed while it was read; build again when it is complete")
        except OSError as error:
            raise SourceError(f"{shown}: cannot be read: {error.strerror}") from None
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

    def _list_row(self, relative: str, state: FileState, key: str, number: int, row: KeptRow) -> Listed:
        image_id = row.image_id or f"{split_name(relative)[0]}/{number}"
        own = _look_at((self._root / relative).parent, row.path) if row.path else None
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

    def _find_own(self, uri: str, version: str) -> tuple[FolderSource, str, str] | None:
        """Return the folder, uri and version of an image that is in a file of its own, None for the others."""
        stamp, colon, path = version.partition(":")
        if not colon:
            return None
        folder = (self._root / decode_uri(uri.rpartition("#")[0])).parent
        return FolderSource(path=folder), path, stamp

    @contextmanager
    def _opening(self, uri: str, version: str) -> Iterator[tuple[BinaryIO, str]]:
        """Yield the file that an image is in, and where it lies there. Raises SampleError."""
        relative, number, _ = uri.rpartition("#")
        stamp, at, where = version.partition("@")
        if not number or not at:
            raise SampleError(DropReason.SOURCE_CHANGED, "not in a Parquet file; scan the source again")
        try:
            with (self._root / decode_uri(relative)).open("rb") as file:
                _check(file, stamp)
                yield file, where
                _check(file, stamp)
        except FileNotFoundError:
            raise SampleError(DropReason.SOURCE_CHANGED, "its file was removed after the scan") from None
        except OSError as error:
            raise SampleError(DropReason.UNREADABLE, error.strerror or str(error)) from None


def _check(file: BinaryIO, version: str) -> None:
    """Raise SampleError(SOURCE_CHANGED) where a file is not the one that was listed."""
    if state_of(os.fstat(file.fileno())).version != version:
        raise SampleError(DropReason.SOURCE_CHANGED, "its file changed after the scan")


def _look_at(folder: Path, uri: str) -> FileState:
    """Return what the folder says of an image's own file."""
    try:
        return state_of((folder / decode_uri(uri)).stat())
    except OSError as error:
        return FileState(fault=(DropReason.UNREADABLE, error.strerror or str(error)))
