"""What Dagster adds to a build of 1,000 partitions, and what one and two Ray nodes make of one machine's work.

python benchmarks/cluster.py --folder FOLDER [--partitions 250 1000] [--images 20000] [--report benchmarks/CLUSTER.md]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg  # noqa: TID251 - it is what is measured
from corpus import link_set, make_corpus
from PIL import Image

from dataset_assets.dataset import open_dataset
from dataset_assets.settings import load_settings
from dataset_assets.status import judge_all
from dataset_assets_tests.cluster.nodes import Cluster
from dataset_assets_tests.postgres import Server

HERE = Path(__file__).parent
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "256MB"}
SMALL = """\
[dataset]
root = "root"
catalog = "{catalog}"
[[sources]]
path = "{source}"
[buckets]
base_resolutions = [64]
[shards]
shard_size = 1
shards_per_partition = 1
[work]
workers = 2
[gallery]
enabled = false
"""
LARGE = """\
[dataset]
root = "root"
catalog = "{catalog}"
[[sources]]
path = "{source}"
[shards]
shards_per_partition = 1
[work]
workers = 1
[gallery]
enabled = false
[automation]
interval_seconds = 5
settle_seconds = 0
nightly = ""
partitions_per_run = 6
"""
STORAGE = "storage:\n  postgres:\n    postgres_url: {url}\ntelemetry:\n  enabled: false\n"
BATCH = 100  # of DAGSTER_EVENT_BATCH_SIZE
DONE = dg.DagsterRunStatus.SUCCESS


@dataclass(frozen=True, slots=True)
class Share:
    """Where the wall time of a build went, seconds."""

    partitions: int
    storage: str
    wall: float
    library: float  # in the functions that the Dagster layer calls
    again: float  # wall time of a second build, which finds everything fresh

    @property
    def dagster(self) -> float:
        """What is left: Dagster, and the start of the program."""
        return self.wall - self.library

    def __str__(self) -> str:
        return (
            f"| {self.partitions:,} | {self.storage} | {self.wall:.1f} | {self.library:.1f} | {self.dagster:.1f} "
            f"| {self.dagster / self.partitions * 1000:.0f} | {self.again:.1f} |"
        )


def measure_share(folder: Path, partitions: int, server: Server | None, batch: int = 0) -> Share:
    """Return what a build of so many partitions of one tiny image each took, in one storage for catalog and Dagster.

    `batch` is how many events Dagster writes at a time, where it can.
    """
    shutil.rmtree(folder, ignore_errors=True)
    _draw(folder / "raw", partitions)
    home = folder / "home"
    home.mkdir()
    catalog = ""
    if server:
        catalog = name_database(server)
        (home / "dagster.yaml").write_text(STORAGE.format(url=_for_dagster(name_database(server))))
    config = folder / "dataset.toml"
    config.write_text(SMALL.format(catalog=catalog, source=folder / "raw"))
    os.environ |= {"DAGSTER_HOME": str(home), "DAGSTER_EVENT_BATCH_SIZE": str(batch)}
    try:
        (wall, library), (again, _) = _build(config), _build(config)
    finally:
        del os.environ["DAGSTER_HOME"], os.environ["DAGSTER_EVENT_BATCH_SIZE"]
    with open_dataset(load_settings(config)) as dataset:
        found = {key for _, key in judge_all(dataset) if key}
    if len(found) != partitions:
        raise SystemExit(f"{len(found):,} partitions, and {partitions:,} were to be there")
    return Share(
        partitions=partitions,
        storage=("PostgreSQL" if server else "SQLite") + (f", {batch} events at a time" if batch else ""),
        wall=wall,
        library=library,
        again=again,
    )


def _build(config: Path) -> tuple[float, float]:
    """Return the wall time of a build and of the library's part in it, seconds."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, HERE / "ours.py", "build", config], check=True, stdout=subprocess.PIPE, text=True
    )
    return time.monotonic() - started, sum(json.loads(done.stdout.splitlines()[-1])["stages"].values())


def _draw(folder: Path, count: int) -> None:
    """Make so many tiny photographs, each with a caption."""
    folder.mkdir(parents=True)
    for number in range(count):
        Image.effect_noise((80, 80), 60).convert("RGB").save(folder / f"{number:06d}.jpg")
        (folder / f"{number:06d}.txt").write_text(f"Grey noise, number {number} of {count}.")


def name_database(server: Server) -> str:
    """Return the URL of a new database."""
    return server.url(server.make_database()).render_as_string(hide_password=False)


