"""Whatever is done to a dataset, in whatever order: the next build makes the export that a simple model expects."""

import json
import shutil
import tempfile
from collections import Counter, defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.buckets.repack import repack_buckets
from dataset_assets.catalog.slots import seated_images
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import DropReason, IncompleteError
from dataset_assets.progress import Silence
from dataset_assets.settings import Settings
from dataset_assets.shards.tar import TarReader
from dataset_assets.shards.verify import verify
from dataset_assets.sources.scan import scan_sources
from dataset_assets.storage.layout import Layout
from dataset_assets_tests.datasets import (
    LANDSCAPE,
    PORTRAIT,
    SQUARE,
    TINY,
    add_photo,
    build_library,
    build_partitions,
    on_disk,
    settings_in,
)

NAMES = [f"{number}.jpg" for number in range(9)]
SIDECARS = {"caption_sidecar": "txt", "caption_more": "caption"}  # variant → extension
CHOICES: dict[str, tuple[str, list[Any]]] = {
    "quality": ("images", [95, 80]),
    "shard_size": ("shards", [3, 2, 4]),
    "shards_per_partition": ("shards", [2, 1]),
    "base_resolutions": ("buckets", [[64], [46]]),
    "missing_caption_policy": ("captions", ["empty", "drop"]),
    "priority": (
        "captions",
        [["caption_sidecar", "caption_more"], ["caption_more", "caption_sidecar"], ["caption_more"]],
    ),
}

Photo = tuple[tuple[int, int], int, bool]  # size, seed, and whether it cannot be decoded
Tar = tuple[str, int]  # bucket and number

names, seeds = st.sampled_from(NAMES), st.integers(0, 99)
sizes = st.sampled_from([LANDSCAPE, LANDSCAPE, PORTRAIT, SQUARE, TINY])


