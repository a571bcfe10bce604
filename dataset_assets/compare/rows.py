"""One tar as rows to compare: of each sample its key and digests of what it holds. A JPEG is hashed, never decoded.

A tar as we write it is read once, in large pieces; one of another writer is read as any other tar of images is. What
is damaged is named and refused: a comparison of what cannot be read would be wrong.
"""

import os
import struct
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b, file_digest, sha256
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np

from dataset_assets.compare.export import Tar
from dataset_assets.errors import StorageError
from dataset_assets.shards.sample import MEMBERS
from dataset_assets.shards.tar import BLOCK, TarError, TarReader
from dataset_assets.shards.window import Headers, Window
from dataset_assets.sources.tars.samples import BY_KEY, list_samples

ROW = np.dtype(
    [
        ("key", "S32"),
        ("image", "S16"),  # the first bytes of the JPEG's sha256
        ("text", "S16"),  # of the caption's, without the newline that it ends in
        *((name, "<u8") for name in ("size", "crop", "encoding", "source", "rest")),  # digests of fields of the JSON
        ("place", "<i8"),  # of the JPEG in the tar, bytes; -1 where text and JSON do not follow it
        ("tar", "<i4"),  # number of the tar in its export
        ("variant", "<i4"),  # number of the variant in the list that comes with the rows
    ]
)
_GROUPS = (  # the fields that each of the first four digests is of; the last is of all others
    ("target_w", "target_h"),
    ("crop",),
    ("image_mode", "jpeg"),
    ("source_sha256", "src_w", "src_h"),
)
_ELSEWHERE = ("bucket_id", "caption_variant")  # the tar's bucket is compared, and the variant by its name
_ROW = struct.Struct("<32s16s16s8s8s8s8s8sqii")
_KEY = 64  # hexadecimal digits
_LARGEST = 1 << 28  # bytes of a member: it is in memory as a whole
_FIELDS = msgspec.json.Decoder(dict[str, Any])

Parts = tuple[str, bytes | memoryview, bytes, bytes, int]  # key, JPEG, text, JSON and the JPEG's place


class TarRows(NamedTuple):
    """The rows of one tar, in its order, as bytes of ROW, and the names of their variants."""

    rows: bytes
    variants: list[str]


class UnlikeOursError(ValueError):
    """Not a tar as we write them."""


def read_rows(folder: Path, tar: Tar, fields: Collection[str]) -> TarRows:
    """Return the rows of a tar of the export in `folder`; of the JSON only `fields` count.

    Raises StorageError, which names the tar and the place, where it is damaged or not what the manifest lists.
    """
    describer, path = _Describer(fields), folder / tar.path
    with _naming_faults(folder, path):
        try:
            return describer.describe(_read_ours(path, tar))
        except UnlikeOursError:
            return describer.describe(_read_any(path, tar))


def list_fields(folder: Path, tar: Tar) -> frozenset[str]:
    """Return the names of the fields of the tar's first sample; none where it has no sample. Raises as `read_rows`."""
    path = folder / tar.path
    with _naming_faults(folder, path), path.open("rb") as file:
        for key, _, _, fields, _ in _list_any(file.fileno(), path, tar):
            return frozenset(_parse(key, fields))
    return frozenset()


def read_sample(folder: Path, tar: Tar, key: str, place: int) -> tuple[bytes, str, dict[str, Any]]:
    """Return JPEG, caption and fields of a sample whose row has this `place`. Raises as `read_rows`."""
    path = folder / tar.path
    with _naming_faults(folder, path), path.open("rb") as file:
        if place < 0:
            samples: Iterable[Parts] = _list_any(file.fileno(), path, tar)
        else:
            samples = [_read_at(file, place)]
        for name, jpeg, text, fields, _ in samples:
            if name == key:
                return bytes(jpeg), text.removesuffix(b"\n").decode("utf-8", "replace"), _parse(key, fields)
        raise ValueError(f"the sample {key} is not there any more")


def _read_at(file: BinaryIO, place: int) -> Parts:
    """Return the sample whose JPEG lies at a place in a tar that we wrote."""
    file.seek(place - BLOCK)
    jpeg, text, fields = islice(TarReader(file), len(MEMBERS))
    return jpeg.name.partition(".")[0], jpeg.data, text.data, fields.data, place


@contextmanager
def _naming_faults(folder: Path, path: Path) -> Iterator[None]:
    """Raise what is wrong with the tar at `path` as a StorageError that names it."""
    if path.exists() and not path.is_file():
        raise StorageError(f"{path}: is not a regular file")  # opening a pipe would wait for ever
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, TarError) as error:
        raise StorageError(f"{path}: {error}; `dataset-assets verify {folder}` says more") from None


