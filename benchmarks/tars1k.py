"""How fast numbered tars and their indexes are made, against hashing alone and against hfutils.

    python benchmarks/tars1k.py --folder /tmp/bench-tars1k --report benchmarks/TARS1K.md

Captions are slices of a long text of random words, 1 to 2,000 bytes each; a tar has those of 4,442 ids, as the
published set's. *The hash limit* is Python's hashlib alone, given every member as bytes and every tar as one piece:
SHA-256 of each member, SHA-1 and SHA-256 of each tar. *In memory* is tar and index made of texts that are read already;
*files* is the same read from Parquet and written to disk, with an fsync each. These three run in two processes at once,
in turn and several times; the figures are of the round of each that took least CPU time, of both processes: what else
runs on the machine costs wall time. *hfutils* indexes tars that are there; it extracts each member to a file. *The
stage* is what a build runs for the tars, from the catalog to the last file, in a process of its own with two workers;
the proportional set sizes of all its processes are added up.
"""

import argparse
import io
import json
import os
import platform
import random
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1, sha256
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from meter import Usage, measure

from dataset_assets.catalog.state import StageState, load_states, put_state
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.freshness import fingerprint, list_inputs
from dataset_assets.posts.form import COMPRESSION, caption_schema
from dataset_assets.posts.read import find_groups
from dataset_assets.settings import Settings, parse_settings
from dataset_assets.stages import Stage
from dataset_assets.storage.parquet import open_table, writing_table
from dataset_assets.trainer.tars.jobs import TarTask, write_tars
from dataset_assets.trainer.tars.write import IndexedTar, measure_members, measure_tar
from dataset_assets.work import Outcome, begin

HIGHEST = 5_100_000  # ids, of which some are not there
MEMORY_TARS = 20
HFUTILS_TARS = 2
ROUNDS = 15

