"""The report of the speed benchmark: medians, ratios within rounds, and what was to be shown, as Markdown."""

import os
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from meter import read_steal
from PIL import features
from runners import Run

NAMES = {
    "floor": "floor",
    "crops": "crop stage",
    "build": "whole build",
    "img2dataset": "img2dataset, center_crop",
    "img2dataset-ratio": "img2dataset, keep_ratio",
    "webdataset": "webdataset + Pillow",
    "scan": "scan",
    "verify": "verify",
    "hash": "SHA-256 alone",
}
SHOWN = ("simplejpeg", "pillow", "torch", "numpy", "pyarrow", "dagster")
SHOWN_PEERS = ("img2dataset", "opencv-python-headless", "webdataset")
STAGES = {  # what the Dagster layer calls → what it is called in the report; the rest are small questions
    "scan_sources": "scan",
    "assign_buckets": "buckets and plans",
    "make_crops": "crops",
    "read_captions": "captions beside the images",
    "select_captions": "choice of captions",
    "write_shards": "tars",
    "inspect_shards": "tars read again",
    "write_manifest": "manifest and tables",
    "write_card": "card",
    "inspect_export": "inspection of the export",
    "write_sheet": "contact sheet",
    "write_gallery": "gallery",
    **dict.fromkeys(
        (
            "measure_sizes",
            "draw_once",
            "draw_sizes",
            "draw_buckets",
            "measure_kept",
            "draw_kept",
            "measure_length",
            "draw_lengths",
            "count_statuses",
            "draw_statuses",
            "show_crops",
            "show_samples",
        ),
        "charts and strips in Dagster",
    ),
}

_ABOUT_BYTES = """\
Written: as the kernel counts bytes to files when pages become dirty, of all processes. The result: the export, the
files of crops, or the others' tars and tables. Left: all files below the dataset's root when it is built."""
_ABOUT_TIME = """\
The functions of the library that the Dagster layer calls, on the wall. Start-up is the imports before anything is
done; Dagster is all that is left over. These two together are the orchestration."""

_NAMED = 0.01  # of the wall time: functions that take less are not named one by one

Value = Callable[[Run], float]
Sized = tuple[int, Run]  # a run, and how many images were to be worked on


@dataclass(slots=True)
class Session:
    """All that was measured in one go."""

    corpus: str
    steal: tuple[float, float]  # at the start
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    compared: int = 0  # JPEGs of the floor that were found to be the pipeline's
    rounds: list[list[Sized]] = field(default_factory=list)

    def add(self, images: int, run: Run) -> None:
        """Add a run to the last round."""
        self.rounds[-1].append((images, run))

    def find(self, runner: str, images: int) -> list[Run]:
        """Return the runs of a runner over so many images."""
        return [run for group in self.rounds for size, run in group if size == images and run.runner == runner]

    def divide(self, first: str, second: str, images: int, value: Value) -> list[float]:
        """Return the quotients of two runners in the rounds that have both."""
        quotients = []
        for group in self.rounds:
            found = {run.runner: value(run) for size, run in group if size == images}
            if first in found and second in found:
                quotients.append(found[first] / found[second])
        return quotients

    @property
    def sizes(self) -> list[int]:
        """How many images there were to work on, growing."""
        return sorted({images for group in self.rounds for images, _ in group})


def render(session: Session) -> str:
    """Return the report."""
    parts = (
        _describe(session),
        table(("what it must show", "wanted", "measured"), _judge(session)),
        "## Images a second",
        _by_size(session, lambda run: run.rate, ".1f"),
        "## CPU an image, milliseconds",
        _by_size(session, lambda run: run.each, ".2f"),
        *_find_pace(session),
        "## Ratios of images a second, within a round",
        table(("ratio", *_heads(session)), _list_ratios(session)),
        "## Most memory, MB",
        "Proportional set sizes of all processes together, looked at twice a second. The floor holds every file.",
        _by_size(session, lambda run: run.peak / 1e6, ".0f"),
        "## Bytes written for a byte of the result",
        _ABOUT_BYTES,
        table(("", *_heads(session)), _list_written(session)),
        *_share_time(session),
        "## Every run",
        table(_RUN_HEAD, (_tell(images, run) for group in session.rounds for images, run in group)),
    )
    return "# Speed\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _describe(session: Session) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in SHOWN)
    turbo = features.version("libjpeg_turbo")
    peers = Path(__file__).with_name("peers.txt").read_text().splitlines()
    others = ", ".join(line.replace("==", " ") for line in peers if line.partition("==")[0] in SHOWN_PEERS)
    buckets = {run.said["buckets"] for group in session.rounds for _, run in group if "buckets" in run.said}
    filled = f"; the sets measured fill {' or '.join(map(str, sorted(buckets)))} buckets" if buckets else ""
    lines = [
        f"Measured on {describe_machine()}: `make bench`, README.md says how.",
        f"{versions}; Pillow's libjpeg-turbo {turbo}; {others}.",
        describe_load(session.load, session.steal),
        f"{session.corpus}{filled}. Larger sets are the same files under other ids.",
    ]
    if session.compared:
        lines.append(f"{session.compared} JPEGs of the floor were compared with the pipeline's: the same bytes.")
    lines.append("Medians, with the least and the most in brackets.")
    return "\n\n".join(lines)


