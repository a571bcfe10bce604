"""How fast a model is asked for captions, and what the asking takes of the machine. README.md here says more.

python benchmarks/captions.py --folder FOLDER [--images 10000] [--report benchmarks/CAPTIONS.md]
"""

import argparse
import asyncio
import base64
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dataset_assets.captions.ask import ask_captions
from dataset_assets.progress import Silence

ROOT = Path(__file__).parent.parent
LATENCY = 0.5  # seconds
CONCURRENCY = 64
CEILING = CONCURRENCY / LATENCY  # captions a second, of a client that takes no time
ROUNDS = 2  # of the comparison with the plain loop
WANTED = {"share": 0.85, "memory": 500e6}
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
SIDE = 960  # pixels, of a photograph's shorter side before windows are cut from it
NOISE = 3  # its standard deviation: what making a photograph larger has smoothed away
SHAPES = ((640, 640), (752, 560), (560, 752), (816, 544), (544, 816))  # (width, height), pixels; one bucket each
STEP = 977  # places between two windows; a prime, so that none comes twice
SYSTEM = "You write captions of photographs. They are used to train an image model, so they are exact and plain."
PROMPT = "Describe this image in two sentences. Name what is to be seen, where it is, and the light."
MODEL = "test/vision-model"
SETTINGS = """\
[dataset]
name = "captions"
root = "out"

[[sources]]
path = "raw"

[captions]
priority = [{{ variant = "caption_model" }}]

[[captions.variants]]
name = "caption_model"
backend = "openai"
model = "{model}"
base_url = "{url}"
api_key_env = ""
system_prompt = "{system}"
user_prompt = "{prompt}"
concurrency = {concurrency}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What it took to ask for some captions, in a process of its own."""

    what: str
    captions: int
    seconds: float  # from before the client is imported until everything is written
    middle: float  # captions a second, without the first and the last tenth
    slowest: float  # captions a second, of the slowest tenth between those
    cpu: float  # seconds, user and system, of the asking process in that time
    resident: int  # bytes, the most that the process ever had
    proportional: int  # bytes, the most that was seen, with shared pages divided among those who share them
    requests: int  # that the server counted
    images: int  # different ones among them
    most_at_once: int
    server_cpu: float  # seconds
    load: float  # of the machine in the minute before

    @property
    def rate(self) -> float:
        return self.captions / self.seconds

    @property
    def each(self) -> float:
        """Milliseconds of CPU a caption."""
        return self.cpu / self.captions * 1000


class Clock(Silence):
    """Progress that notes when each caption was committed."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def advance(self, count: int) -> None:
        self.times += [time.monotonic()] * count


# In processes of their own: what is measured, and the making of the dataset, whose memory is not to count.


def make_dataset(folder: Path) -> None:
    """Bring everything up to the crops up to date; print the paths of each partition's crops, by its key."""
    from dataset_assets.buckets.assign import assign_buckets
    from dataset_assets.catalog.state import load_pieces, load_states
    from dataset_assets.dataset import open_dataset
    from dataset_assets.freshness import Stage
    from dataset_assets.images.crops import make_crops
    from dataset_assets.settings import load_settings
    from dataset_assets.shards.plan import write_plan
    from dataset_assets.sources.scan import scan_sources

    with open_dataset(load_settings(folder / "dataset.toml")) as dataset:
        scan_sources(dataset)
        assign_buckets(dataset)
        with dataset.catalog.reading() as connection:
            keys = sorted(key for stage, key in load_states(connection) if stage == Stage.SHARD_PLANS)
        for key in keys:
            write_plan(dataset, key)
        make_crops(dataset, keys)
        with dataset.catalog.reading() as connection:
            pieces = {key: load_pieces(connection, Stage.RESIZED_CROPS, key) for key in keys}
        print(json.dumps({key: [str(dataset.layout.root / one.path) for one in pieces[key]] for key in keys}))


def ask_stage(folder: Path, keys: list[str]) -> None:
    """Run the stage over these partitions."""
    from dataset_assets.dataset import open_dataset
    from dataset_assets.settings import load_settings

    settings, clock = load_settings(folder / "dataset.toml"), Clock()
    with open_dataset(settings) as dataset:
        started, used = time.monotonic(), time.process_time()
        ask_captions(dataset, settings.captions.chats[0], keys, progress=clock)
        tell(clock.times, started, used)


