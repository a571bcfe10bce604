"""Memory and pace of reading archives: a large tar and a large Parquet file, scanned and cropped.

    python benchmarks/archives.py --folder /tmp/bench-archives --report benchmarks/ARCHIVES.md

The archives are made once and kept. Each is built by a process of its own with two workers, from the scan to the crops;
the proportional set sizes of it and of all its children are added up five times a second, so that what they share
counts once.
"""

import argparse
import os
import platform
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from meter import list_family, read_pss
from photographs import write_photographs

TAR_IMAGES, TAR_BYTES = 5_000, 5_000_000_000
TABLE_IMAGES = 20_000
EVERY = 0.2  # seconds between two looks at the memory

BUILD = """
import sys, time
from pathlib import Path
from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import open_dataset
from dataset_assets.stages import Stage
from dataset_assets.images.crops import make_crops
from dataset_assets.settings import parse_settings
from dataset_assets.sources.scan import scan_sources

folder, kind, path = sys.argv[1:]
data = {"dataset": {"root": "root"}, "sources": [{"kind": kind, "path": path}], "work": {"workers": 2}}
settings = parse_settings(data, folder=Path(folder))
with open_dataset(settings) as dataset:
    started = time.monotonic()
    seen = scan_sources(dataset).report["usable"]
    scanned = time.monotonic()
    assign_buckets(dataset)
    with dataset.catalog.reading() as connection:
        keys = sorted(key for stage, key in load_states(connection) if stage == Stage.SHARD_PLANS)
    begun = time.monotonic()
    crops = sum(outcome.report["crops"] for outcome in make_crops(dataset, keys).values())
    print(seen, crops, scanned - started, time.monotonic() - begun)
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    what: str
    size: int  # bytes of the archive
    seen: int
    crops: int
    scan: float  # seconds
    crop: float
    early: float  # MB, peak in the first half of the time
    peak: float  # MB


def make_tar(folder: Path) -> Path:
    """Make a tar of about five gigabytes: photographs of about a megabyte each."""
    path = folder / "tars/large.tar"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        filler = os.urandom(1 << 20)
        with tarfile.open(unfinished, "w") as tar:
            for number, photograph in enumerate(list_photographs(folder, TAR_IMAGES)):
                data = photograph.read_bytes()
                # After the end of the image, where decoders do not look and readers do.
                data += filler[: max(0, TAR_BYTES // TAR_IMAGES - len(data))]
                member = tarfile.TarInfo(f"{number:06d}.jpg")
                member.size = len(data)
                tar.addfile(member, BytesIO(data))
        unfinished.rename(path)
    return path


def make_table(folder: Path) -> Path:
    """Make a Parquet file of 20,000 photographs, as Hugging Face's library writes them: groups of 100 rows."""
    path = folder / "tables/large.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        schema = pa.schema(
            [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("title", pa.string())]
        )
        unfinished = path.with_suffix(".part")
        with pq.ParquetWriter(unfinished, schema) as writer:
            rows = [
                {"image": {"bytes": one.read_bytes(), "path": one.name}, "title": f"photograph {one.stem}"}
                for one in list_photographs(folder, 0)
            ]
            for start in range(0, TABLE_IMAGES, 100):
                group = [rows[number % len(rows)] for number in range(start, start + 100)]
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
        unfinished.rename(path)
    return path


def list_photographs(folder: Path, count: int) -> Iterator[Path]:
    """Yield photographs, the same again when there are not so many; 0: each once."""
    write_photographs(folder / "photographs", 2_000)
    found = sorted((folder / "photographs").rglob("*.jpg"))
    for number in range(count or len(found)):
        yield found[number % len(found)]


def measure(folder: Path, kind: str, archive: Path) -> Run:
    """Build from an archive in a new process and watch its memory."""
    scratch = folder / f"root-{kind}"
    subprocess.run(["rm", "-rf", str(scratch)], check=True)
    scratch.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", BUILD, str(scratch), kind, str(archive.parent)], stdout=subprocess.PIPE, text=True
    )
    sizes = []
    while child.poll() is None:
        sizes.append(sum(map(read_pss, list_family(child.pid))))
        time.sleep(EVERY)
    assert child.stdout is not None
    printed = child.stdout.read().split()
    if child.returncode:
        raise SystemExit(f"the build of {archive} ended with {child.returncode}")
    seen, crops = map(int, printed[:2])
    scan, crop = map(float, printed[2:])
    subprocess.run(["rm", "-rf", str(scratch)], check=True)
    half = len(sizes) // 2
    return Run(
        what=kind,
        size=archive.stat().st_size,
        seen=seen,
        crops=crops,
        scan=scan,
        crop=crop,
        early=max(sizes[:half]) / 1e6,
        peak=max(sizes) / 1e6,
    )


def report(runs: list[Run]) -> str:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the end"
    about = (__doc__ or "").rpartition("\n\n")[2]
    table = "\n".join(
        f"| {run.what} | {run.size / 1e9:.1f} GB | {run.seen:,} | {run.scan:.1f} s | {run.crops:,} | "
        f"{run.crops / run.crop:.0f} | {run.early:.0f} MB | {run.peak:.0f} MB |"
        for run in runs
    )
    return f"""\
# Archives

`python benchmarks/archives.py`, {datetime.now(UTC):%Y-%m-%d}, {machine}.

| source | archive | images | scan | crops | images/s | peak memory, first half | peak memory |
|---|---|---|---|---|---|---|---|
{table}

{about.strip()}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    runs = [
        measure(arguments.folder, "tars", make_tar(arguments.folder)),
        measure(arguments.folder, "parquet", make_table(arguments.folder)),
    ]
    text = report(runs)
    print(text)
    if arguments.report:
        arguments.report.write_text(text)


if __name__ == "__main__":
    main()