def _for_dagster(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a dataset was made."""

    how: str
    images: int
    crops: float  # seconds from the start of the first run with crops to the end of the last
    whole: float  # seconds from the start of the first run to the end of the last
    runs: int

    def __str__(self) -> str:
        return (
            f"| {self.how} | {self.runs} | {self.crops:.1f} | {self.images / self.crops:.0f} | {self.whole:.1f} "
            f"| {self.images / self.whole:.0f} |"
        )


def measure_local(folder: Path, source: Path, images: int, workers: int, server: Server) -> Pace:
    """Return how fast `build` made the dataset with so many workers."""
    config = _prepare(folder, source, server)
    config.write_text(config.read_text().replace("workers = 1", f"workers = {workers}"))
    environment = {**os.environ, "DAGSTER_HOME": str(folder / "home")}
    (folder / "home").mkdir()
    program = Path(sys.executable).with_name("dataset-assets")
    subprocess.run([program, "build", "--config", config], check=True, env=environment, stdout=subprocess.DEVNULL)
    with dg.DagsterInstance.from_config(str(folder / "home")) as instance:
        return _read_pace(instance, f"`build`, {workers} worker{'s' if workers > 1 else ''}", images)


def measure_nodes(folder: Path, source: Path, images: int, nodes: int, server: Server) -> Pace:
    """Return how fast so many Ray nodes of one core made the dataset, launched by Dagster's daemon."""
    config = _prepare(folder, source, server)
    url = _for_dagster(name_database(server))
    os.environ["DAGSTER_POSTGRES_URL"] = url
    with Cluster({"DAGSTER_POSTGRES_URL": url}, config) as cluster:
        os.environ["RAY_API_SERVER_ADDRESS"] = cluster.address
        cluster.start_head("head", cores=0)
        for number in range(nodes):
            cluster.start_worker(f"node-{number}")
        cluster.start_daemon()
        with dg.DagsterInstance.from_config(str(cluster.home)) as instance:
            ended = dg.RunsFilter(job_name="release", statuses=[DONE])
            cluster.wait_for(lambda: instance.get_runs(ended, limit=1), every=1)
            return _read_pace(instance, f"Ray, {nodes} node{'s' if nodes > 1 else ''} of one core", images)


def _prepare(folder: Path, source: Path, server: Server) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = folder / "dataset.toml"
    config.write_text(LARGE.format(catalog=name_database(server), source=source))
    return config


def _read_pace(instance: dg.DagsterInstance, how: str, images: int) -> Pace:
    """Return the pace as Dagster's records of runs have it."""
    records = instance.get_run_records()
    wrong = [record.dagster_run.run_id for record in records if record.dagster_run.status != DONE]
    if wrong:
        raise SystemExit(f"{how}: {len(wrong)} runs did not succeed")
    spans = [(record.dagster_run, record.start_time or 0.0, record.end_time or 0.0) for record in records]
    crops = [(start, end) for run, start, end in spans if _has_crops(run)]
    return Pace(
        how=how,
        images=images,
        crops=max(end for _, end in crops) - min(start for start, _ in crops),
        whole=max(end for *_, end in spans) - min(record.create_timestamp.timestamp() for record in records),
        runs=len(crops),
    )


def _has_crops(run: dg.DagsterRun) -> bool:
    return dg.AssetKey("resized_crops") in (run.asset_selection or ())


@contextmanager
def serving() -> Iterator[Server]:
    """Yield a server that keeps what it commits."""
    server = Server(settings=DURABLE)
    try:
        yield server
    finally:
        server.remove()


def write_report(shares: list[Share], paces: list[Pace]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "# Dagster's share, and Ray",
        "",
        f"`make bench-cluster`, {time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores of one machine.",
    ]
    if shares:
        lines += [
            "",
            "## Many partitions",
            "",
            "A partition is one image of 80 × 80 pixels: next to no work of ours, so that Dagster's is seen. Seconds.",
            "",
            "| partitions | catalog and Dagster in | build | library | the rest | ms a partition | build again |",
            "|--:|---|--:|--:|--:|--:|--:|",
            *map(str, shares),
        ]
    if paces:
        lines += [
            "",
            "## Nodes",
            "",
            f"{paces[0].images:,} photographs, artifacts on a disk that all share, catalog on PostgreSQL. A run",
            "has six partitions, and one worker where nothing else is said.",
            "",
            "| | runs with crops | s from their first to their last | images/s | s in all | images/s |",
            "|---|--:|--:|--:|--:|--:|",
            *map(str, paces),
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--partitions", type=int, nargs="*", default=[250, 1000])
    parser.add_argument("--images", type=int, default=20_000, help="0: no nodes")
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    for name in ("DAGSTER_HOME", "DATASET_CONFIG"):
        os.environ.pop(name, None)
    folder = given.folder.absolute() / "cluster"
    shares: list[Share] = []
    paces: list[Pace] = []

    def tell() -> None:
        said = write_report(shares, paces)
        print(said, flush=True)
        if given.report:
            given.report.write_text(said, encoding="utf-8")

    for partitions in given.partitions:
        shares.append(measure_share(folder / "share", partitions, None))
        with serving() as server:
            shares += [measure_share(folder / "share", partitions, server, batch) for batch in (0, BATCH)]
        tell()
    if given.images:
        corpus = given.folder.absolute() / "speed" / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        make_corpus(corpus)
        source = link_set(corpus, given.folder.absolute() / "speed" / "sets", given.images)
        with serving() as server:
            for workers in (1, 2):
                paces.append(measure_local(folder / "local", source, given.images, workers, server))
                tell()
            for nodes in (1, 2):
                paces.append(measure_nodes(folder / "nodes", source, given.images, nodes, server))
                tell()


if __name__ == "__main__":
    main()
