"""What the distance to an object store costs the crop stage, and what reading ahead spares. README.md here says more.

python benchmarks/remote.py --folder FOLDER [--images 600] [--rounds 3] [--report benchmarks/REMOTE.md]

A part alone, in a minute: --images 100 --rounds 1 --delays 0 50 --workers 1
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from corpus import describe_corpus, link_set, make_corpus
from meter import Usage, measure, read_steal
from report import describe_load, describe_machine, spread, table
from stores import Store

HERE = Path(__file__).parent
SETTINGS = """\
[dataset]
name = "remote"
root = "root"

[[sources]]
path = "{source}"

[work]
workers = {workers}
"""
FOLDER, AHEAD, IN_TURN = "a folder on disk", "the store, read ahead", "the store, one after the other"
PARTS = {FOLDER: ("ours.py", "crops"), AHEAD: ("ours.py", "crops"), IN_TURN: ("in_turn.py",)}
SHOWN = ("s3fs", "aiobotocore", "moto", "simplejpeg", "pillow", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to make the crops."""

    how: str  # one of PARTS
    workers: int
    delay: float = 0.0  # seconds

    def __str__(self) -> str:
        after = "" if self.how == FOLDER else f", {self.delay * 1000:.0f} ms"
        return f"{self.how}{after}, {self.workers} worker{'s' if self.workers > 1 else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What it took."""

    images: int
    seconds: float  # on the wall, of the stage with the start of its workers
    cpu: float  # seconds, user and system, of all its processes; the store's are not among them
    peak: int  # bytes, proportional set sizes of the same processes
    most: int  # requests under way at a time
    store: float  # CPU seconds of the store meanwhile
    load: float  # of the machine, over the minute at whose end it began

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def each(self) -> float:
        """Milliseconds of CPU an image."""
        return self.cpu / self.images * 1000


@dataclass(slots=True)
class Session:
    """All that was measured in one go."""

    corpus: str
    images: int
    answer: float  # seconds that an image takes without a delay
    steal: tuple[float, float] = field(default_factory=read_steal)
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    rounds: list[dict[Case, Run]] = field(default_factory=list)

    def find(self, case: Case, value: Callable[[Run], float]) -> list[float]:
        """Return a figure of every run of a case."""
        return [value(found[case]) for found in self.rounds if case in found]

    def divide(self, first: Case, second: Case) -> list[float]:
        """Return the quotients of images a second in the rounds that have both."""
        both = [found for found in self.rounds if first in found and second in found]
        return [found[first].rate / found[second].rate for found in both]

    @property
    def cases(self) -> list[Case]:
        """What was measured, in the order of the tables."""
        order = list(PARTS)
        found = {case for group in self.rounds for case in group}
        return sorted(found, key=lambda case: (case.workers, order.index(case.how), case.delay))


class Bench:
    """The same images in a folder and in a store, a dataset over each up to its plans, and what runs the stage."""

    def __init__(self, folder: Path, source: Path, store: Store, meter: ProcessPoolExecutor) -> None:
        self._folder = folder
        self._store = store
        self._meter = meter
        self._places = {FOLDER: str(source), AHEAD: store.url, IN_TURN: store.url}
        self.images = 0
        for name in (FOLDER, AHEAD):
            place = self._prepared(name)
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            self.images = self._measure("ours.py", "prepare", self._settings(place, name, 1)).said["images"]

    def run(self, case: Case) -> Run:
        """Make the crops. Ends the program where images are lost, or are not read as they are to be."""
        scratch = self._folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(self._prepared(case.how), scratch)
        settings = self._settings(scratch, case.how, case.workers)
        self._store.begin(case.delay)
        load, before = os.getloadavg()[0], self._store.cpu
        usage = self._measure(*PARTS[case.how], settings)
        spent = self._store.cpu - before
        self._check(case, usage.said["images"])
        shutil.rmtree(scratch)
        return Run(
            images=usage.said["images"],
            seconds=usage.said["seconds"],
            cpu=usage.cpu - usage.said["cpu_before"],
            peak=usage.peak,
            most=self._store.most,
            store=spent,
            load=load,
        )

    def _check(self, case: Case, images: int) -> None:
        read, wanted = self._store.read, 0 if case.how == FOLDER else self.images
        if images != self.images or read != wanted:
            raise SystemExit(f"{case}: {images:,} crops of {self.images:,} images, {read:,} of them read in the store")
        if case.how == IN_TURN and self._store.most > case.workers:
            raise SystemExit(f"{case}: {self._store.most} requests were under way at a time")

    def _prepared(self, how: str) -> Path:
        return self._folder / ("prepared-folder" if how == FOLDER else "prepared-store")

    def _settings(self, place: Path, how: str, workers: int) -> Path:
        path = place / "dataset.toml"
        path.write_text(SETTINGS.format(source=self._places[how], workers=workers))
        return path

    def _measure(self, script: str, *arguments: str | Path) -> Usage:
        """Run a script from a process that has no other: the meter waits for all below it, and the store goes on."""
        command = [sys.executable, HERE / script, *arguments]
        return self._meter.submit(measure, command, self._folder / "logs" / f"{Path(script).stem}.log").result()


