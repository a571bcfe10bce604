"""What the catalog's operations cost on SQLite and on PostgreSQL, and how they grow with it. README.md here says more.

python benchmarks/catalog.py --folder FOLDER [--rows 100000 1000000] [--report benchmarks/CATALOG.md]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dataset_assets.buckets import assign
from dataset_assets.captions.sources import register_variants
from dataset_assets.catalog.captions import put_captions, record_answers, seated_captions
from dataset_assets.catalog.copying import copy_catalog
from dataset_assets.catalog.database import BATCH, Catalog
from dataset_assets.catalog.images import insert_images, known_images
from dataset_assets.catalog.state import Piece, StageState, load_states, put_piece, put_state, void_state
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.freshness import fingerprint, list_inputs
from dataset_assets.settings import parse_settings
from dataset_assets.shards.partition import Partition
from dataset_assets.shards.plan import write_plans
from dataset_assets.stages import Stage
from dataset_assets.status import judge_all
from dataset_assets_tests.postgres import Server

SHAPES = ((640, 480), (480, 640), (512, 512), (800, 450), (600, 400))
SIDECARS = 1_000  # captions a transaction, as sidecars are read
ANSWERS = 32  # captions a transaction, as models answer
DURABLE = {  # what a server has as it comes, where tests have none of it
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
}


@dataclass(frozen=True, slots=True)
class Took:
    """What one operation took."""

    wall: float  # seconds
    cpu: float  # seconds, of this process and of the server


class Clock:
    """Times operations by name, in the order in which they come."""

    def __init__(self, server: Server | None) -> None:
        self.took: dict[str, Took] = {}
        self._server = server

    def _read_cpu(self) -> float:
        return time.process_time() + (self._server.read_cpu() if self._server else 0)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time a block."""
        wall, cpu = time.perf_counter(), self._read_cpu()
        yield
        self.took[name] = Took(time.perf_counter() - wall, self._read_cpu() - cpu)


def make_row(number: int) -> dict[str, Any]:
    """Return the row of an image as the scan writes it."""
    width, height = SHAPES[number % len(SHAPES)]
    uri = f"{number // 1000:06d}/{number:09d}.jpg"
    return {
        "source": "raw",
        "uri": uri,
        "image_id": uri,
        "size": 100_000 + number,
        "version": f"{100_000 + number}-1700000000000000000",
        "revision": f"{100_000 + number}-1700000000000000000",
        "checksum": sha256(uri.encode()).hexdigest(),
        "sidecars": "txt=20-1700000000000000000",
        "width": width,
        "height": height,
        "orientation": 1,
        "format": "JPEG",
        "reason": "",
        "detail": "",
        "removed": False,
    }


def make_caption(image: int, source: int) -> dict[str, Any]:
    """Return a caption of an image as the sidecar stage writes it."""
    return {
        "image": image,
        "caption_source": source,
        "status": "ok",
        "text": f"A photograph of something that nobody has seen before, number {image}, in the light of the evening.",
        "detail": "",
        "input_version": f"txt:20-{image}",
        "created_at": 1_700_000_000.5,
    }


def make_answer(image: int) -> dict[str, Any]:
    """Return a model's answer about an image as the asking stage writes it."""
    usage = {"prompt_tokens": 300, "completion_tokens": 40, "cost": 0.0001, "latency": 0.5}
    caption = {name: value for name, value in make_caption(image, 0).items() if name != "caption_source"}
    return caption | usage | {"finish_reason": "stop", "provider": "Someone"}


def run(folder: Path, server: Server | None, rows: int) -> dict[str, Took]:
    """Return what every operation took on a new dataset, whose catalog is on the server or in a file."""
    catalog = server.url(server.make_database()).render_as_string(hide_password=False) if server else ""
    (folder / "raw").mkdir(parents=True)
    settings = parse_settings(
        {
            "dataset": {"root": "out", "catalog": catalog},
            "sources": [{"path": "raw"}],
            "captions": {"variants": [{"name": "caption_sidecar", "backend": "sidecar"}]},
        },
        folder=folder,
    )
    clock = Clock(server)
    with open_dataset(settings) as dataset:
        _fill(dataset, rows, clock)
        keys = _assign(dataset, clock)
        _caption(dataset, keys, clock)
        _judge(dataset, keys, clock)
        with clock("copy to a file"), closing(Catalog(f"sqlite:///{folder / 'copy.sqlite'}")) as copied:
            copy_catalog(dataset.catalog, copied)
    return clock.took


def _fill(dataset: Dataset, rows: int, clock: Clock) -> None:
    with clock("scan: insert"):
        for start in range(0, rows, BATCH):
            batch = [make_row(number) for number in range(start, min(rows, start + BATCH))]
            with dataset.catalog.writing() as connection:
                void_state(connection, Stage.RAW_IMAGES)
                insert_images(connection, batch)
    with clock("scan: what is known"), dataset.catalog.reading() as connection:
        known = known_images(connection)
    if len(known) != rows:
        raise SystemExit(f"{len(known):,} images are there and not {rows:,}")
    with dataset.catalog.writing() as connection:
        inputs = list_inputs(dataset.settings, {}, Stage.RAW_IMAGES)
        state = StageState(
            stage=Stage.RAW_IMAGES, fingerprint=fingerprint(inputs), output="index", report={"inputs": inputs}
        )
        put_state(connection, state)


