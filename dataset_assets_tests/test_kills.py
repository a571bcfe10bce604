"""Builds that are killed at any moment: the same command again ends in the bytes of a build that nobody disturbed."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.progress import Silence
from dataset_assets.settings import load_settings
from dataset_assets.shards.verify import verify
from dataset_assets.status import judge_all
from dataset_assets_tests.commands import alive, children_of, start, wait_for, write_settings
from dataset_assets_tests.datasets import LANDSCAPE, PORTRAIT, SQUARE, add_photo, add_photos

PHOTOS = 40
LIVES = 2
_SHORT_WHILE = 0.3  # seconds
_PATIENCE = 120


def begin(folder: Path) -> None:
    add_photos(folder, PHOTOS)
    write_settings(folder)


def grow(folder: Path) -> None:
    """Fill the last shards, begin others, and give captions to some that had none."""
    for seed in range(100, 112):
        add_photo(
            folder, f"new/{seed}.jpg", (LANDSCAPE, PORTRAIT, (300, 72))[seed % 3], seed=seed, caption=f"new {seed}"
        )
    for seed in (1, 3, 5):
        (folder / "raw" / f"{seed:03d}.txt").write_text("a caption")


def shrink(folder: Path) -> None:
    """Empty a bucket and a shard of another, and rename and replace some."""
    for seed in (*range(3, PHOTOS, 4), *range(0, 20, 2)):
        (folder / "raw" / f"{seed:03d}.jpg").unlink()
    (folder / "raw" / "001.jpg").rename(folder / "raw" / "renamed.jpg")
    add_photo(folder, "020.jpg", SQUARE, seed=200)
    add_photo(folder, "022.jpg", LANDSCAPE, seed=201)


def encode(folder: Path) -> None:
    """Encode everything again."""
    write_settings(folder, quality=80)


def cut(folder: Path) -> None:
    """Cut buckets into other shards and partitions, and leave out what has no caption."""
    config = write_settings(folder, quality=80)
    text = config.read_text().replace("shard_size = 4", "shard_size = 3")
    config.write_text(text + '[captions]\nmissing_caption_policy = "drop"\n')


# What people do, and where the builds after it are killed: when a file is made or removed in this folder, "" at any
# time. The later stages come last, so that each build has work left.
ALL = ("plans", "crops", "selection", "export/buckets", "export")
STEPS: Sequence[tuple[Callable[[Path], None], Sequence[str]]] = (
    (begin, ("", *ALL)),
    (grow, ("", *ALL)),
    (shrink, ALL),
    (encode, ("", "crops", "crops", "export/buckets")),
    (cut, ALL[:4]),
)


_DIGEST = re.compile(r"\.[0-9a-f]{16}\.js")  # in the names of the gallery's data, which has times in it


@dataclass(frozen=True, slots=True)
class Whole:
    """What an uninterrupted build left, and how long it took from its lock to its end, seconds."""

    files: dict[str, str]
    seconds: float


def find_files(root: Path) -> dict[str, str]:
    """Return the digest of every artifact of a dataset whose export is sound."""
    report = verify(root / "export", workers=1, progress=Silence())
    assert report.ok, report.faults
    manifest: dict[str, Any] = json.loads((root / "export" / "manifest.json").read_bytes())
    moments = [str(made["created_at"]) for made in (manifest, *manifest["caption_sources"].values())]
    return {
        _DIGEST.sub(".js", path.relative_to(root).as_posix()): hashlib.sha256(_read(path, moments)).hexdigest()
        for folder in root.iterdir()
        if not folder.name.startswith((".", "dataset.sqlite"))
        for path in folder.rglob("*.*")
    }


def _read(path: Path, moments: list[str]) -> bytes:
    """Return what a file must be like, whenever it was made."""
    if path.suffix == ".parquet":
        return b""  # holds times of the source files
    data = path.read_bytes()
    for moment in moments if path.suffix in (".md", ".json", ".js") else ():
        data = data.replace(moment.encode(), b"")
    if path.suffix == ".html":
        return _DIGEST.sub(".js", data.decode()).encode()
    return re.sub(rb'"created_at":[0-9.]+', b"", data) if path.suffix == ".js" else data  # of captions


def build(folder: Path) -> subprocess.Popen[str]:
    """Start a build; return it when it has the lock, which is when it begins to do anything."""
    lock = folder / "out" / ".build.lock"
    process = start(folder, "build", log=folder / "log.txt")
    wait_for(lambda: process.poll() is not None or (lock.exists() and lock.read_text() == str(process.pid)))
    return process


def finish(process: subprocess.Popen[str], folder: Path) -> None:
    assert process.wait(_PATIENCE) == 0, (folder / "log.txt").read_text()


def kill(process: subprocess.Popen[str], *, alone: bool) -> None:
    """Kill a build alone, or it and all its workers at once; either way none of them goes on."""
    below = children_of(process.pid)
    if alone:
        process.kill()
    else:
        with suppress(ProcessLookupError):  # it was over
            os.killpg(process.pid, signal.SIGKILL)
    process.wait(_PATIENCE)
    wait_for(lambda: not any(map(alive, below)))


def wait_for_moment(process: subprocess.Popen[str], folder: Path, watched: str, chance: float, seconds: float) -> None:
    """Return at a moment, by `chance` from 0 to 1, of a build that takes about so many seconds, or at its end."""
    if not watched:
        time.sleep(chance * seconds / 2)
        return
    began, end = time.time_ns(), time.monotonic() + 2 * seconds
    places = [folder / "out" / watched]
    while process.poll() is None and time.monotonic() < end and _newest(places) < began:
        places = [folder / "out" / watched, *(folder / "out" / watched).glob("*/")]
        time.sleep(0.002)
    time.sleep(chance * _SHORT_WHILE)


def _newest(folders: list[Path]) -> int:
    """Return when a file was last made or removed in one of these folders, unix nanoseconds; 0 for none of them."""
    return max((folder.stat().st_mtime_ns for folder in folders if folder.exists()), default=0)


def live(folder: Path, seed: int, expected: Sequence[Whole]) -> list[str]:
    """Go through the steps, killing builds at random moments; return what the kills left unfinished."""
    chance = random.Random(seed)
    struck: list[str] = []
    for (step, places), whole in zip(STEPS, expected, strict=True):
        step(folder)
        for place in places:
            process = build(folder)
            wait_for_moment(process, folder, place, chance.random(), whole.seconds)
            kill(process, alone=chance.random() < 0.5)
            if process.returncode == -signal.SIGKILL:
                struck.append(_find_first_stale(folder))
        finish(build(folder), folder)
        assert find_files(folder / "out") == whole.files, f"{step.__name__}, after {struck}"
        assert not [path for path in folder.rglob("*") if path.name.endswith(".writing")]
    return struck


def _find_first_stale(folder: Path) -> str:
    with open_dataset(load_settings(folder / "dataset.toml")) as dataset:
        return next((stage for (stage, _), verdict in judge_all(dataset).items() if not verdict.fresh), "nothing")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_builds_that_are_killed_anywhere_end_like_one_that_is_not(tmp_path: Path) -> None:
    expected = []
    for step, _ in STEPS:
        step(tmp_path / "whole")
        process = build(tmp_path / "whole")
        began = time.monotonic()
        finish(process, tmp_path / "whole")
        expected.append(Whole(find_files(tmp_path / "whole" / "out"), time.monotonic() - began))

    with ThreadPoolExecutor(LIVES) as pool:
        lives = [pool.submit(live, tmp_path / str(number), number, expected) for number in range(LIVES)]
        struck = [kill for life in lives for kill in life.result()]

    print(f"{len(struck)} kills, which left unfinished:", dict(Counter(struck)))
    assert len(struck) >= 30, "most builds were over before they were killed"
    assert len(set(struck)) >= 3, "all were killed in the same stage"
