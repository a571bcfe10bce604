"""How fast a model is asked for captions, and what the asking takes of the machine. README.md here says more.

python benchmarks/captions.py --folder FOLDER [--images 10000] [--rounds 2] [--report benchmarks/CAPTIONS.md]
"""

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from asking import CONCURRENCY, MAX_TOKENS, MODEL, PROMPT, SYSTEM, read_jpegs, read_memory
from photographs import write_photographs

ROOT = Path(__file__).parent.parent
LATENCY = 0.5  # seconds
MOST = CONCURRENCY / LATENCY  # captions a second, if asking took no time
SHARE = 0.85  # of those that are wanted
MEMORY = 500e6  # bytes, that may be used
STAGE, PLAIN = "stage", "plain loop"
NOWHERE = "http://127.0.0.1:9/v1"
SETTINGS = """\
[dataset]
name = "captions"
root = "out"

[[sources]]
path = "raw"

[[captions.variants]]
name = "caption_model"
backend = "openai"
model = "{model}"
base_url = "{url}"
api_key_env = ""
system_prompt = "{system}"
user_prompt = "{prompt}"
max_tokens = {max_tokens}
concurrency = {concurrency}
"""

Partitions = dict[str, list[str]]  # key → the paths of its crops
Process = subprocess.Popen[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What it took to ask for some captions, in a process of its own."""

    what: str
    captions: int
    seconds: float  # from before the SDK is imported until everything is written
    middle: float  # captions a second, without the first and the last tenth
    slowest: float  # captions a second, of the slowest tenth between those
    cpu: float  # seconds, user and system, of the asking process in that time
    resident: int  # bytes, the most that the process ever had
    proportional: int  # bytes, the most that was seen, shared pages divided among those who share them
    requests: int  # that the server counted
    images: int  # different ones among them
    most_at_once: int
    server_cpu: float  # seconds
    load: tuple[float, float]  # of the machine, in the minute before the run and in its last

    @property
    def rate(self) -> float:
        """Captions a second."""
        return self.captions / self.seconds

    @property
    def each(self) -> float:
        """Milliseconds of CPU a caption."""
        return self.cpu / self.captions * 1000


def start(*arguments: str) -> Process:
    """Start Python in the repository, where the test server is found."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def start_part(part: str, **arguments: Any) -> Process:
    """Start a function of asking.py."""
    return start(str(Path(__file__).with_name("asking.py")), part, json.dumps(arguments))


def finish(process: Process) -> dict[str, Any]:
    """Return what a process printed, after it has ended; its standard input is closed."""
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args!r} failed")
    told: dict[str, Any] = json.loads(said)
    return told


def make(folder: Path, images: int) -> Partitions:
    """Make the dataset, or what of it is not there; return its partitions."""
    write_photographs(folder / "raw", images)
    write_settings(folder, NOWHERE)
    if (folder / "before.sqlite").exists():
        forget_captions(folder)
    partitions = finish(start_part("make_dataset", folder=str(folder)))
    with (
        closing(sqlite3.connect(folder / "out" / "dataset.sqlite")) as catalog,
        closing(sqlite3.connect(folder / "before.sqlite")) as copy,
    ):
        catalog.backup(copy)
    return partitions


def write_settings(folder: Path, url: str) -> None:
    """Write the settings file, in which the model is at this address."""
    text = SETTINGS.format(
        model=MODEL, url=url, system=SYSTEM, prompt=PROMPT, max_tokens=MAX_TOKENS, concurrency=CONCURRENCY
    )
    (folder / "dataset.toml").write_text(text)


def forget_captions(folder: Path) -> None:
    """Put the catalog back that knows no captions."""
    for suffix in ("-wal", "-shm"):
        (folder / "out" / f"dataset.sqlite{suffix}").unlink(missing_ok=True)
    shutil.copyfile(folder / "before.sqlite", folder / "out" / "dataset.sqlite")


def measure(what: str, folder: Path, partitions: Partitions) -> Run:
    """Ask for the captions of these partitions in a process of its own, of a server of its own."""
    before = os.getloadavg()[0]
    server = start("-m", "dataset_assets_tests.fakes.chat_server", "--latency", str(LATENCY))
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    if what == STAGE:
        forget_captions(folder)
        write_settings(folder, url)
        process = start_part("ask_stage", folder=str(folder), keys=list(partitions))
    else:
        process = start_part("ask_plainly", url=url, paths=list(chain(*partitions.values())))
    proportional = watch_memory(process)
    said, server_cpu = finish(process), read_cpu(server)
    seen: dict[str, Any] = {
        "proportional": proportional,
        "server_cpu": server_cpu,
        "load": (before, os.getloadavg()[0]),
    }
    run = Run(what=what, **seen, **said, **finish(server))
    print("  ".join(describe(run)), flush=True)
    check(run, folder)
    return run


def watch_memory(process: Process) -> int:
    """Return the most memory that a process was seen to have until it ended, bytes."""
    most = 0
    while process.poll() is None:
        try:
            most = max(most, read_memory(process.pid, "smaps_rollup", "Pss"))
        except (OSError, StopIteration):
            continue  # it has just ended
        time.sleep(1)
    return most