def describe_machine() -> str:
    """Return the day and with what is measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{time.strftime('%Y-%m-%d', time.gmtime())} with {len(os.sched_getaffinity(0))} cores ({_read_processor()}) "
        f"and {memory:.0f} GiB of memory, Linux {platform.release()}, Python {sys.version.split()[0]}"
    )


def describe_load(load: float, steal: tuple[float, float]) -> str:
    """Return what else the machine did since the load average was `load`, and `read_steal` said `steal`."""
    stolen, passed = (now - before for now, before in zip(read_steal(), steal, strict=True))
    return (
        f"Load average {load:.1f} at the start and {os.getloadavg()[0]:.1f} at the end; the host took "
        f"{stolen / max(passed, 1e-9):.1%} of the cores' time in between."
    )


def _read_processor() -> str:
    """Return the processor's name as the kernel has it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _judge(session: Session) -> list[tuple[str, ...]]:
    """Return what the issue asks for and what was measured, of all that was measured."""
    rows: list[tuple[str, ...]] = []
    first, last = session.sizes[0], session.sizes[-1]

    def put(what: str, wanted: str, values: list[float], form: str) -> None:
        if values:
            rows.append((what, wanted, spread(values, form)))

    for images in session.sizes:
        found = session.divide("crops", "floor", images, lambda run: run.rate)
        put(f"crop stage : floor, images/s, {images:,} images", "at least 0.90", found, ".3f")
    found = session.divide("build", "floor", last, lambda run: run.rate)
    put(f"whole build : floor, images/s, {last:,} images", "at least 0.80", found, ".3f")
    found = session.divide("build", "img2dataset", last, lambda run: run.rate)
    put(f"whole build : img2dataset, images/s, {last:,} images", "at least 1.5", found, ".2f")
    for images in session.sizes:
        peaks = [run.peak / 1e6 for run in session.find("build", images)]
        put(f"most memory of the build, MB, {images:,} images", "under 700, flat", peaks, ".0f")
    if len(session.sizes) > 1:
        larger, smaller = (session.find("build", images) for images in (last, session.sizes[-2]))
        if larger and smaller:
            growth = _median(run.each for run in larger) / _median(run.each for run in smaller)
            rows.append((f"CPU an image, {last:,} : {session.sizes[-2]:,} images", "at most 1.05", f"{growth:.3f}"))
    idle = [run.seconds - sum(run.said["stages"].values()) for run in session.find("build", first)]
    put(f"orchestration, {first:,} images, s", "under 10", idle, ".1f")
    shares = [run.said["stages"].get("write_gallery", 0.0) / run.seconds for run in session.find("build", last)]
    put(f"gallery : whole build, wall time, {last:,} images", "under 0.05", shares, ".3f")
    put("headers a second of the scan", "at least 20,000", [run.rate for run in session.find("scan", last)], ",.0f")
    found = session.divide("verify", "hash", last, lambda run: run.exported / run.seconds)
    put("verify : SHA-256 alone, bytes/s", "at least 0.8", found, ".2f")
    return rows


def _list_ratios(session: Session) -> Iterable[tuple[str, ...]]:
    others = ("img2dataset", "img2dataset-ratio", "webdataset")
    pairs = (("crops", "floor"), ("build", "floor"), ("build", "crops"), *(("build", other) for other in others))
    for first, second in pairs:
        cells = [spread(session.divide(first, second, images, lambda run: run.rate), ".3f") for images in session.sizes]
        if any(cells):
            yield f"{NAMES[first]} : {NAMES[second]}", *cells


