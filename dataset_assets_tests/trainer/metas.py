"""Metadata for tests of the merge: inputs of any kind, and an independent merge to compare with."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_assets.progress import Silence
from dataset_assets.trainer.inputs.rows import Input, Role
from dataset_assets.trainer.merge.merge import Merged, merging
from dataset_assets.trainer.output.merged import Form

Meta = Mapping[str, Any]

TAGS = {
    "1": {"tags": "fox, blue eyes"},
    "20": {"tags": "wolf"},
    "3": {"tags": "“été”, 雨, back\\slash, a\x7fb, 😀"},
    "100": {"tags": "{cat|dog}, two\nlines"},
}
CAPTIONS = {
    "1": {"caption": 'A fox says "}, \\"7\\": {" and "5": {'},
    "3": {"caption": "Il a été là."},
    "20": {"caption": "wolf"},
}
LATENTS = {
    "1": {"train_resolution": [832, 1216]},
    "3": {"train_resolution": [1024, 1024]},
    "20": {"train_resolution": [1216, 832]},
    "100": {"train_resolution": [1024, 1024]},
}


def write_json(path: Path, meta: Meta, **options: Any) -> Path:
    """Write a JSON object; `options` are json.dump's."""
    path.write_text(json.dumps(meta, **options), encoding="utf-8")
    return path


def write_lines(path: Path, lines: Iterable[object]) -> Path:
    """Write JSON Lines."""
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], *, group: int = 2) -> Path:
    """Write rows as Parquet, `group` of them a row group."""
    pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=group)
    return path


def source(path: Path, *roles: Role) -> Input:
    """Return a file as an input."""
    return Input(path=path, roles=frozenset(roles))


def write_inputs(folder: Path, tags: Meta = TAGS, captions: Meta = CAPTIONS, latents: Meta = LATENTS) -> list[Input]:
    """Write three JSON objects; the ids are those of the latents."""
    return [
        source(write_json(folder / "tags.json", tags), "tags"),
        source(write_json(folder / "captions.json", captions), "captions"),
        source(write_json(folder / "latents.json", latents), "ids", "latents"),
    ]


@contextmanager
def merged(inputs: Sequence[Input], folder: Path, form: Form | None = None, **options: Any) -> Iterator[Merged]:
    """Yield a merge of this process alone, unless `workers` says something else."""
    given: dict[str, Any] = {"workers": 1, "progress": Silence()} | options
    with merging(inputs, folder, form or Form(archive=False), **given) as found:
        yield found


def merge(inputs: Sequence[Input], folder: Path, form: Form | None = None, **options: Any) -> dict[str, bytes]:
    """Return the files of a merge by name."""
    with merged(inputs, folder, form, **options) as found:
        return {name: path.read_bytes() for name, path in found.files.items()}


def merge_whole(tags: Meta, captions: Meta, latents: Meta, prefix: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return merged metadata and what is missing, of good entries, as a loop over whole dictionaries makes them."""
    result: dict[str, Any] = {}
    missing: dict[str, list[str]] = {"tags": [], "caption": [], "latent": []}
    for one in sorted(map(int, latents)):
        key = f"{prefix}/{one}" if prefix else str(one)
        entry = result[key] = {"tags": tags.get(str(one), {}).get("tags", "")}
        if str(one) in captions:
            entry["caption"] = captions[str(one)]["caption"]
        else:
            entry["caption"] = entry["tags"]
            missing["caption"].append(key)
        if str(one) not in tags:
            missing["tags"].append(key)
        size = latents[str(one)].get("train_resolution")
        if size:
            entry |= {"train_resolution": size, "image_size": size}
        else:
            missing["latent"].append(key)
    return result, missing
