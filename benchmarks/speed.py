"""How fast datasets are made, against what the codecs allow and what others do. README.md here says more.

python benchmarks/speed.py --folder FOLDER [--images 2000 8000 20000] [--rounds 3 2 2] [--report benchmarks/RESULTS.md]

A part alone, in a minute: --images 200 --rounds 1 --only floor crops
"""

import argparse
import os
import time
from pathlib import Path

from corpus import describe_corpus, link_set, make_corpus
from meter import read_steal
from report import Session, render
from runners import RUNNERS, Bench, Run, find_peers

LARGE = ("floor", "crops", "build", "img2dataset")  # what is measured over more than the first size
ALWAYS = (*LARGE, "img2dataset-ratio", "webdataset")
SMALL = ("scan", "verify", "hash")  # measured once, over the largest size
SMALL_ROUNDS = 3
PEERS = {"img2dataset", "img2dataset-ratio", "webdataset"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where images and results are made; images are kept")
    parser.add_argument("--images", type=int, nargs="+", default=[2_000, 8_000, 20_000], help="in growing order")
    parser.add_argument("--rounds", type=int, nargs="+", default=[3, 2, 2], help="of each size; the last for the rest")
    parser.add_argument("--only", nargs="+", choices=list(RUNNERS), default=list(RUNNERS), metavar="RUNNER")
    parser.add_argument("--report", type=Path, help="the Markdown file to write, after every round")
    options = parser.parse_args()
    os.environ.pop("DAGSTER_HOME", None)
    folder = options.folder.absolute() / "speed"
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    make_corpus(corpus)
    if not PEERS.isdisjoint(options.only):
        find_peers(folder)
    benches = [Bench(folder, link_set(corpus, folder / "sets", images), images) for images in options.images]
    session = Session(corpus=describe_corpus(corpus), steal=read_steal())
    if "floor" in options.only:
        session.compared = benches[0].check_floor()
    rounds = [*options.rounds, *[options.rounds[-1]] * len(benches)]
    for bench, count in zip(benches, rounds, strict=False):
        names = [name for name in (ALWAYS if bench is benches[0] else LARGE) if name in options.only]
        _take_turns(bench, names, count, session, options.report)
    if not {"verify", "hash"}.isdisjoint(options.only) and not benches[-1].export.exists():
        raise SystemExit(f"verify and hash need a build of {benches[-1].images:,} images in the same folder")
    _take_turns(benches[-1], [name for name in SMALL if name in options.only], SMALL_ROUNDS, session, options.report)
    print(render(session))


def _take_turns(bench: Bench, names: list[str], rounds: int, session: Session, report: Path | None) -> None:
    """Run these runners, in each round from another one on."""
    for number in range(rounds):
        start = number % max(1, len(names))
        session.rounds.append([])
        for name in (*names[start:], *names[:start]):
            run = bench.run(name)
            session.add(bench.images, run)
            print(f"{bench.images:>7,}  {_tell(run)}", flush=True)
        if report:
            report.write_text(render(session), encoding="utf-8")


def _tell(run: Run) -> str:
    each = f"{run.rate:9,.1f} images/s {run.each:7.2f} ms CPU" if run.images else ""
    return f"{time.strftime('%H:%M:%S')}  {run.runner:<18} {run.seconds:7.2f} s  {run.peak / 1e6:5.0f} MB  {each}"


if __name__ == "__main__":
    main()
