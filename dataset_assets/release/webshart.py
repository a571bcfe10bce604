"""The JSON index beside a tar that the package `webshart` reads: where members lie, and what is known of images.

The layout is webshart's own, as its releases 0.5 and 0.6 read it; docs/format.md has it. It is made of a tar's index.
"""

import json
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from dataset_assets.release.manifest import ShardEntry
from dataset_assets.release.samples import show
from dataset_assets.shards.index import Row
from dataset_assets.shards.sample import MEMBERS
from dataset_assets.storage.location import Location


def webshart_path(tar: str) -> str:
    """Return the path of a tar's index, given the tar's."""
    return tar.removesuffix(".tar") + ".json"


def make_webshart(shard: ShardEntry, rows: Iterable[Row]) -> bytes:
    """Return the bytes of a tar's index; `rows` are its samples, as shards/index.py has them."""
    return _dump({**_describe_tar(shard), "files": {name: entry for row in rows for name, entry in _members(row)}})


def _describe_tar(shard: ShardEntry) -> dict[str, object]:
    return {
        "path": PurePosixPath(shard.path).name,
        "filesize": shard.bytes,
        "hash_lfs": shard.sha256,
        "includes_image_geometry": True,
    }


def _members(row: Row) -> Iterable[tuple[str, dict[str, object]]]:
    """Yield the three members of a sample, in their order; what is known of the image stands with the image."""
    for extension in MEMBERS:
        entry = {"offset": row[f"{extension}_offset"], "length": row[f"{extension}_size"]}
        if extension == "jpg":
            entry |= {"width": row["w"], "height": row["h"], "aspect": row["w"] / row["h"]}
            if row["caption"]:  # else webshart says that there is none
                entry["captions"] = row["caption"]
        yield f"{row['key']}.{extension}", entry


def _dump(index: dict[str, Any]) -> bytes:
    return json.dumps(index, ensure_ascii=False, separators=(",", ":")).encode()


class WebshartCheck:
    """Compares a tar's index with the tar, sample by sample; `file` is what its faults are about."""

    def __init__(self, path: Location, shard: ShardEntry) -> None:
        self.file = webshart_path(shard.path)
        self._shard = shard
        self._expected: dict[str, object] = {}  # by name of the member
        self._told = True  # whether all samples so far could be told
        self._data, self._index, self._fault = _read(path)

    def compare(self, key: str, row: Row | None) -> list[str]:
        """Return where the index differs from the tar's next sample; `row` is None where that cannot be told."""
        if self._fault or row is None:
            self._told = False
            return []
        members, claimed, faults = dict(_members(row)), self._index["files"], []
        for name, entry in members.items():
            if name not in claimed:
                faults.append(f"{name} is not in the index")
            elif claimed[name] != entry:
                faults += [f"{name}: {fault}" for fault in _differ(claimed[name], entry)]
        self._expected |= members
        return faults

    def finish(self) -> list[str]:
        """Return where the index differs from the tar as a whole, after its last sample."""
        if not self._told:
            return [self._fault] if self._fault else []
        tar = _describe_tar(self._shard)
        faults = _differ({key: value for key, value in self._index.items() if key != "files"}, tar)
        more = self._index["files"].keys() - self._expected.keys()
        faults += [f"{name} is not in the tar" for name in sorted(more)]
        whole = {**tar, "files": self._expected}
        if self._index == whole and self._data != _dump(whole):
            faults.append("the index is not written as the format says")
        return faults


def _read(path: Location) -> tuple[bytes, dict[str, Any], str]:
    """Return the bytes of an index, what it says, and why it says nothing, "" where it says something."""
    try:
        data = path.read_bytes()
        index = json.loads(data)
    except OSError as error:
        return b"", {}, f"the file cannot be read: {error.strerror or error}"
    except (ValueError, RecursionError) as error:
        return b"", {}, f"the file is not JSON: {error}"
    if not isinstance(index, dict) or not isinstance(index.get("files"), dict):
        return b"", {}, "the file is not an index of files"
    return data, index, ""


def _differ(claimed: object, expected: object) -> list[str]:
    """Return in which keys two objects differ, a line each."""
    if not isinstance(claimed, dict) or not isinstance(expected, dict):
        return ["it is not an object"]
    said = {key: show(value) for key, value in claimed.items()}
    held = {key: show(value) for key, value in expected.items()}
    return [
        f"{key} is {said.get(key, 'missing')}, but in the tar it is {held.get(key, 'missing')}"
        for key in sorted(claimed.keys() | expected.keys())
        if key not in claimed or key not in expected or claimed[key] != expected[key]
    ]