def ask_plainly(url: str, paths: list[str]) -> None:
    """Ask about the crops of these files with the SDK and nothing else; forget what is answered."""
    started, used = time.monotonic(), time.process_time()
    times = asyncio.run(loop_plainly(url, paths))
    tell(times, started, used)


async def loop_plainly(url: str, paths: list[str]) -> list[float]:
    """Return when each answer came."""
    import openai

    times = []
    places = asyncio.Semaphore(CONCURRENCY)

    async def ask(jpeg: bytes) -> None:
        image = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"}}
        messages: Any = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": [{"type": "text", "text": PROMPT}, image]},
        ]
        try:
            answer = await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=300)
        finally:
            places.release()
        if answer.choices[0].message.content:
            times.append(time.monotonic())

    async with openai.AsyncOpenAI(base_url=url, api_key="none") as client, asyncio.TaskGroup() as tasks:
        for jpeg in read_jpegs(paths):
            await places.acquire()
            tasks.create_task(ask(jpeg))
    return times


def read_jpegs(paths: list[str]) -> Iterator[bytes]:
    """Yield the crops of these files, a row group in memory at a time."""
    import pyarrow.parquet as pq

    for path in paths:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, columns=["jpeg"])["jpeg"].to_pylist()


def tell(times: list[float], started: float, used: float) -> None:
    """Print what the asking took until now."""
    seconds, cpu = time.monotonic() - started, time.process_time() - used
    tenth = len(times) // 10
    edges = [times[tenth * number - 1] for number in range(1, 10)]
    tenths = [tenth / (end - start) for start, end in zip(edges, edges[1:], strict=False)]
    middle = 8 * tenth / (edges[-1] - edges[0])
    resident = read_memory("/proc/self/status", "VmHWM")
    said = {"captions": len(times), "seconds": seconds, "middle": middle, "slowest": min(tenths)}
    print(json.dumps({**said, "cpu": cpu, "resident": resident}))


def read_memory(path: str, name: str) -> int:
    """Return a number of bytes from a file of the kernel's about a process."""
    lines = Path(path).read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


# In the process that starts the others.


def write_photographs(folder: Path, images: int) -> None:
    """Write so many JPEGs, each another window of one of a few photographs, unless they are there."""
    if (folder / "written").exists():
        return
    import skimage

    canvases = [enlarge(Path(skimage.__file__).parent / "data" / name) for name in PHOTOGRAPHS]
    for number in range(images):
        rest, shape = divmod(number, len(SHAPES))
        place, photograph = divmod(rest, len(canvases))
        canvas, (width, height) = canvases[photograph], SHAPES[shape]
        across = canvas.width - width + 1
        y, x = divmod(place * STEP % (across * (canvas.height - height + 1)), across)
        path = folder / "raw" / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.crop((x, y, x + width, y + height)).save(path, quality=90)
    (folder / "written").touch()


def enlarge(path: Path) -> Image.Image:
    """Return a photograph in the size that windows are cut from, with the noise of a camera."""
    with Image.open(path) as file:
        small = file.convert("RGB")
    scale = SIDE / min(small.size)
    width, height = (round(side * scale) for side in small.size)
    pixels = np.asarray(small.resize((width, height), Image.Resampling.LANCZOS))
    noise = np.random.default_rng(0).normal(0, NOISE, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def write_settings(folder: Path, url: str) -> None:
    """Write a settings file that names this server."""
    said = {"model": MODEL, "url": url, "system": SYSTEM, "prompt": PROMPT, "concurrency": CONCURRENCY}
    (folder / "dataset.toml").write_text(SETTINGS.format(**said))


def start(*arguments: str) -> "subprocess.Popen[str]":
    """Start Python in the repository, where the test server is found."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def start_part(part: str, **options: Any) -> "subprocess.Popen[str]":
    """Start this file for one of the parts above."""
    return start(str(Path(__file__).absolute()), part, json.dumps(options))


def finish(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return what a process printed last."""
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args} failed")
    told: dict[str, Any] = json.loads(said)
    return told


