"""What captions.py starts, each in a process of its own: making its dataset, asking by the stage, asking plainly.

python benchmarks/asking.py FUNCTION ARGUMENTS        the arguments are JSON, and so is what it prints
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dataset_assets.progress import Silence

CONCURRENCY = 64
SYSTEM = "You write captions of photographs. They are used to train an image model, so they are exact and plain."
PROMPT = "Describe this image in two sentences. Name what is to be seen, where it is, and the light."
MODEL = "test/vision-model"
MAX_TOKENS = 300


class Clock(Silence):
    """Progress that notes when each caption was committed."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def advance(self, count: int) -> None:
        self.times += [time.monotonic()] * count


def make_dataset(folder: str) -> None:
    """Make everything up to the crops that is not fresh; print where the crops of each partition are."""
    from dataset_assets.buckets.assign import assign_buckets
    from dataset_assets.catalog.state import load_pieces, load_states
    from dataset_assets.dataset import open_dataset
    from dataset_assets.images.crops import make_crops
    from dataset_assets.settings import load_settings
    from dataset_assets.shards.plan import write_plan
    from dataset_assets.sources.scan import scan_sources
    from dataset_assets.stages import Stage

    with open_dataset(load_settings(Path(folder, "dataset.toml"))) as dataset:
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


def ask_stage(folder: str, keys: list[str]) -> None:
    """Run the stage over these partitions, as a run of Dagster does."""
    from dataset_assets.captions.chat.ask import ask_captions
    from dataset_assets.dataset import open_dataset
    from dataset_assets.settings import load_settings

    settings, clock = load_settings(Path(folder, "dataset.toml")), Clock()
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

    times: list[float] = []
    places = asyncio.Semaphore(CONCURRENCY)

    async def ask(jpeg: bytes) -> None:
        image = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"}}
        messages: Any = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": [{"type": "text", "text": PROMPT}, image]},
        ]
        try:
            answer = await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=MAX_TOKENS)
        finally:
            places.release()
        if answer.choices[0].message.content:
            times.append(time.monotonic())

    async with openai.AsyncOpenAI(base_url=url, api_key="none") as client, asyncio.TaskGroup() as tasks:
        for jpeg in read_jpegs(paths):
            await places.acquire()
            tasks.create_task(ask(jpeg))
    return times


def read_jpegs(paths: Iterable[str]) -> Iterator[bytes]:
    """Yield the crops of these files, a row group in memory at a time."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, columns=["jpeg"])["jpeg"].to_pylist()


def tell(times: list[float], started: float, used: float) -> None:
    """Print what the asking took until now."""
    seconds, cpu = time.monotonic() - started, time.process_time() - used
    tenth = len(times) // 10
    edges = [times[tenth * number - 1] for number in range(1, 10)]
    said = {
        "captions": len(times),
        "seconds": seconds,
        "middle": 8 * tenth / (edges[-1] - edges[0]),
        "slowest": min(tenth / (end - begin) for begin, end in pairwise(edges)),
        "cpu": cpu,
        "resident": read_memory("self", "status", "VmHWM"),
    }
    print(json.dumps(said))


def read_memory(process: int | str, file: str, name: str) -> int:
    """Return a number of bytes from what the kernel says of a process."""
    lines = Path(f"/proc/{process}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    parts: dict[str, Callable[..., None]] = {one.__name__: one for one in (make_dataset, ask_stage, ask_plainly)}
    parts[sys.argv[1]](**json.loads(sys.argv[2]))