STAGE = """
import json, sys
from pathlib import Path
from dataset_assets.dataset import open_dataset
from dataset_assets.settings import parse_settings
from dataset_assets.trainer.tars.stage import write_numbered_tars

if __name__ == "__main__":
    with open_dataset(parse_settings(json.loads(sys.argv[2]), folder=Path(sys.argv[1]))) as dataset:
        reports = [write_numbered_tars(dataset, key).report for key in dataset.settings.records.ranges]
    print(json.dumps({name: sum(one[name] for one in reports) for name in ("tars", "written", "bytes")}))
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    cpu: float  # microseconds a member
    wall: float  # seconds


class NoFile(io.RawIOBase):
    """A file that takes everything and keeps nothing."""

    def write(self, data: Any) -> int:
        return len(data)


class Bench:
    """The tars of one process."""

    def __init__(self, source: Path, folder: Path, tars: list[int]) -> None:
        self.source, self.folder = source, folder
        groups = find_groups(source)
        self.texts, self.members, self.tars = [], [], []
        for tar in tars:
            table = self.read([group for group, _ in groups[tar]])
            texts = table.column("caption").combine_chunks()
            self.texts.append((table.column("id").to_numpy(), texts))
            self.members.append([text for text in texts.cast(pa.large_binary()).to_pylist() if text])
            out = io.BytesIO()
            self.make(*self.texts[-1], out)
            self.tars.append(out.getvalue())
        self.tasks = [
            TarTask(
                number=tar,
                kind="captions",
                tar=tar,
                made_from="",
                groups=tuple(group for group, _ in groups[tar]),
                rows=sum(rows for _, rows in groups[tar]),
                column="caption",
                suffix=".caption",
                path=folder / f"{tar:04d}.tar",
                index=folder / f"{tar:04d}.json",
            )
            for tar in tars
        ]

    def read(self, groups: list[int]) -> pa.Table:
        with open_table(self.source) as file:
            return file.read_row_groups(groups, ["id", "caption"], use_threads=False)

    def make(self, ids: Any, texts: pa.Array, out: Any) -> None:
        tar = IndexedTar(out, ".caption", measure_tar(measure_members(texts)))
        tar.add(ids, texts)
        tar.close()
        for part in tar.list_index():
            len(part)

    def limit(self) -> None:
        for members, tar in zip(self.members, self.tars, strict=True):
            for member in members:
                sha256(member).hexdigest()
            blob = sha1(b"blob %d\0" % len(tar), usedforsecurity=False)
            blob.update(tar)
            blob.hexdigest()
            sha256(tar).hexdigest()

    def memory(self) -> None:
        for ids, texts in self.texts:
            self.make(ids, texts, NoFile())

    def files(self) -> None:
        write_tars(self.source, self.tasks)


def serve(connection: Connection, *arguments: Any) -> None:
    """Live as a process: do what is asked for and say what it cost."""
    bench = Bench(*arguments)
    connection.send(sum(map(len, bench.members)))
    while name := connection.recv():
        shutil.rmtree(bench.folder, ignore_errors=True)  # what is there already would have to be removed meanwhile
        connection.send("ready")
        connection.recv()
        wall, cpu = time.monotonic(), time.process_time()
        getattr(bench, name)()
        connection.send((time.process_time() - cpu, time.monotonic() - wall))


def race(source: Path, folder: Path) -> dict[str, Cost]:
    """Return the cost of each way, with two processes at once."""
    context = get_context("spawn")
    ends, processes = [], []
    for part in range(2):
        ours, theirs = context.Pipe()
        tars = list(range(part, MEMORY_TARS, 2))
        processes.append(context.Process(target=serve, args=(theirs, source, folder / str(part), tars), daemon=True))
        processes[-1].start()
        ends.append(ours)
    members = sum(end.recv() for end in ends)
    best: dict[str, Cost] = {}
    for _ in range(ROUNDS):
        for name in ("limit", "memory", "files"):
            for end in ends:
                end.send(name)
            for end in ends:
                end.recv()  # both are ready
            for end in ends:
                end.send("start")
            said = [end.recv() for end in ends]
            cost = Cost(cpu=sum(cpu for cpu, _ in said) / members * 1e6, wall=max(wall for _, wall in said))
            best[name] = min(best.get(name, cost), cost, key=lambda one: one.cpu)
    for end, process in zip(ends, processes, strict=True):
        end.send("")
        process.join()
    return best


def race_hfutils(source: Path, folder: Path) -> tuple[float, float]:
    """Return the CPU microseconds a member of hfutils' indexing, and of making the same tars with their indexes."""
    from hfutils.index import tar_create_index

    tars = sorted(folder.glob("*/*.tar"))[:HFUTILS_TARS]
    members = sum(len(json.loads(tar.with_suffix(".json").read_bytes())["files"]) for tar in tars)

    def cost(job: Callable[[], object]) -> float:
        cpu = time.process_time()
        job()
        return (time.process_time() - cpu) / members * 1e6

    def index() -> None:
        for tar in tars:
            copy = tar.with_suffix(".hfutils")
            with redirect_stderr(io.StringIO()):
                tar_create_index(str(tar), str(copy), silent=True)
            if copy.read_bytes() != tar.with_suffix(".json").read_bytes():
                raise SystemExit(f"the index of {tar} is not hfutils'")

    bench = Bench(source, folder / "again", [int(tar.stem) for tar in tars])
    return min(cost(index) for _ in range(3)), min(cost(bench.files) for _ in range(3))


def describe(folder: Path, ids: int) -> dict[str, Any]:
    """Return the settings of a dataset of so many ids, in tars as the published ones of 4,441,660."""
    modulus = max(100, round(ids / 4_442 / 100) * 100)
    records = {"paths": ["*.jsonl"], "modulus": modulus, "tars_per_partition": 100}
    return {"dataset": {"root": str(folder / "root")}, "work": {"workers": 2}, "records": records}


def choose(settings: Settings, ids: int) -> None:
    """Leave captions of so many ids as the stages before do, unless they are there."""
    assert settings.records is not None
    with open_dataset(settings) as dataset:
        with dataset.catalog.writing() as connection:
            states = load_states(connection)
            inputs = list_inputs(settings, states, Stage.CAPTION_RECORDS)
            report = {"digests": {key: str(ids) for key in settings.records.ranges}}
            put_state(
                connection,
                StageState(stage=Stage.CAPTION_RECORDS, fingerprint=fingerprint(inputs), output="", report=report),
            )
        every = np.sort(np.random.default_rng(0).choice(HIGHEST, ids, replace=False))
        chance = random.Random(0)
        words = ["".join(chance.choices("etaoinshrdlu", k=chance.randrange(1, 11))) for _ in range(3000)]
        text = " ".join(chance.choices(words, k=2_000_000)).encode()
        for key in settings.records.ranges:
            choose_range(dataset, key, every, text)


