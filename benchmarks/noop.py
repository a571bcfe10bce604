"""How long it takes to do nothing, and to do little, and how both grow with the dataset. README.md here says more.

python benchmarks/noop.py --folder FOLDER [--images 1000 10000 100000] [--report benchmarks/NOOP.md]
"""

import argparse
import ctypes
import json
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

SHAPES = ((80, 80), (104, 72), (72, 104), (80, 80), (120, 64))  # (width, height), pixels
PATTERNS = 300  # different pixels; every file has its own bytes
CAPTIONED = 10  # one image in so many has a .txt beside it
SETTINGS = """\
[dataset]
name = "noop"
root = "out"

[[sources]]
path = "raw"

[buckets]
base_resolutions = [64]
"""

# Runs the command line as a user would, and says what Python did: the modules that tell whether torch was needed.
COMMAND = """
import json, os, sys
from dataset_assets.cli import main
try:
    main(sys.argv[1:])
finally:
    os.write(2, ("torch " + json.dumps("torch" in sys.modules) + "\\n").encode())
"""

# The sensor itself, three times in one process, as Dagster's daemon evaluates it in its long-lived code server.
TICK = """
import json, sys, time
import dagster as dg
from dataset_assets.dataset import open_dataset
from dataset_assets.defs.build import open_instance
from dataset_assets.defs.sensors import make_sensor
from dataset_assets.settings import load_settings
settings = load_settings(sys.argv[1])
sensor = make_sensor(settings)
for _ in range(3):
    started, used = time.perf_counter(), time.process_time()
    with open_dataset(settings) as dataset, open_instance(dataset.layout) as instance:
        said = list(sensor(dg.build_sensor_context(instance=instance, resources={"dataset": dataset})))
    print(json.dumps([time.perf_counter() - started, time.process_time() - used, [str(one) for one in said]]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one process cost, with the processes it started."""

    wall: float  # seconds
    cpu: float  # seconds, user and system
    memory: int  # bytes, the largest resident set
    said: str
    torch: bool
    opened: list[str]  # images, crops and tars, as the kernel saw it


def measure(arguments: list[str], folders: list[Path]) -> Run:
    """Run Python with these arguments; say what it cost and which files below `folders` were opened."""
    with Watch(folders) as watch:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        said = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        opened = watch.names()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments[-3:])} failed:\n{said}")
    return Run(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        memory=usage.ru_maxrss * 1024,
        said=said,
        torch="torch true" in said,
        opened=opened,
    )