def _find_pace(session: Session) -> list[str]:
    """Return the section on the pace without what a run costs once, where there are two sizes to tell it by."""
    first, last = session.sizes[0], session.sizes[-1]
    rows = []
    for name in ("floor", "crops", "build", "img2dataset"):
        few, many = session.find(name, first), session.find(name, last)
        if first < last and few and many:
            started = _median(run.seconds for run in few)
            pace = (last - first) / (_median(run.seconds for run in many) - started)
            rows.append((NAMES[name], f"{pace:.1f}", f"{started - first / pace:.1f}"))
    if not rows:
        return []
    head = ("", f"images/s between {first:,} and {last:,}", "s that a run costs once")
    return ["## The pace, and what a run costs once", table(head, rows)]


def _list_written(session: Session) -> Iterable[tuple[str, ...]]:
    rows: list[tuple[str, str, Value]] = [
        (f"{NAMES[name]}, written", name, lambda run: run.written / run.exported)
        for name in ("crops", "build", "img2dataset", "img2dataset-ratio", "webdataset")
    ]
    rows.insert(2, (f"{NAMES['build']}, left", "build", lambda run: run.left / run.exported))
    for label, name, value in rows:
        cells = [spread([value(run) for run in session.find(name, images)], ".2f") for images in session.sizes]
        if any(cells):
            yield label, *cells


def _share_time(session: Session) -> list[str]:
    """Return the section on where the build's time goes: medians over the runs of each size."""
    sizes = [images for images in session.sizes if session.find("build", images)]
    if not sizes:
        return []
    shares = {images: [_divide_time(run) for run in session.find("build", images)] for images in sizes}
    rows = {
        label: [_tell_share([one.get(label, 0.0) for one in shares[images]], shares[images]) for images in sizes]
        for label in dict.fromkeys(label for found in shares.values() for one in found for label in one)
    }
    return [
        "## Where the build's time goes",
        _ABOUT_TIME,
        table(("stage", *(f"{images:,} images" for images in sizes)), ((label, *row) for label, row in rows.items())),
    ]


def _divide_time(run: Run) -> dict[str, float]:
    """Return the seconds of a build by what they went into; they add up to its wall time."""
    stages = Counter(run.said["stages"])
    share = dict.fromkeys(STAGES.values(), 0.0)
    for name, label in STAGES.items():
        share[label] += stages.pop(name, 0.0)
    share |= {name: stages.pop(name) for name in sorted(stages) if stages[name] > run.seconds * _NAMED}
    share["small questions to the catalog"] = stages.total()
    share["start-up"] = run.said["startup"]
    return {**share, "Dagster": run.seconds - sum(share.values())}


def _tell_share(seconds: list[float], shares: list[dict[str, float]]) -> str:
    whole = _median(sum(share.values()) for share in shares)
    return f"{_median(seconds):.2f} s, {_median(seconds) / whole:.1%}"


_RUN_HEAD = ("images", "runner", "s", "images/s", "CPU s", "memory MB", "written MB", "result MB", "load before")


def _tell(images: int, run: Run) -> tuple[str, ...]:
    return (
        f"{images:,}",
        NAMES[run.runner],
        f"{run.seconds:.2f}",
        f"{run.rate:,.1f}" if run.images else "",
        f"{run.cpu:.1f}",
        f"{run.peak / 1e6:.0f}" if run.peak else "",
        f"{run.written / 1e6:.0f}",
        f"{run.exported / 1e6:.0f}" if run.exported else "",
        f"{run.load:.1f}",
    )


def _by_size(session: Session, value: Value, form: str) -> str:
    rows = []
    for name, label in NAMES.items():
        cells = [spread([value(run) for run in session.find(name, one) if run.images], form) for one in session.sizes]
        if any(cells):
            rows.append((label, *cells))
    return table(("", *_heads(session)), rows)


def _heads(session: Session) -> list[str]:
    return [f"{images:,} images" for images in session.sizes]


def spread(values: list[float], form: str) -> str:
    """Return the median, and the least and the most where there are several; "" of none."""
    if not values:
        return ""
    middle = f"{_median(values):{form}}"
    return middle if len(values) == 1 else f"{middle} ({min(values):{form}}–{max(values):{form}})"


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table."""
    lines = [head, ("---", *["--:"] * (len(head) - 1)), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
