"""Parquet artifacts: read with errors as StorageError, written whole or not at all.

Every page has a checksum that is verified when it is read: a crop that the disk damaged is never copied on.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_assets.errors import DamagedError, StorageError
from dataset_assets.storage.atomic import writing
from dataset_assets.storage.location import Location
from dataset_assets.storage.objects import ObjectPath
from dataset_assets.storage.store import ObjectError


def read_table(path: Location, columns: list[str] | None = None) -> pa.Table:
    """Return a Parquet file, or some of its columns. Raises StorageError where it is missing or damaged."""
    with open_table(path, whole=columns is None) as file:
        return file.read(columns)


def find_table(path: Location, columns: list[str] | None = None) -> pa.Table | None:
    """Return what `read_table` does, None where the file is damaged or not there: it has to be made again then.

    Raises StorageError where it cannot be read for another reason: that says nothing of what is in it.
    """
    try:
        return read_table(path, columns)
    except DamagedError:
        return None
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


@contextmanager
def open_table(path: Location, *, whole: bool = False) -> Iterator[pq.ParquetFile]:
    """Yield a Parquet file, of which the footer is read. Raises StorageError where it is missing or damaged.

    `whole` says that nearly all of it will be read, in its order: an object is then fetched ahead of its reader.
    """
    try:
        file = open_file(path, whole=whole)
        try:
            yield file
        finally:
            file.close(force=True)
    except ObjectError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # the last: of the columns' names
        if isinstance(error, OSError) and error.errno:  # the system's, in words of Arrow's; damage has no number
            raise StorageError(f"cannot read {path}: {os.strerror(error.errno)}") from error
        raise DamagedError(f"{path} is damaged: {error}; remove it and build again") from error


def open_file(path: Location, *, whole: bool = False) -> pq.ParquetFile:
    """Return a Parquet file, of which the footer is read; close it with `force=True`.

    Raises OSError, ArrowException or UnicodeDecodeError: `open_table` says of them what is wrong.
    """
    if not isinstance(path, ObjectPath):
        return pq.ParquetFile(cast("Path", path), page_checksum_verification=True)
    source = path.open("rb") if whole else path.open_ranges()
    try:
        return pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=not whole)
    except BaseException:
        source.close()
        raise


def write_table(path: Location, table: pa.Table) -> None:
    """Write a table as `path`. Raises StorageError."""
    with writing(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


@contextmanager
def writing_table(
    path: Location,
    schema: pa.Schema,
    *,
    compression: str,
    ranged: Sequence[str] | bool = True,
    repeating: Sequence[str] | bool = True,
) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of row groups whose file becomes `path` when the block ends without an exception.

    Of the columns that are `ranged` each row group has the least and largest value, which readers skip it by; values
    of those that are `repeating` are written once. True is all of them.
    """
    with (
        writing(path) as file,
        _open_natively(file) as sink,
        pq.ParquetWriter(
            sink,
            schema,
            compression=compression,
            write_page_checksum=True,
            write_statistics=ranged,
            use_dictionary=repeating,
        ) as writer,
    ):
        yield writer


@contextmanager
def _open_natively(file: BinaryIO) -> Iterator[BinaryIO | pa.NativeFile]:
    """Yield a new file as Arrow opens it, where it can: what it writes to one of Python's it copies before.

    Raises OSError in the system's words.
    """
    if not isinstance(file, BufferedWriter) or not _is_text(file.name):
        yield file
        return
    try:
        with pa.OSFile(file.name, "wb") as native:
            yield native
    except OSError as error:
        if error.errno and "[errno " in str(error.strerror):  # Arrow's words, around the system's
            raise OSError(error.errno, os.strerror(error.errno)) from error
        raise


def _is_text(name: str) -> bool:
    """Return whether a file's name is UTF-8, which Arrow insists on."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