def choose_range(dataset: Dataset, key: str, every: Any, text: bytes) -> None:
    work = begin(dataset, Stage.RECORD_CAPTIONS, key)
    if isinstance(work, Outcome):
        return
    records = dataset.settings.records
    assert records is not None
    schema, path = caption_schema(records), dataset.layout.record_captions(key)
    tars = {}
    with writing_table(path, schema, compression=COMPRESSION, ranged=["tar"], repeating=["variant", "file"]) as table:
        for tar in records.ranges[key]:
            ids = every[every % records.modulus == tar]
            rows = len(ids)
            sizes = np.clip(np.random.default_rng(tar).lognormal(6.4, 0.6, rows), 1, 2_000).astype(np.int64)
            sizes[::25] = 0  # one in 25 has no caption, as in the published set
            offsets = np.concatenate([[0], np.cumsum(sizes)])
            start = tar * 7_919 % (len(text) - int(offsets[-1]))
            captions = pa.LargeStringArray.from_buffers(
                rows, pa.py_buffer(offsets), pa.py_buffer(text[start : start + int(offsets[-1])])
            )
            columns = {field.name: pa.array([0] * rows).cast(field.type) for field in schema}
            columns |= {"id": pa.array(ids), "tar": pa.array(np.full(rows, tar, np.int32)), "caption": captions}
            table.write_table(pa.table([columns[name] for name in schema.names], schema=schema), row_group_size=rows)
            tars[str(tar)] = str(rows)
    work.put(path, made_from="", output=key, facts={"tars": {"captions": tars}})
    work.finish(output=key, report={})


def run_stage(folder: Path, ids: int) -> tuple[int, Usage]:
    data = describe(folder, ids)
    choose(parse_settings(data, folder=folder), ids)
    shutil.rmtree(folder / "root/export_1k", ignore_errors=True)
    script = folder / "stage.py"
    script.write_text(STAGE)
    return ids, measure([sys.executable, script, folder, json.dumps(data)], folder / "log")


def report(costs: dict[str, Cost], hfutils: tuple[float, float], stages: list[tuple[int, Usage]]) -> str:
    names = {"limit": "the hash limit", "memory": "in memory", "files": "files"}
    rows = "\n".join(
        f"| {names[name]} | {cost.cpu:.2f} µs | {costs['limit'].cpu / cost.cpu:.2f} | {cost.wall:.2f} s |"
        for name, cost in costs.items()
    )
    runs = "\n".join(
        f"| {ids:,} | {usage.said['tars']:,} | {usage.said['bytes'] / 1e9:.2f} GB | {usage.wall:.1f} s | "
        f"{usage.cpu:.1f} s | {usage.cpu / ids * 1e6:.2f} µs | {ids / usage.wall:,.0f} | {usage.peak / 1e6:.0f} MB |"
        for ids, usage in stages
    )
    about = (__doc__ or "").split("\n\n", 2)[2]
    load = os.getloadavg()[0]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f} at the end"
    return f"""\
# 1k tars

`python benchmarks/tars1k.py`, {datetime.now(UTC):%Y-%m-%d}, {machine}.

| {MEMORY_TARS} tars in two processes | CPU a member | of the limit | wall |
|---|---|---|---|
{rows}

`hfutils` takes {hfutils[0]:.0f} µs of CPU a member to index a tar; from Parquet to tar and index on disk it is
{hfutils[1]:.2f} µs here: {hfutils[0] / hfutils[1]:.0f} times as fast.

| the stage: records | tars | bytes | wall | CPU | CPU a record | records/s | peak memory |
|---|---|---|---|---|---|---|---|
{runs}

{about.strip()}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--ids", type=int, nargs="+", default=[444_166, 4_441_660])
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    stages = [run_stage(arguments.folder / str(ids), ids) for ids in arguments.ids]
    first = arguments.folder / str(arguments.ids[0])
    source = min((first / "root/records/captions").glob("*.parquet"))
    tars = first / "tars"
    costs = race(source, tars)
    text = report(costs, race_hfutils(source, tars), stages)
    shutil.rmtree(tars)
    for ids in arguments.ids:
        shutil.rmtree(arguments.folder / str(ids) / "root/export_1k")
    print(text)
    if arguments.report:
        arguments.report.write_text(text)


if __name__ == "__main__":
    main()