def make(folder: Path, images: int) -> dict[str, list[str]]:
    """Make the dataset unless it is there; return the paths of each partition's crops, by its key."""
    folder.mkdir(parents=True, exist_ok=True)
    write_photographs(folder, images)
    if (folder / "before.sqlite").exists():
        forget_captions(folder)
    write_settings(folder, "http://127.0.0.1:9/v1")
    made = finish(start_part("make", folder=str(folder)))
    with (
        closing(sqlite3.connect(folder / "out" / "dataset.sqlite")) as catalog,
        closing(sqlite3.connect(folder / "before.sqlite")) as copy,
    ):
        catalog.backup(copy)
    return made


def forget_captions(folder: Path) -> None:
    """Put the catalog back that knows no captions."""
    for suffix in ("-wal", "-shm"):
        (folder / "out" / f"dataset.sqlite{suffix}").unlink(missing_ok=True)
    shutil.copyfile(folder / "before.sqlite", folder / "out" / "dataset.sqlite")


def measure(what: str, folder: Path, partitions: dict[str, list[str]]) -> Run:
    """Ask for the captions of these partitions, by the stage or by the plain loop, of a server of their own."""
    load = os.getloadavg()[0]
    server = start("-m", "dataset_assets_tests.fakes.chat_server", "--latency", str(LATENCY))
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    if what == "stage":
        forget_captions(folder)
        write_settings(folder, url)
        process = start_part("stage", folder=str(folder), keys=list(partitions))
    else:
        process = start_part("plain", url=url, paths=[path for paths in partitions.values() for path in paths])
    proportional = watch_memory(process)
    said = finish(process)
    server_cpu = sum(os_times(server.pid))
    run = Run(what=what, proportional=proportional, load=load, server_cpu=server_cpu, **said, **finish(server))
    check(run, folder)
    return run


def watch_memory(process: "subprocess.Popen[str]") -> int:
    """Return the most memory that a process was seen to have until it ended, bytes."""
    most = 0
    while process.poll() is None:
        try:
            most = max(most, read_memory(f"/proc/{process.pid}/smaps_rollup", "Pss"))
        except (OSError, StopIteration):
            continue  # it has just ended
        time.sleep(1)
    return most


def os_times(number: int) -> tuple[float, float]:
    """Return the seconds of CPU that a process has taken so far, as a user and in the system."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / ticks, int(fields[12]) / ticks


def check(run: Run, folder: Path) -> None:
    """Stop where anything was asked twice, or not at all, or is not in the catalog."""
    kept = run.captions
    if run.what == "stage":
        with closing(sqlite3.connect(folder / "out" / "dataset.sqlite")) as catalog:
            (kept,) = catalog.execute("select count(*) from captions where status = 'ok'").fetchone()
    if not run.captions == run.requests == run.images == kept:
        raise SystemExit(f"{kept} captions are kept, which does not fit {run}")


def describe(run: Run) -> tuple[str, ...]:
    """Return a row of the report's second table."""
    return (
        {"stage": "the stage", "plain": "plain loop"}[run.what],
        f"{run.captions:,}",
        f"{run.rate:.1f}",
        f"{run.middle:.1f}",
        f"{run.cpu:.1f}",
        f"{run.cpu / run.seconds:.2f}",
        f"{run.each:.2f}",
        f"{run.resident / 1e6:,.0f}",
        f"{run.proportional / 1e6:,.0f}",
        f"{run.requests:,}",
        f"{run.most_at_once}",
        f"{run.server_cpu / run.seconds:.2f}",
        f"{run.load:.1f}",
    )


def compare(runs: list[Run]) -> list[tuple[str, ...]]:
    """Return the rows of the report's third table: the stage against the plain loop just before it."""
    pairs = [(plain, stage) for plain, stage in zip(runs, runs[1:], strict=False) if plain.what == "plain"]
    rows = []
    for name, read in (("captions a second", Run.rate.fget), ("in the middle", lambda run: run.middle)):
        rows.append((name, *ratios([read(stage) / read(plain) for plain, stage in pairs])))
    return [*rows, ("CPU a caption", *ratios([stage.each / plain.each for plain, stage in pairs]))]


def ratios(values: list[float]) -> tuple[str, str]:
    return f"{statistics.mean(values):.2f}", f"{min(values):.2f} to {max(values):.2f}"
