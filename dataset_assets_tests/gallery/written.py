"""Galleries of small datasets in tests: written by the stage, and read as the page's scripts get them."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.pages.write import find_data
from dataset_assets_tests.datasets import settings_in


@contextmanager
def opened(folder: Path, *, shown: int = 240, drops: int = 12, **sections: Any) -> Iterator[Dataset]:
    """Yield the dataset in `folder`, which has a gallery."""
    gallery = {"enabled": True, "images": shown, "drops": drops}
    with open_dataset(settings_in(folder, gallery=gallery, **sections)) as dataset:
        yield dataset


def read_gallery(folder: Path) -> dict[str, Any]:
    """Return what the page of the dataset in `folder` gets, by name; its parts of the samples are one."""
    data: dict[str, Any] = {"samples": []}
    page = folder / "out" / "gallery"
    for path in find_data(page):
        name, _, value = path.read_text(encoding="utf-8").removeprefix('receive("').removesuffix(");\n").partition('",')
        if name.startswith("samples-"):
            data["samples"] += json.loads(value)
        else:
            data[name] = json.loads(value)
    return data


def list_pictures(data: Any) -> Iterator[dict[str, Any]]:
    """Yield every picture that the page shows."""
    if isinstance(data, dict):
        if data.keys() == {"path", "w", "h"}:
            yield data
        for value in data.values():
            yield from list_pictures(value)
    if isinstance(data, list):
        for value in data:
            yield from list_pictures(value)


def name_data(files: Iterable[str]) -> set[str]:
    """Return the names of the data files among some files of a gallery, without their digests, and of the others."""
    return {PurePosixPath(name).name.partition(".")[0] if name.startswith("data/") else name for name in files}


def find_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what tells whether a file of the gallery was written again, by its path there."""
    page = folder / "out" / "gallery"
    paths = (path for path in page.rglob("*") if path.is_file())
    return {path.relative_to(page).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}