class Life(RuleBasedStateMachine):
    """A dataset's life: people change files and settings, artifacts get lost, builds come in between."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.photos: dict[str, Photo] = {}
        self.captions: dict[tuple[str, str], str] = {}  # by name and extension
        self.chosen: dict[str, Any] = {key: allowed[0] for key, (_, allowed) in CHOICES.items()}
        self.seats: dict[tuple[str, int], int] = {}  # bucket and slot → the row of the image that it was given to
        self.content: dict[Tar, Any] = {}  # what the last build made each tar from
        self.files: dict[Tar, tuple[str, int]] = {}  # digest and time of each tar then, less those damaged since

    def settings(self, root: str = "out") -> Settings:
        sections: dict[str, dict[str, Any]] = defaultdict(dict)
        for key, (section, _) in CHOICES.items():
            sections[section][key] = self.chosen[key]
        sections["captions"]["priority"] = [{"variant": name} for name in self.chosen["priority"]]
        sections["captions"]["variants"] = [{"name": name, "extension": end} for name, end in SIDECARS.items()]
        return settings_in(self.folder, dataset={"root": root}, **sections)

    @initialize(shapes=st.lists(sizes, min_size=4, max_size=9))
    def begin(self, shapes: list[tuple[int, int]]) -> None:
        for number, (name, size) in enumerate(zip(NAMES, shapes, strict=False)):
            self.put(name, size, number, False)

    @rule(name=names, size=sizes, seed=seeds, broken=st.sampled_from([False, False, False, True]))
    def put(self, name: str, size: tuple[int, int], seed: int, broken: bool) -> None:
        path = add_photo(self.folder, name, size, seed=seed)
        if broken:
            path.write_bytes(path.read_bytes()[:-200])
        self.photos[name] = size, seed, broken

    @precondition(lambda self: len(self.photos) > 1)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.photos)))
        (self.folder / "raw" / name).unlink()
        del self.photos[name]

    @rule(data=st.data(), to=names)
    def rename(self, data: st.DataObject, to: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.photos)))
        (self.folder / "raw" / name).rename(self.folder / "raw" / to)
        self.photos[to] = self.photos.pop(name)

    @rule(name=names, extension=st.sampled_from(sorted(SIDECARS.values())), text=st.sampled_from(["one", "two", None]))
    def caption(self, name: str, extension: str, text: str | None) -> None:
        path = (self.folder / "raw" / name).with_suffix(f".{extension}")
        path.unlink(missing_ok=True)
        self.captions.pop((name, extension), None)
        if text:
            path.write_text(text)
            self.captions[name, extension] = text

    @rule(key=st.sampled_from(sorted(CHOICES)), data=st.data())
    def choose(self, key: str, data: st.DataObject) -> None:
        self.chosen[key] = data.draw(st.sampled_from(CHOICES[key][1]))

    @rule(data=st.data(), lost=st.booleans())
    def damage(self, data: st.DataObject, lost: bool) -> None:
        root = self.folder / "out"
        made = sorted(path for name in ("plans", "crops", "selection", "export") for path in (root / name).rglob("*.*"))
        if made:
            path = data.draw(st.sampled_from(made))
            self.files = {tar: one for tar, one in self.files.items() if self.path_of(tar) != path}
            path.write_bytes(path.read_bytes()[:-7])
            if lost:
                path.unlink()

    @rule(partitions=st.booleans())
    def stop_half_way(self, partitions: bool) -> None:
        with open_dataset(self.settings()) as dataset:
            scan_sources(dataset)
            assign_buckets(dataset)
            if partitions:
                build_partitions(dataset)
            self.check_seats(dataset)

    @rule()
    def work_on_what_is_indexed(self) -> None:
        with open_dataset(self.settings()) as dataset:
            build_partitions(dataset)

    @precondition(lambda self: self.files)
    @rule()
    def repack(self) -> None:
        with open_dataset(self.settings()) as dataset:
            repack_buckets(dataset)
        self.seats = {}  # the one thing that gives slots anew

    @rule()
    def build(self) -> None:
        with open_dataset(self.settings()) as dataset:
            expected = self.expect()
            if not expected:
                with pytest.raises(IncompleteError, match="nothing to export"):
                    build_library(dataset)
            else:
                summary = build_library(dataset).manifest.report["summary"]
                assert read_export(dataset.layout) == expected
                assert {name: count for name, count in summary.items() if count} == self.count(len(expected))
                assert build_library(dataset).remade == set()
            self.check_seats(dataset)
            self.check_tars(dataset)

    def teardown(self) -> None:
        if self.photos and self.expect():
            self.build()
            with open_dataset(self.settings("from nothing")) as dataset:
                build_library(dataset)
                assert read_members(Layout(self.folder / "out")) == read_members(dataset.layout)
        shutil.rmtree(self.folder)

    def caption_of(self, name: str) -> tuple[int, str]:
        """Return the selector that has a caption for a photo, and the caption; -1 and "" where none has."""
        texts = [self.captions.get((name, SIDECARS[variant]), "") for variant in self.chosen["priority"]]
        return next(((index, text) for index, text in enumerate(texts) if text), (-1, ""))

    def expect(self) -> dict[str, str]:
        """Return the caption of every photo that has to be in the export."""
        captions = {name: self.caption_of(name) for name, (size, _, broken) in self.photos.items() if not broken}
        empty = self.chosen["missing_caption_policy"] == "empty"
        return {
            name: text
            for name, (index, text) in captions.items()
            if self.photos[name][0] != TINY and (index >= 0 or empty)
        }

    def count(self, exported: int) -> dict[str, int]:
        """Return the counters of the manifest that are not 0."""
        tiny = sum(size == TINY for size, _, _ in self.photos.values())
        broken = sum(size != TINY and broken for size, _, broken in self.photos.values())
        counts = Counter({"images_seen": len(self.photos), "images_exported": exported})
        counts[DropReason.TOO_SMALL.value], counts[DropReason.DECODE_ERROR.value] = tiny, broken
        counts[DropReason.NO_CAPTION.value] = len(self.photos) - exported - tiny - broken
        return dict(+counts)

    def check_seats(self, dataset: Dataset) -> None:
        """No slot is ever given to two images."""
        with dataset.catalog.reading() as connection:
            seated = seated_images(connection).to_pylist()
        for row in seated:
            assert self.seats.setdefault((row["bucket_id"], row["slot"]), row["id"]) == row["id"]

    def check_tars(self, dataset: Dataset) -> None:
        """A tar that nothing touched is the file that it was."""
        before, content = self.files, self.content
        with dataset.catalog.reading() as connection:
            seated = seated_images(connection).to_pylist()
        shaping = {key: value for key, value in self.chosen.items() if key != "priority"}
        self.content = defaultdict(lambda: [shaping])
        for row in seated:
            name = row["uri"]
            tar = row["bucket_id"], row["slot"] // self.chosen["shard_size"]
            self.content[tar].append((row["slot"], name, self.photos[name], self.caption_of(name)))
        self.files = {
            tar: (sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for tar in self.content
            if (path := self.path_of(tar)).exists()
        }
        for tar in before.keys() & self.files.keys():
            if self.content[tar] == content[tar]:
                assert self.files[tar] == before[tar]

    def path_of(self, tar: Tar) -> Path:
        return on_disk(Layout(self.folder / "out").tar(*tar))


def read_members(layout: Layout) -> dict[str, bytes]:
    """Return every member of a sound export's tars."""
    report = verify(layout.export, workers=1, progress=Silence())
    assert report.ok, report.faults
    members: dict[str, bytes] = {}
    for path in on_disk(layout.export).rglob("*.tar"):
        with path.open("rb") as file:
            members |= {member.name: member.data for member in TarReader(file)}
    return members


def read_export(layout: Layout) -> dict[str, str]:
    """Return the caption of every sample of a sound export, by image_id."""
    members = read_members(layout)
    return {
        json.loads(data)["image_id"]: members[name.replace(".json", ".txt")].decode().removesuffix("\n")
        for name, data in members.items()
        if name.endswith(".json")
    }


@pytest.mark.parametrize(
    ("examples", "steps"), [(10, 12), pytest.param(100, 20, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_after_any_sequence_the_build_is_right(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],  # a failing sequence is short, and shrinking it takes long
        ),
    )