def list_cases(workers: Iterable[int], delays: list[float]) -> Iterator[Case]:
    """Yield what a round has."""
    for count in workers:
        yield Case(how=FOLDER, workers=count)
        for delay in delays:
            yield Case(how=AHEAD, workers=count, delay=delay)
            yield Case(how=IN_TURN, workers=count, delay=delay)


def render(session: Session) -> str:
    """Return the report."""
    parts = (
        "# Crops from an object store",
        f"Measured on {describe_machine()}: `make bench-remote`, README.md says how.",
        ", ".join(f"{name} {version(name)}" for name in SHOWN) + ".",
        describe_load(session.load, session.steal),
        f"{session.images:,} of {session.corpus}; rounds: {len(session.rounds)}.",
        _ABOUT.format(session.answer * 1000),
        "## Images a second",
        table(_RATE_HEAD, _list_rates(session)),
        "## What it took",
        table(_COST_HEAD, (_tell_cost(session, case) for case in session.cases)),
        "## Every run",
        table(_RUN_HEAD, (_tell(case, run) for group in session.rounds for case, run in group.items())),
    )
    return "\n\n".join(parts) + "\n"


_ABOUT = """\
Medians, with the least and the most in brackets; ratios are taken within a round.

The store runs on the same cores, in two processes of its own, both Python: what they take is not counted as ours, but
is not there for us either. The last column of the second table says how much it is. By itself, without a delay, an
image takes {:.1f} ms to come. The start of the workers is in all times.

"One after the other": the same stage with a source that says that nothing is waited for (`in_turn.py`)."""
_RATE_HEAD = ("workers", "delay, ms", "read ahead", "one after the other", "ahead : after the other", "ahead : folder")
_COST_HEAD = (
    "images from", "workers", "delay, ms", "s", "CPU s", "CPU ms an image", "memory MB", "requests at a time",
    "the store's CPU s",
)  # fmt: skip
_RUN_HEAD = ("run", "s", "images/s", "CPU s", "memory MB", "requests at a time", "the store's CPU s", "load before")


def _list_rates(session: Session) -> Iterator[tuple[str, ...]]:
    for case in session.cases:
        if case.how == FOLDER:
            yield str(case.workers), "folder", spread(session.find(case, lambda run: run.rate), ".1f"), "", "", "1"
        elif case.how == AHEAD:
            other = Case(how=IN_TURN, workers=case.workers, delay=case.delay)
            yield (
                str(case.workers),
                f"{case.delay * 1000:.0f}",
                *(spread(session.find(one, lambda run: run.rate), ".1f") for one in (case, other)),
                spread(session.divide(case, other), ".2f"),
                spread(session.divide(case, Case(how=FOLDER, workers=case.workers)), ".2f"),
            )


def _tell_cost(session: Session, case: Case) -> tuple[str, ...]:
    return (
        case.how,
        str(case.workers),
        "" if case.how == FOLDER else f"{case.delay * 1000:.0f}",
        spread(session.find(case, lambda run: run.seconds), ".1f"),
        spread(session.find(case, lambda run: run.cpu), ".1f"),
        spread(session.find(case, lambda run: run.each), ".1f"),
        spread(session.find(case, lambda run: run.peak / 1e6), ".0f"),
        spread(session.find(case, lambda run: run.most), ".0f"),
        spread(session.find(case, lambda run: run.store), ".1f"),
    )


def _tell(case: Case, run: Run) -> tuple[str, ...]:
    return (
        str(case),
        f"{run.seconds:.2f}",
        f"{run.rate:.1f}",
        f"{run.cpu:.1f}",
        f"{run.peak / 1e6:.0f}",
        str(run.most),
        f"{run.store:.1f}",
        f"{run.load:.1f}",
    )


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, required=True, help="where images and datasets are made; images are kept"
    )
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delays", type=float, nargs="+", default=[0, 20, 50, 100], help="milliseconds")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--report", type=Path, help="the Markdown file to write, after every round")
    given = parser.parse_args()
    speed = given.folder.absolute() / "speed"
    corpus = speed / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    make_corpus(corpus)
    source = link_set(corpus, speed / "sets", given.images)
    cases = list(list_cases(given.workers, [delay / 1000 for delay in given.delays]))
    context = multiprocessing.get_context("spawn")
    with Store(source) as store, ProcessPoolExecutor(1, mp_context=context) as meter:
        session = Session(corpus=describe_corpus(corpus), images=given.images, answer=store.time_answer())
        bench = Bench(given.folder.absolute() / "remote", source, store, meter)
        for number in range(given.rounds):
            start = number * len(cases) // given.rounds  # every round begins with another one
            session.rounds.append({})
            for case in (*cases[start:], *cases[:start]):
                run = session.rounds[-1][case] = bench.run(case)
                said = f"{run.seconds:7.2f} s {run.rate:7.1f} images/s {run.each:6.1f} ms CPU {run.most:3d} at a time"
                print(f"{time.strftime('%H:%M:%S')}  {case!s:<60} {said}", flush=True)
            if given.report:
                given.report.write_text(render(session), encoding="utf-8")
        print(render(session))


if __name__ == "__main__":
    main()
