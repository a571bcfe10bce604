"""Everything that is measured: how each is started, in which folder, and that it lost no image.

What it costs is measured in meter.py; what the runners do is in floor.py, ours.py and peers.py.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from meter import Usage, measure

HERE = Path(__file__).parent
SETTINGS = """\
[dataset]
name = "speed"
root = "root"

[[sources]]
path = "{source}"

[work]
workers = 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one runner."""

    runner: str
    images: int  # that came out
    seconds: float  # on the wall
    cpu: float  # seconds, user and system, all processes
    peak: int  # bytes, proportional set sizes of all processes
    written: int = 0  # bytes to disks
    exported: int = 0  # bytes of the files that are the result; for verify and hash those that were read
    left: int = 0  # bytes below the dataset's root at the end, the result among them
    load: float = 0.0  # of the machine, over the minute at whose end it began
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def each(self) -> float:
        """Milliseconds of CPU an image."""
        return self.cpu / self.images * 1000


@dataclass(frozen=True)
class Bench:
    """The folders of a benchmark over one set of images."""

    folder: Path  # of the whole benchmark
    source: Path  # the images
    images: int

    @property
    def scratch(self) -> Path:
        """Where results go; removed after each run."""
        return self.folder / "scratch"

    @property
    def export(self) -> Path:
        """The export of the last build, for `verify`."""
        return self.folder / f"built-{self.images}" / "export"

    @cached_property
    def prepared(self) -> Path:
        """A folder with a dataset up to its plans."""
        place = self.folder / f"prepared-{self.images}"
        shutil.rmtree(place, ignore_errors=True)
        self._ours("prepare", self.settings(place), say="prepare")
        return place

    @cached_property
    def urls(self) -> Path:
        """The list of images for img2dataset."""
        path = self.folder / f"urls-{self.images}.parquet"
        images = sorted(self.source.rglob("*.jpg"))
        captions = [image.with_suffix(".txt").read_text() for image in images]
        pq.write_table(pa.table({"url": [image.as_uri() for image in images], "caption": captions}), path)
        return path

    def settings(self, place: Path) -> Path:
        """Write a settings file over the images into a folder and return its path."""
        place.mkdir(parents=True)
        path = place / "dataset.toml"
        path.write_text(SETTINGS.format(source=self.source))
        return path

    def check_floor(self) -> int:
        """Return how many of the floor's JPEGs were compared with the pipeline's and found the same."""
        usage = measure([sys.executable, HERE / "floor.py", self.source, "--check", "40"], self._log("check"))
        return int(usage.said["compared"])

    def run(self, runner: str) -> Run:
        """Run one of RUNNERS in an empty folder. Ends the program where images are lost."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        load = os.getloadavg()[0]
        run = RUNNERS[runner](self)
        if runner not in WITHOUT_IMAGES and run.images != self.images:
            raise SystemExit(f"{runner}: {run.images:,} images came out of {self.images:,}: {run.said}")
        shutil.rmtree(self.scratch, ignore_errors=True)
        return Run(**{name: getattr(run, name) for name in Run.__slots__} | {"load": load})

    def floor(self) -> Run:
        usage = measure([sys.executable, HERE / "floor.py", self.source], self._log("floor"))
        return self._run("floor", usage, cpu=usage.said["cpu"], exported=usage.said["bytes"])

    def crops(self) -> Run:
        shutil.copytree(self.prepared, self.scratch)
        usage = self._ours("crops", self.scratch / "dataset.toml")
        return self._run("crops", usage, cpu=usage.cpu - usage.said["cpu_before"], exported=usage.said["bytes"])

    def build(self) -> Run:
        usage = self._ours("build", self.settings(self.scratch))
        root = self.scratch / "root"
        found = count_members(root / "export")
        if not found.images == found.captions == self.images:
            raise SystemExit(f"build: {found} in the tars, of {self.images:,} images with captions")
        exported, left = size_of(root / "export"), size_of(root)
        shutil.rmtree(self.export.parent, ignore_errors=True)
        root.rename(self.export.parent)
        return self._run("build", usage, seconds=usage.wall, exported=exported, left=left)

    def scan(self) -> Run:
        for path in self.source.rglob("*.jpg"):
            path.read_bytes()  # into the page cache
        return self._run("scan", self._ours("scan", self.settings(self.scratch)))

    def verify(self) -> Run:
        usage = self._ours("verify", self.export)
        return self._run("verify", usage, exported=usage.said["bytes"])

    def hash(self) -> Run:
        usage = self._ours("hash", self.export)
        return self._run("hash", usage, exported=usage.said["bytes"])

    def img2dataset(self) -> Run:
        return self._img2dataset("img2dataset", "center_crop")

    def img2dataset_ratio(self) -> Run:
        return self._img2dataset("img2dataset-ratio", "keep_ratio")

    def webdataset(self) -> Run:
        return self._peer(
            "webdataset", [find_peers(self.folder), HERE / "peers.py", "webdataset", self.source, self.scratch]
        )

    def _img2dataset(self, name: str, mode: str) -> Run:
        python = find_peers(self.folder)
        return self._peer(name, [python, HERE / "peers.py", "img2dataset", self.urls, self.scratch, mode])

    def _peer(self, name: str, command: list[str | Path]) -> Run:
        usage = measure(command, self._log(name))
        found = count_members(self.scratch)
        if not found.images == found.captions == self.images:
            raise SystemExit(f"{name}: {found} in the tars, of {self.images:,} images with captions")
        return self._run(name, usage, seconds=usage.wall, exported=size_of(self.scratch))

    def _ours(self, part: str, path: Path, *, say: str = "") -> Usage:
        return measure([sys.executable, HERE / "ours.py", part, path], self._log(say or part))

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}-{self.images}.log"

    def _run(self, name: str, usage: Usage, **known: Any) -> Run:
        facts = {"seconds": usage.said.get("seconds"), "cpu": usage.cpu, "peak": usage.peak, "written": usage.written}
        return Run(runner=name, images=usage.said["images"], said=usage.said, **{**facts, **known})


RUNNERS: dict[str, Callable[[Bench], Run]] = {
    "floor": Bench.floor,
    "crops": Bench.crops,
    "build": Bench.build,
    "img2dataset": Bench.img2dataset,
    "img2dataset-ratio": Bench.img2dataset_ratio,
    "webdataset": Bench.webdataset,
    "scan": Bench.scan,
    "verify": Bench.verify,
    "hash": Bench.hash,
}
WITHOUT_IMAGES = ("hash",)


@dataclass(frozen=True, slots=True)
class Members:
    """What lies in the tars of a folder."""

    images: int
    captions: int  # texts with a character that is not white


def count_members(folder: Path) -> Members:
    """Return how many images and captions the tars below a folder hold."""
    images = captions = 0
    for path in folder.rglob("*.tar"):
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                images += member.name.endswith(".jpg")
                if member.name.endswith(".txt"):
                    file = tar.extractfile(member)
                    captions += file is not None and bool(file.read().strip())
    return Members(images, captions)


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def find_peers(folder: Path) -> Path:
    """Return the Python of the others' environment, after installing them there."""
    python = folder / "peers" / "bin" / "python"
    wanted = (HERE / "peers.txt").read_text()
    installed = folder / "peers" / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", folder / "peers"], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "peers.txt"],
            check=True,
        )
        installed.write_text(wanted)
    return python
