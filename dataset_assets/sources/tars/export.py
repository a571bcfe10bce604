"""Images in a bucketed_shards export, ours or a publisher's: the tars that its manifest lists, read as any others."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from dataset_assets.errors import SourceError, StorageError
from dataset_assets.release.manifest import load_manifest
from dataset_assets.sources.tars.samples import IdRule
from dataset_assets.sources.tars.source import TarSource
from dataset_assets.sources.walk import FileState, show_path
from dataset_assets.storage.layout import EXPORT_MANIFEST

_FORMATS = ("bucketed_shards_v1", "bucketed_shards_v2")
_BY_IMAGE_ID = IdRule(by="json", field="image_id", or_key=True)  # not every publisher writes it


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSource(TarSource):
    """The folder of an export: manifest.json and buckets/. An image is called what it was called in the export."""

    rule: IdRule = _BY_IMAGE_ID

    def find_tars(self, ignored: Counter[str]) -> Iterator[tuple[str, FileState]]:
        """Yield the tars that the manifest lists, in its order; what else lies in the folder is left alone.

        Raises SourceError where there is no manifest of an export, and where one of its tars is not there or has
        another size than it says: images that are missing by mistake would lose their places.
        """
        if self.tree.is_skipped():
            raise SourceError(f"source {self._shown}: this is the export that is made here, and no source of it")
        look = self.tree.make_look()
        yield from [(tar, self._look_at(look, tar, size)) for tar, size in self._list_shards().items()]

    @property
    def _shown(self) -> str:
        return show_path(str(self.path))

    def _list_shards(self) -> dict[str, int | None]:
        """Return the paths that the manifest lists, and their sizes where it says those."""
        try:
            manifest = load_manifest(self.path / EXPORT_MANIFEST)
        except StorageError as error:
            raise SourceError(f"source {self._shown}: {error}; path names the folder of an export") from None
        if manifest.get("format") not in _FORMATS:
            raise self._refuse(f"the format {manifest.get('format')}; allowed: {', '.join(_FORMATS)}")
        buckets = manifest.get("buckets")
        if not isinstance(buckets, dict):
            raise self._refuse("no buckets")
        shards: dict[str, int | None] = {}
        for bucket_id, bucket in buckets.items():
            listed = bucket.get("shards") if isinstance(bucket, dict) else None
            if not isinstance(listed, list):
                raise self._refuse(f"no shards of the bucket {bucket_id}")
            for entry in listed:
                path, size = self._parse_entry(bucket_id, entry)
                if path in shards:
                    raise self._refuse(f"{path} twice")
                shards[path] = size
        return shards

    def _parse_entry(self, bucket_id: str, entry: object) -> tuple[str, int | None]:
        """Return a shard's path in the export, and its size in bytes where that is said."""
        path, size = (entry.get("path"), entry.get("bytes")) if isinstance(entry, dict) else (entry, None)
        if not isinstance(path, str) or not path.lower().endswith(".tar"):
            raise self._refuse(f"a shard of the bucket {bucket_id} that is not the path of a tar")
        if "/" not in path:
            path = f"buckets/{bucket_id}/{path}"
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or not path.isprintable():
            raise self._refuse(f"{path!r}, which is not a path in the export")
        return str(parts), size if isinstance(size, int) else None

    def _look_at(self, look: Callable[[str], FileState], tar: str, size: int | None) -> FileState:
        run_verify = f"run dataset-assets verify {self._shown}"
        try:
            state = look(tar)
        except OSError as error:
            raise self._refuse(f"{tar}, which cannot be read: {error.strerror}; {run_verify}") from None
        if state.fault:
            raise self._refuse(f"{tar}, which is {state.fault[1]}; {run_verify}")
        if size not in (None, state.size):
            raise self._refuse(f"{tar} with {size} bytes, and it has {state.size}; {run_verify}")
        return state

    def _refuse(self, what: str) -> SourceError:
        return SourceError(f"source {self._shown}: {EXPORT_MANIFEST} lists {what}")