def read_cpu(process: Process) -> float:
    """Return the seconds of CPU that a process has taken so far, user and system."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check(run: Run, folder: Path) -> None:
    """Stop where an image was asked about twice or not at all, or where its caption is not in the catalog."""
    kept = run.captions
    if run.what == STAGE:
        with closing(sqlite3.connect(folder / "out" / "dataset.sqlite")) as catalog:
            (kept,) = catalog.execute("select count(*) from captions where status = 'ok'").fetchone()
    if not run.captions == run.requests == run.images == kept:
        raise SystemExit(f"{kept} captions are kept, which does not fit {run}")


def render(runs: list[Run], partitions: Partitions) -> str:
    """Return the report as Markdown. The last of the runs is the long one of the stage."""
    sizes = sorted(len(jpeg) for jpeg in read_jpegs(chain(*partitions.values())))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{len(os.sched_getaffinity(0))} cores and {memory:.0f} GiB of memory, Python {sys.version.split()[0]}"
    day = time.strftime("%Y-%m-%d", time.gmtime())
    median, least, largest = (size / 1000 for size in (statistics.median(sizes), sizes[0], sizes[-1]))
    asked = (
        f"The server answers after {LATENCY * 1000:.0f} ms, and {CONCURRENCY} requests are under way at a time: at "
        f"most {MOST:.0f} captions a second. {len(sizes):,} crops in {len(partitions)} buckets have "
        f"{least:.0f} to {largest:.0f} kB each, {median:.0f} kB in the median."
    )
    shown = (f"{run.captions:,}" for run in runs[1::2])
    lines = (
        "# Asking for captions",
        "",
        f"Measured on {day} with {machine}: `make bench-captions`, README.md says how.",
        "",
        asked,
        "",
        *table(("the long run of the stage", "wanted", "measured"), judge(runs[-1])),
        "",
        *table(_HEAD, [describe(run) for run in runs]),
        "",
        *table(("the stage against the plain loop before it", *shown, "mean"), compare(runs)),
        "",
    )
    return "\n".join(lines)


def judge(run: Run) -> list[tuple[str, ...]]:
    """Return what the long run was to show, and what it showed."""
    wanted = f"at least {SHARE * MOST:.1f}"
    return [
        ("captions a second, from start to end", wanted, f"{run.rate:.1f}, {run.rate / MOST:.1%} of {MOST:.0f}"),
        ("captions a second, slowest tenth but the first and the last", wanted, f"{run.slowest:.1f}"),
        ("most memory, MB", f"under {MEMORY / 1e6:.0f}", f"{run.resident / 1e6:.0f}"),
        ("cores", "about 1", f"{run.cpu / run.seconds:.2f}"),
        ("requests that the server saw", f"{run.captions:,}", f"{run.requests:,}"),
        ("most of them at the same time", f"at most {CONCURRENCY}", f"{run.most_at_once}"),
    ]


_HEAD = (
    "run", "captions", "captions/s", "in the middle", "CPU s", "cores", "CPU ms a caption", "RSS MB", "PSS MB",
    "requests", "at once", "server's cores", "load",
)  # fmt: skip


def describe(run: Run) -> tuple[str, ...]:
    """Return a row with all that is known of a run."""
    return (
        run.what,
        f"{run.captions:,}",
        f"{run.rate:.1f}",
        f"{run.middle:.1f}",
        f"{run.cpu:.1f}",
        f"{run.cpu / run.seconds:.2f}",
        f"{run.each:.2f}",
        f"{run.resident / 1e6:.0f}",
        f"{run.proportional / 1e6:.0f}",
        f"{run.requests:,}",
        f"{run.most_at_once}",
        f"{run.server_cpu / run.seconds:.2f}",
        f"{run.load[0]:.1f} to {run.load[1]:.1f}",
    )


def compare(runs: list[Run]) -> list[tuple[str, ...]]:
    """Return the stage's figures divided by those of the plain loop that ran just before it."""
    pairs = list(zip(runs[::2], runs[1::2], strict=True))
    rows = {
        "captions a second, from start to end": [stage.rate / plain.rate for plain, stage in pairs],
        "captions a second, in the middle": [stage.middle / plain.middle for plain, stage in pairs],
        "CPU a caption": [stage.each / plain.each for plain, stage in pairs],
    }
    return [(name, *(f"{one:.2f}" for one in (*ratios, statistics.mean(ratios)))) for name, ratios in rows.items()]


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table."""
    return ["| " + " | ".join(cells) + " |" for cells in (head, ("---", *["--:"] * (len(head) - 1)), *rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the dataset is made, and kept")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2, help="over one bucket, before the long one")
    parser.add_argument("--report", type=Path, help="the Markdown file to write")
    options = parser.parse_args()
    folder = options.folder.absolute() / f"captions-{options.images}"
    partitions = make(folder, options.images)
    key = next(iter(partitions))
    rounds = [{key: partitions[key]}] * options.rounds + [partitions]
    runs = [measure(what, folder, asked) for asked in rounds for what in (PLAIN, STAGE)]
    report = render(runs, partitions)
    print(report)
    if options.report:
        options.report.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
