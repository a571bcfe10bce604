"""The content of many source files as sha256: for scans that compare content, and to find the same image twice."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import islice

from dataset_assets.catalog.database import BATCH
from dataset_assets.catalog.images import record_checksums, usable_images
from dataset_assets.dataset import Dataset
from dataset_assets.errors import SampleError
from dataset_assets.progress import Progress
from dataset_assets.sources.base import Source, count_at_once
from dataset_assets.sources.headers import File

_CHUNK = 1 << 20  # bytes


def read_checksums(dataset: Dataset, files: Iterable[File], count: int, progress: Progress) -> Iterator[str]:
    """Yield the sha256 of `count` source files in order, "" for one that cannot be read: its header says why."""
    progress.start("reading content", count, "files")
    rest = iter(files)
    at_once = max(dataset.settings.workers, count_at_once(dataset.sources.values()))
    with ThreadPoolExecutor(at_once) as pool:
        while batch := list(islice(rest, BATCH)):  # map takes all that it is given at once
            for checksum in pool.map(lambda file: _hash(dataset.sources[file[0]], *file[1:]), batch):
                yield checksum
                progress.advance(1)
    progress.finish()


def fill_checksums(dataset: Dataset, progress: Progress) -> int:
    """Read the usable images whose content is not known yet; the catalog keeps it until they change.

    Returns how many could not be read.
    """
    with dataset.catalog.reading() as connection:
        images = usable_images(connection).to_pandas()
    unknown = images[images["checksum"] == ""]
    if unknown.empty:
        return 0
    read = 0
    files = zip(unknown["source"], unknown["uri"], unknown["version"], strict=True)
    found = zip(unknown["id"].tolist(), read_checksums(dataset, files, len(unknown), progress), strict=True)
    while batch := list(islice(found, BATCH)):
        known = [(row, checksum) for row, checksum in batch if checksum]
        with dataset.catalog.writing() as connection:
            record_checksums(connection, known)
        read += len(known)
    return len(unknown) - read


def _hash(source: Source, uri: str, version: str) -> str:
    digest = sha256()
    try:
        with source.open(uri, version) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except (SampleError, OSError):
        return ""
    return digest.hexdigest()
