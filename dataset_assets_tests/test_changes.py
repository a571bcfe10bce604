"""What a change costs: for every kind, exactly what is remade, how many images and captions, and which tars."""

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.progress import Silence
from dataset_assets.settings import Settings
from dataset_assets.shards.tar import TarReader
from dataset_assets.shards.verify import verify
from dataset_assets.stages import Stage
from dataset_assets.storage.layout import Layout
from dataset_assets.storage.parquet import read_table
from dataset_assets_tests.datasets import (
    LANDSCAPE,
    PORTRAIT,
    SQUARE,
    Built,
    add_photo,
    add_photos,
    build_library,
    on_disk,
    settings_in,
)
from dataset_assets_tests.photos import jpeg

# Of twenty photos ten are wide, five tall and five square; a tar takes four of them, a partition two tars.
WIDE = ("wide_000000-000001", "wide_000002-000003")
TALL, SQUARES = "tall_000000-000001", "square_000000-000001"
ALL = (*WIDE, TALL, SQUARES)
TARS = {"wide 0", "wide 1", "wide 2", "tall 0", "tall 1", "square 0", "square 1"}
NARROW = [f"{bucket}_00000{number}-00000{number}" for bucket, number in map(str.split, TARS)]  # partitions of one tar
_BUCKETS = {"wide": "p1216x832", "tall": "p832x1152", "square": "p1024x1024"}

SIDECAR, TITLE = "captions/caption_sidecar", "captions/caption_title"
VARIANTS = ({"name": "caption_sidecar"}, {"name": "caption_title", "field": "title"})
FIRST, SECOND = {"variant": "caption_sidecar"}, {"variant": "caption_title"}
CAPTIONS = {"variants": [*VARIANTS], "priority": [FIRST, SECOND]}

Pieces = set[tuple[str, str]]
Change = Callable[[Path], object]


def of(keys: Iterable[str], *stages: str) -> Pieces:
    return {(stage, key) for stage in stages for key in keys}