def _read_ours(path: Path, tar: Tar) -> Iterator[Parts]:
    """Yield the samples of a tar that we wrote. Raises UnlikeOursError where it is none or is damaged."""
    headers = Headers()
    with path.open("rb", buffering=0) as file:
        window = Window(file, path.stat().st_size)
        try:
            for spans in window.samples():
                (start, end), (text, text_end), (fields, fields_end) = spans
                buffer = window.buffer
                key = bytes(buffer[start - BLOCK : start - BLOCK + _KEY])
                if not headers.fit(buffer, spans, key):
                    raise UnlikeOursError
                with memoryview(buffer) as view, view[start:end] as jpeg:
                    written = bytes(buffer[text:text_end]), bytes(buffer[fields:fields_end])
                    yield key.decode("ascii", "replace"), jpeg, *written, window.base + start
        except ValueError:
            raise UnlikeOursError from None
        if not window.whole:
            raise UnlikeOursError
        _check_digest(tar, window.sha256)


def _read_any(path: Path, tar: Tar) -> Iterator[Parts]:
    """Yield the samples of a tar of anybody's making. Raises ValueError where it is damaged."""
    with path.open("rb") as file:
        yield from _list_any(file.fileno(), path, tar)
        _check_digest(tar, file_digest(file, "sha256").hexdigest() if tar.sha256 else "")


def _list_any(file: int, path: Path, tar: Tar) -> Iterator[Parts]:
    for offer in list_samples(file, path.stat().st_size, tar.path, BY_KEY).images:
        if offer.fault:
            raise ValueError(offer.fault[1])
        key = offer.image_id.rpartition("/")[2]
        if not {"txt", "json"} <= offer.sidecars.keys():
            raise ValueError(f"byte {offer.place[0]}: the sample {key!r:.90} has no text or no JSON")
        places = (offer.place, offer.sidecars["txt"], offer.sidecars["json"])
        if too_large := [offset for offset, size in places if size > _LARGEST]:
            raise ValueError(f"byte {too_large[0]}: the sample {key!r:.90} has a member of more than {_LARGEST} bytes")
        jpeg, text, fields = (os.pread(file, size, offset) for offset, size in places)
        yield key, jpeg, text, fields, -1


def _check_digest(tar: Tar, digest: str) -> None:
    """Raise ValueError where a tar is not the one that the manifest lists: what differs might be damage."""
    if tar.sha256 and digest != tar.sha256:
        raise ValueError(f"its sha256 is {digest}, but the manifest says {tar.sha256:.64}")


def _parse(key: str, data: bytes) -> dict[str, Any]:
    try:
        return _FIELDS.decode(data)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the JSON of the sample {key!r:.90}: {error}") from None


class _Describer:
    """Makes rows of samples."""

    def __init__(self, fields: Collection[str]) -> None:
        self._groups = [[name for name in group if name in fields] for group in _GROUPS]
        taken = {name for group in _GROUPS for name in group} | {*_ELSEWHERE}
        self._groups.append(sorted(set(fields) - taken))
        self._names_variant = "caption_variant" in fields

    def describe(self, samples: Iterable[Parts]) -> TarRows:
        """Return the rows of samples."""
        variants: dict[str, int] = {}
        rows = []
        for key, jpeg, text, written, place in samples:
            fields = _parse(key, written)
            variant = str(fields.get("caption_variant") or "") if self._names_variant else ""
            digests = [_digest([fields.get(name) for name in group]) for group in self._groups]
            image, caption = sha256(jpeg).digest()[:16], sha256(text.removesuffix(b"\n")).digest()[:16]
            number = variants.setdefault(variant, len(variants))
            rows.append(_ROW.pack(_parse_key(key), image, caption, *digests, place, 0, number))
        return TarRows(b"".join(rows), list(variants))


def _parse_key(key: str) -> bytes:
    if len(key) != _KEY or not set(key) <= set("0123456789abcdef"):
        raise ValueError(f"the sample {key!r:.90} is not named by the 64 digits of a hash")
    return bytes.fromhex(key)


def show_key(key: bytes) -> str:
    """Return the key of a row as the digits that name the sample; numpy takes zeros off the end of bytes."""
    return bytes(key).ljust(ROW["key"].itemsize, b"\0").hex()


def _digest(values: list[Any]) -> bytes:
    return blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=8).digest()