def _assign(dataset: Dataset, clock: Clock) -> list[str]:
    """Seat everything; return the partitions."""

    def plan(given: Dataset) -> Any:
        with clock("plan"):
            return write_plans(given)

    with patch.object(assign, "write_plans", plan), clock("assign and plan"):
        assign.assign_buckets(dataset)
    both, planned = clock.took["assign and plan"], clock.took.pop("plan")
    clock.took["assign"] = Took(both.wall - planned.wall, both.cpu - planned.cpu)
    clock.took["plan"] = planned
    del clock.took["assign and plan"]
    with dataset.catalog.reading() as connection:
        return sorted(key for stage, key in load_states(connection) if stage == Stage.SHARD_PLANS)


def _caption(dataset: Dataset, keys: list[str], clock: Clock) -> None:
    with dataset.catalog.writing() as connection:
        source = register_variants(connection, dataset.settings.captions)["caption_sidecar"]
    with dataset.catalog.reading() as connection:
        images = known_images(connection)["id"].to_pylist()
    with clock("captions: sidecars"):
        for start in range(0, len(images), SIDECARS):
            rows = [make_caption(image, source.id) for image in images[start : start + SIDECARS]]
            with dataset.catalog.writing() as connection:
                put_captions(connection, rows)
    some = images[: max(len(images) // 10, 1)]
    with clock("captions: answers about a tenth"):
        for start in range(0, len(some), ANSWERS):
            answers = [make_answer(image) for image in some[start : start + ANSWERS]]
            dataset.catalog.record(_record(source, answers))
    size = dataset.settings.shards.shard_size
    with clock("select: captions by partition"):
        for key in keys:
            partition = Partition.parse(key)
            with dataset.catalog.reading() as connection:
                seated_captions(connection, partition.bucket_id, partition.slots(size))


def _record(source: Any, answers: list[dict[str, Any]]) -> Callable[[Any], float]:
    return lambda connection: record_answers(connection, source, answers)


def _judge(dataset: Dataset, keys: list[str], clock: Clock) -> None:
    """Record every stage of every partition, then ask what is fresh."""
    with clock("states and pieces"):
        for key in keys:
            for stage in (Stage.RESIZED_CROPS, Stage.CAPTION_SELECTION, Stage.SHARDS, Stage.SHARDS_INTACT):
                with dataset.catalog.writing() as connection:
                    put_piece(connection, Piece(stage=stage, partition=key, path="", bytes=0))
                with dataset.catalog.writing() as connection:
                    put_state(connection, StageState(stage=stage, partition=key, fingerprint="f", output="o"))
    with clock("status"):
        judge_all(dataset)


def compare(folder: Path, sizes: list[int]) -> dict[str, dict[int, dict[str, Took]]]:
    """Return what was measured, by database, rows and operation; each in a process of its own."""
    found: dict[str, dict[int, dict[str, Took]]] = {"SQLite": {}, "PostgreSQL": {}}
    for rows in sizes:
        for name, measured in found.items():
            below = folder / f"{name}-{rows}"
            shutil.rmtree(below, ignore_errors=True)
            command = [sys.executable, __file__, "--folder", str(below), "--rows", str(rows), "--only", name]
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            measured[rows] = {one: Took(*took) for one, took in json.loads(said.splitlines()[-1]).items()}
            print(f"{name}, {rows:,}: {said.splitlines()[-1]}", file=sys.stderr, flush=True)
            shutil.rmtree(below)
    return found


def run_alone(folder: Path, name: str, rows: int) -> None:
    """Measure one database and print what was found as JSON."""
    folder.mkdir(parents=True)
    if name == "SQLite":
        took = run(folder, None, rows)
    else:
        server = Server(settings=DURABLE)
        try:
            took = run(folder, server, rows)
        finally:
            server.remove()
    print(json.dumps({name: (one.wall, one.cpu) for name, one in took.items()}))


def write_report(found: dict[str, dict[int, dict[str, Took]]]) -> str:
    """Return the figures as Markdown: seconds of wall time, and of this process's CPU in brackets."""
    columns = [(name, rows) for name, sizes in found.items() for rows in sizes]
    operations = list(found[columns[0][0]][columns[0][1]])
    lines = [
        "# The catalog",
        "",
        f"`make bench-catalog`, {time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores of one machine.",
        "Seconds of wall time, and in brackets of CPU: all of the process, and of the server where there is one.",
        "",
        "| | " + " | ".join(f"{name}, {rows:,}" for name, rows in columns) + " |",
        "|---|" + "--:|" * len(columns),
    ]
    for operation in operations:
        cells = [found[name][rows][operation] for name, rows in columns]
        lines.append(f"| {operation} | " + " | ".join(f"{one.wall:.2f} ({one.cpu:.2f})" for one in cells) + " |")
    lines += [
        "",
        "## CPU seconds a million images",
        "",
        "| | " + " | ".join(f"{name}, {rows:,}" for name, rows in columns) + " |",
        "|---|" + "--:|" * len(columns),
    ]
    for operation in operations:
        each = (found[name][rows][operation].cpu / rows * 1_000_000 for name, rows in columns)
        lines.append(f"| {operation} | " + " | ".join(f"{seconds:.2f}" for seconds in each) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000])
    parser.add_argument("--report", type=Path)
    parser.add_argument("--only", choices=("SQLite", "PostgreSQL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        run_alone(given.folder, given.only, given.rows[0])
        return
    report = write_report(compare(given.folder, given.rows))
    print(report)
    if given.report:
        given.report.write_text(report)


if __name__ == "__main__":
    main()