class Watch:
    """Notices every file that any process opens below some folders, by inotify: also those that C++ opens."""

    _OPEN, _FOLDER, _OVERFLOW, _NONBLOCK = 0x20, 0x40000000, 0x4000, 0o4000

    def __init__(self, folders: list[Path]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.inotify_init1(self._NONBLOCK)
        self._names: dict[int, Path] = {}
        for folder in folders:
            for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
                number = self._libc.inotify_add_watch(self._file, os.fsencode(path), self._OPEN)
                if number < 0:
                    raise OSError(ctypes.get_errno(), "inotify_add_watch", str(path))
                self._names[number] = path

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def names(self) -> list[str]:
        """Return the paths that were opened until now."""
        return sorted({str(path) for path in self._read()})

    def _read(self) -> Iterator[Path]:
        while True:
            try:
                data = os.read(self._file, 1 << 20)
            except BlockingIOError:
                return
            place = 0
            while place < len(data):
                number, mask, _, length = struct.unpack_from("iIII", data, place)
                name = data[place + 16 : place + 16 + length].rstrip(b"\0")
                place += 16 + length
                if mask & self._OVERFLOW:
                    raise SystemExit("too many files were opened to name them")
                if not mask & self._FOLDER:
                    yield self._names[number] / os.fsdecode(name)


def make_patterns() -> list[bytes]:
    """Return small JPEGs of a few shapes, the same ones every time."""
    patterns = []
    for seed in range(PATTERNS):
        noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
        file = BytesIO()
        Image.fromarray(noise).resize(SHAPES[seed % len(SHAPES)], Image.Resampling.BICUBIC).save(file, "JPEG")
        patterns.append(file.getvalue())
    return patterns


def write_photo(path: Path, pattern: bytes, comment: str) -> None:
    """Write a JPEG with a comment of its own behind its first marker."""
    text = comment.encode()
    path.write_bytes(pattern[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + pattern[2:])


def make_corpus(folder: Path, images: int) -> Path:
    """Make a dataset of so many images, 1,000 a folder, unless it is there; return its settings file."""
    config = folder / "dataset.toml"
    if config.exists():
        return config
    patterns, order = make_patterns(), random.Random(0)
    for number in range(images):
        path = folder / "raw" / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_photo(path, order.choice(patterns), f"image {number}")
        if number % CAPTIONED == 0:
            path.with_suffix(".txt").write_text(f"Image number {number}.\n")
    config.write_text(SETTINGS)
    return config


def add_photo(folder: Path) -> Path:
    """Add one image that the dataset does not have yet."""
    number = sum(1 for _ in (folder / "raw" / "000").glob("new-*.jpg"))
    path = folder / "raw" / "000" / f"new-{number:03d}.jpg"
    write_photo(path, make_patterns()[0], path.name)
    return path


def times_of_artifacts(out: Path) -> dict[Path, int]:
    """Return when each tar, file of crops and plan was written."""
    artifacts = [*(out / "export").rglob("*.tar"), *(out / "crops").rglob("*.parquet"), *(out / "plans").iterdir()]
    return {path: path.stat().st_mtime_ns for path in artifacts}


def measure_dataset(folder: Path, images: int) -> list[tuple[str, ...]]:
    """Return the rows of the table for one size."""
    config, out = str(make_corpus(folder, images)), folder / "out"
    build = ["-c", COMMAND, "build", "--config", config]
    watched = [folder / "raw", out / "crops", out / "export"]
    first = folder / "first.json"  # what the first build cost, for the reports of later measurements
    if not first.exists():
        first.write_text(json.dumps(row(images, "first build", measure(build, []), "everything is made")))
    rows: list[tuple[str, ...]] = [tuple(json.loads(first.read_text()))]
    measure(build, [])  # whatever an earlier measurement left undone, and the files of Python and SQLite warm
    noop = measure(build, watched)
    rows.append(row(images, "no-op build", noop, describe(noop, folder)))
    status = measure(["-c", COMMAND, "status", "--config", config], watched)
    rows.append(row(images, "status", status, describe(status, folder)))
    ticks = measure(["-c", TICK, config], watched)
    wall, cpu, said = sorted(json.loads(line) for line in ticks.said.splitlines() if line.startswith("["))[1]
    if "everything is fresh" not in str(said):
        raise SystemExit(f"the sensor says {said}")
    tick = Run(wall=wall, cpu=cpu, memory=ticks.memory, said="", torch=ticks.torch, opened=ticks.opened)
    rows.append(row(images, "sensor tick", tick, describe(tick, folder)))
    before = times_of_artifacts(out)
    add_photo(folder)
    one = measure(build, watched)
    written = describe_written(before, times_of_artifacts(out))
    rows.append(row(images, "add one image", one, f"{written}; {describe(one, folder)}"))
    return rows


def describe_written(before: dict[Path, int], after: dict[Path, int]) -> str:
    """Return how many plans, of which there is one a partition, files of crops and tars were written."""
    written = []
    for kind, name in (("plans", "plans"), ("crops", "crops"), ("tars", "export")):
        times = {path: when for path, when in after.items() if name in path.parts}
        written.append(f"{sum(before.get(path) != when for path, when in times.items())} of {len(times)} {kind}")
    return f"wrote {', '.join(written)}"


def describe(run: Run, folder: Path) -> str:
    """Return what a run opened, by kind of file, and whether it needed torch."""
    kinds = {"images": "raw", "crops": "out/crops", "tars": "out/export"}
    counts = {
        kind: sum(1 for path in run.opened if Path(path).is_relative_to(folder / below) and wanted(path))
        for kind, below in kinds.items()
    }
    opened = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f"opened {opened}; torch {'loaded' if run.torch else 'not loaded'}"


def wanted(path: str) -> bool:
    return not path.endswith((".json", ".md", ".txt", ".writing"))  # the last is a file that is being written


def row(images: int, what: str, run: Run, notes: str) -> tuple[str, ...]:
    return f"{images:,}", what, f"{run.wall:.1f}", f"{run.cpu:.1f}", f"{run.memory / 1e6:,.0f}", notes


def render(rows: list[tuple[str, ...]]) -> str:
    """Return the report as Markdown."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    head = ("images", "what", "wall s", "CPU s", "peak MB", "what was done")
    table = ["| " + " | ".join(cells) + " |" for cells in (head, ("--:", "---", "--:", "--:", "--:", "---"), *rows)]
    machine = f"{len(os.sched_getaffinity(0))} cores and {memory:.0f} GiB of memory, Python {sys.version.split()[0]}"
    said = (
        f"Measured on {time.strftime('%Y-%m-%d', time.gmtime())} with {machine}: `make bench-noop`, README.md says how."
    )
    return "\n".join(["# Doing nothing, and doing little", "", said, "", *table, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the datasets are made, and kept")
    parser.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--report", type=Path, help="the Markdown file to write")
    options = parser.parse_args()
    os.environ.pop("DAGSTER_HOME", None)
    rows: list[tuple[str, ...]] = []
    for images in options.images:
        rows += measure_dataset(options.folder.absolute() / str(images), images)
        print(render(rows), flush=True)
    if options.report:
        options.report.write_text(render(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