INDEX = of([""], Stage.RAW_IMAGES, Stage.BUCKET_ASSIGNMENTS)
RELEASE = of([""], Stage.MANIFEST, Stage.DATASET_CARD)
TEXTS = (Stage.SHARD_PLANS, SIDECAR, TITLE, Stage.CAPTION_SELECTION, Stage.SHARDS)
PIXELS = (Stage.SHARD_PLANS, Stage.RESIZED_CROPS, Stage.SHARDS)
SIGHT = (*PIXELS, Stage.CAPTION_SELECTION)  # what of pixels that show something else, in whatever encoding
ROWS = (*TEXTS, Stage.RESIZED_CROPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A change and what it costs."""

    files: Change = lambda _: None
    settings: dict[str, Any] = field(default_factory=dict)
    checksum: bool = False
    remade: Pieces = field(default_factory=set)
    encoded: int = 0  # images
    read: int = 0  # caption files, also those found missing
    tars: set[str] = field(default_factory=set)  # that have other bytes now, or are new or gone
    rewritten: set[str] = field(default_factory=set)  # with the bytes that they had
    moved: bool = False  # a build from nothing gives the images other slots


def seats(folder: Path, key: str, *slots: int) -> list[Path]:
    """Return the photos in some slots of a partition, all of them if none is named."""
    rows = read_table(Layout(folder / "out").plan(named(key))).to_pylist()
    return [folder / "raw" / row["uri"] for row in rows if row["slot"] in slots or not slots]


def add(size: tuple[int, int], count: int = 1) -> Change:
    return lambda folder: [add_photo(folder, f"new {seed}.jpg", size, seed=seed, caption="") for seed in range(count)]


def remove(key: str, *slots: int) -> Change:
    def change(folder: Path) -> None:
        for path in seats(folder, key, *slots):
            path.unlink()

    return change


def replace(data: bytes) -> Change:
    return lambda folder: (folder / "raw" / "000.jpg").write_bytes(data)


def touch(folder: Path) -> None:
    os.utime(folder / "raw" / "000.jpg", ns=(1, 1))


def corrupt(folder: Path) -> None:
    path = folder / "raw" / "000.jpg"
    data, before = bytearray(path.read_bytes()), path.stat()
    data[-40:-30] = bytes(10)
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rename(folder: Path) -> None:
    for path in (folder / "raw").glob("000.*"):
        path.rename(path.with_stem("renamed"))


def caption(name: str, text: str) -> Change:
    return lambda folder: (folder / "raw" / name).write_text(text)


def encoding(*shown: str, **images: Any) -> Case:
    """Every crop is made again; those of the partitions `shown` show something else."""
    remade = of(ALL, *PIXELS[1:]) | of(shown, Stage.CAPTION_SELECTION) | RELEASE
    return Case(settings={"images": images}, remade=remade, encoded=20, tars=TARS)


CASES = {
    "nothing": Case(),
    "a photo added": Case(
        files=add(LANDSCAPE),
        remade=INDEX | of(WIDE[1:], *ROWS) | RELEASE,
        encoded=1, read=2, tars={"wide 2"}, moved=True,
    ),
    "a photo added beside a full shard of its partition": Case(
        files=add(PORTRAIT),
        remade=INDEX | of([TALL], *ROWS) | RELEASE,
        encoded=1, read=2, tars={"tall 1"}, moved=True,
    ),
    "more photos added than the last partition holds": Case(
        files=add(LANDSCAPE, 7),
        remade=INDEX | of([WIDE[1], "wide_000004-000005"], *ROWS) | RELEASE,
        encoded=7, read=14, tars={"wide 2", "wide 3", "wide 4"}, moved=True,
    ),
    "a file added that cannot be used": Case(
        files=lambda folder: (folder / "raw" / "empty.jpg").touch(), remade=INDEX | RELEASE
    ),
    "content changed": Case(
        files=replace(jpeg(*LANDSCAPE, 99)),
        remade=INDEX | of(WIDE[:1], *SIGHT) | RELEASE,
        encoded=1, tars={"wide 0"},
    ),
    "content changed to that of another bucket": Case(
        files=replace(jpeg(*SQUARE, 99)),
        remade=INDEX | of([WIDE[0], SQUARES], *ROWS) | RELEASE,
        encoded=1, tars={"wide 0", "square 1"}, moved=True,
    ),
    "content changed to what cannot be decoded": Case(
        files=replace(jpeg(*LANDSCAPE, 99)[:-200]),
        remade=INDEX | of(WIDE[:1], *SIGHT) | RELEASE,
        encoded=1, tars={"wide 0"},
    ),
    "content changed under the same size and time": Case(
        files=corrupt, checksum=True,
        remade=INDEX | of(WIDE[:1], *SIGHT) | RELEASE,
        encoded=1, tars={"wide 0"},
    ),
    "touched": Case(
        files=touch,
        remade=INDEX | of(WIDE[:1], Stage.SHARD_PLANS, Stage.RESIZED_CROPS),
        encoded=1,
    ),
    "touched, and compared": Case(files=touch, checksum=True, remade=INDEX | of(WIDE[:1], Stage.SHARD_PLANS)),
    "a photo removed": Case(
        files=remove(WIDE[0], 1),
        remade=INDEX | of(WIDE[:1], *ROWS) | RELEASE,
        tars={"wide 0"}, moved=True,
    ),
    "the last photo of a shard removed": Case(
        files=remove(TALL, 4),
        remade=INDEX | of([TALL], *ROWS) | RELEASE,
        tars={"tall 1"},
    ),
    "the last photos of a partition removed": Case(files=remove(WIDE[1]), remade=INDEX | RELEASE, tars={"wide 2"}),
    "the last photos of a bucket removed": Case(
        files=remove(SQUARES), remade=INDEX | RELEASE, tars={"square 0", "square 1"}
    ),
    "a photo renamed": Case(
        files=rename,
        remade=INDEX | of(WIDE, *ROWS) | RELEASE,
        encoded=1, read=2, tars={"wide 0", "wide 2"}, moved=True,
    ),
    "a caption changed": Case(
        files=caption("000.txt", "another"),
        remade=INDEX | of(WIDE[:1], *TEXTS) | RELEASE,
        read=1, tars={"wide 0"},
    ),
    "a caption added": Case(
        files=caption("001.txt", "new"),
        remade=INDEX | of([TALL], *TEXTS) | RELEASE,
        read=1, tars={"tall 0"},
    ),
    "a caption removed": Case(
        files=lambda folder: (folder / "raw" / "000.txt").unlink(),
        remade=INDEX | of(WIDE[:1], *TEXTS) | RELEASE,
        read=1, tars={"wide 0"},
    ),
    "a caption changed that is not chosen": Case(
        files=caption("000.json", '{"title": "another"}'),
        remade=INDEX | of(WIDE[:1], *TEXTS[:-1]) | of([""], Stage.DATASET_CARD),
        read=1,
    ),
    "quality": encoding(quality=80),
    "subsampling": encoding(subsampling_policy="420"),
    "corners": encoding(*WIDE, TALL, crop={"allowed_corners": [0]}),
    "strategy": encoding(*WIDE, TALL, crop={"strategy": "center"}),
    "colour profiles, of which there are none": Case(
        settings={"images": {"icc": "ignore"}},
        remade=of(ALL, *PIXELS[1:]) | RELEASE,
        encoded=20, rewritten=TARS,
    ),
    "a limit of pixels that nothing reaches": Case(settings={"images": {"max_pixels": 10_000_000}}, remade=RELEASE),
    "a limit of pixels that only squares keep": Case(
        settings={"images": {"max_pixels": 7000}},
        remade=INDEX | RELEASE,
        tars=TARS - {"square 0", "square 1"},
    ),
    "time-out and workers": Case(settings={"images": {"timeout_seconds": 60}, "work": {"workers": 2}}),
    "base resolution": Case(
        settings={"buckets": {"base_resolutions": [46]}},
        remade=of([""], Stage.BUCKET_ASSIGNMENTS) | of(ALL, *SIGHT) | RELEASE,
        encoded=20, tars=TARS,
    ),
    "shard size": Case(
        settings={"shards": {"shard_size": 5}},
        remade=of([""], Stage.BUCKET_ASSIGNMENTS) | of(WIDE[:1], *ROWS) | of([TALL, SQUARES], *SIGHT[1:]) | RELEASE,
        encoded=5, tars=TARS,
    ),
    "shards in a partition": Case(
        settings={"shards": {"shards_per_partition": 1}},
        remade=of([""], Stage.BUCKET_ASSIGNMENTS) | of(NARROW, *ROWS) | RELEASE,
        rewritten=TARS,
    ),
    "a prefix": Case(
        settings={"sources": [{"path": "raw", "prefix": "x/"}]},
        remade=INDEX | of(ALL, *PIXELS) | of([TALL], Stage.CAPTION_SELECTION) | RELEASE,
        encoded=20, tars=TARS, moved=True,
    ),
    "the source written another way": Case(settings={"sources": [{"path": "./raw"}]}),
    "no table of the samples": Case(settings={"release": {"samples": False}}, remade=RELEASE),
    "indexes for webshart": Case(settings={"release": {"webshart": True}}, remade=RELEASE),
    "name and licence": Case(
        settings={"dataset": {"name": "other", "license": "cc0-1.0"}}, remade=of([""], Stage.DATASET_CARD)
    ),
    "priority": Case(
        settings={"captions": {"priority": [SECOND, FIRST]}},
        remade=of(ALL, Stage.CAPTION_SELECTION, Stage.SHARDS) | RELEASE,
        tars=TARS - {"tall 0", "square 1"},
    ),
    "a selector narrowed to what it took": Case(
        settings={"captions": {"priority": [FIRST | {"backend": "sidecar"}, SECOND]}},
        remade=of(ALL, Stage.CAPTION_SELECTION) | RELEASE,
    ),
    "a selector narrowed to nothing": Case(
        settings={"captions": {"priority": [FIRST | {"model": "other"}, SECOND]}},
        remade=of(ALL, Stage.CAPTION_SELECTION) | of(WIDE, Stage.SHARDS) | RELEASE,
        tars={"wide 0", "wide 1", "wide 2"},
    ),
    "a variant added": Case(
        settings={"captions": {"variants": [*VARIANTS, {"name": "caption_more", "extension": "caption"}]}},
        remade=of(ALL, "captions/caption_more") | of([""], Stage.DATASET_CARD),
        read=20,
    ),
    "a policy for missing captions": Case(
        settings={"captions": {"missing_caption_policy": "drop"}},
        remade=of(ALL, Stage.SHARDS) | RELEASE,
        tars={"tall 0", "square 0", "square 1"}, rewritten={"wide 0", "wide 1", "wide 2", "tall 1"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("changes")
    add_photos(folder)
    for seed in range(0, 20, 5):
        (folder / "raw" / f"{seed:03d}.json").write_text(json.dumps({"title": f"title {seed}"}))
    build(settings_in(folder, captions=CAPTIONS))
    return folder


def build(settings: Settings, *, checksum: bool = False) -> Built:
    with open_dataset(settings) as dataset:
        return build_library(dataset, checksum=checksum)


def named(key: str) -> str:
    """Return the partition that a short name stands for."""
    bucket, _, span = key.partition("_")
    return f"{_BUCKETS[bucket]}_{span}"


def find_tars(settings: Settings) -> dict[str, tuple[str, int]]:
    """Return digest and time of every tar."""
    return {
        f"{bucket} {number}": (sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for bucket, bucket_id in _BUCKETS.items()
        for number in range(9)
        if (path := Layout(settings.root).tar(bucket_id, number)).exists()
    }


def read_samples(settings: Settings) -> dict[str, bytes]:
    """Return every member of the tars, wherever its sample stands."""
    members: dict[str, bytes] = {}
    for path in on_disk(Layout(settings.root).export).rglob("*.tar"):
        with path.open("rb") as file:
            members |= {member.name: member.data for member in TarReader(file)}
    return members


def read_tables(settings: Settings) -> dict[str, bytes]:
    """Return the files beside the tars, and the indexes that they are made of."""
    root = on_disk(settings.root)
    export = root / "export"
    places = (export.glob("*.parquet"), export.rglob("shard-*.json"), root.glob("index/*/*"))
    return {path.relative_to(root).as_posix(): path.read_bytes() for place in places for path in place}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_change_costs_what_it_must_and_nothing_else(finished: Path, tmp_path: Path, case: Case) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "built"))
    sections = {**case.settings, "captions": CAPTIONS | case.settings.get("captions", {})}
    settings = settings_in(folder, **sections)
    before = find_tars(settings)
    assert before.keys() == TARS
    case.files(folder)

    built = build(settings, checksum=case.checksum)

    plans = of(built.assignment.plans.changed, Stage.SHARD_PLANS)
    assert built.remade | plans == {(stage, named(key) if key else "") for stage, key in case.remade}
    assert built.count("encoded") == case.encoded
    assert built.count("read") == case.read
    after = find_tars(settings)
    written = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert written == case.tars | case.rewritten
    assert {name for name in written if before.get(name, " ")[0] != after.get(name, " ")[0]} == case.tars
    report = verify(Layout(settings.root).export, workers=1, progress=Silence())
    assert report.ok, report.faults
    assert build(settings, checksum=case.checksum).remade == set()

    root = {"dataset": case.settings.get("dataset", {}) | {"root": "from nothing"}}
    from_nothing = settings_in(folder, **{**sections, **root})
    whole = build(from_nothing)

    assert read_samples(settings) == read_samples(from_nothing)
    assert built.manifest.report["summary"] == whole.manifest.report["summary"]
    if not case.moved:
        assert built.manifest.report["export_id"] == whole.manifest.report["export_id"]
        assert read_tables(settings) == read_tables(from_nothing)
