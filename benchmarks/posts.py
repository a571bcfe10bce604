"""How fast caption records become chosen captions, and in how much memory.

    python benchmarks/posts.py --folder /tmp/bench-posts --report benchmarks/POSTS.md

Records are generated with the fields of the published files: two summaries, tags, a finish reason that is STOP four
times out of five, and other fields up to the length of the line: about 1.2 KB, or about 4.5 KB of which most is
ignored. They lie in files of 62,500, ids in order, as months do. *Index* reads and parses every file (`index_records`),
*choose* makes the captions of all ten ranges of tars (`choose_captions`), both in a process of their own with two
workers. CPU is that of all processes, start and imports with it; memory is their proportional set sizes added up, twice
a second.
"""

import argparse
import json
import os
import platform
import random
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from meter import Usage, measure

FILE = 62_500  # records
LENGTHS = (1_200, 4_500)  # bytes a line, about
WORDS = 4_000  # different ones
PASSAGES = 3_000  # different texts of each kind

BUILD = """
import json, sys, time
from pathlib import Path
from dataset_assets.dataset import open_dataset
from dataset_assets.posts.choose import choose_captions
from dataset_assets.posts.index import index_records
from dataset_assets.settings import parse_settings

if __name__ == "__main__":
    settings = {"dataset": {"root": sys.argv[2]}, "records": {"paths": sys.argv[3:]}, "work": {"workers": 2}}
    with open_dataset(parse_settings(settings, folder=Path(sys.argv[1]))) as dataset:
        started = time.monotonic()
        index = index_records(dataset).report
        indexed = time.monotonic()
        reports = [choose_captions(dataset, key).report for key in dataset.settings.records.ranges]
        print(json.dumps({
            "records": sum(one["records"] for one in reports),
            "bytes": index["bytes"],
            "index": indexed - started,
            "choose": time.monotonic() - indexed,
            "tags": sum(one["by_source"].get("tags", 0) for one in reports),
        }))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One build of the captions of so many records."""

    length: int  # bytes a line, about
    usage: Usage
    parsed: int  # bytes of the files between the stages
    captions: int  # bytes


class Prose:
    """Texts of made-up words, always the same ones."""

    def __init__(self) -> None:
        self._chance = random.Random(20240101)
        letters = "eeeettaaooiinnsshhrrddlucmfwypvbgk"
        self._words = ["".join(self._chance.choices(letters, k=self._chance.randint(2, 9))) for _ in range(WORDS)]
        self._regular = [self._write(self._chance.randint(400, 900)) for _ in range(PASSAGES)]
        self._brief = [self._write(self._chance.randint(100, 250)) for _ in range(PASSAGES)]
        self._tags = [" ".join(self._chance.choices(self._words, k=50)) for _ in range(PASSAGES)]
        self._other = [self._write(3_300) for _ in range(PASSAGES)]

    def make_line(self, number: int, length: int) -> bytes:
        """Return the record of an id as a line; parts of other texts make each one's."""
        pick, cut = self._chance.choice, self._chance.randint(1, 60)
        stopped = self._chance.random() < 0.8
        record = {
            "id": number,
            "md5": f"{self._chance.getrandbits(128):032x}",
            "regular_summary": pick(self._regular)[cut:] if stopped else None,
            "brief_summary": pick(self._brief)[cut:] if stopped else "",
            "tags": pick(self._tags),
            "response_finish_reason": "STOP" if stopped else "SAFETY",
            "score": self._chance.randint(-50, 500),
            "rating": pick("sqe"),
        }
        if length > LENGTHS[0]:
            record["response"] = pick(self._other)[cut:]
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"

    def _write(self, size: int) -> str:
        """Return about so many characters of sentences; half of the texts have line breaks, some typographic marks."""
        words: list[str] = []
        while sum(map(len, words)) + len(words) < size:
            words += [*self._chance.choices(self._words, k=12), self._chance.choice(["and", "—", "the artist’s"])]
        text = " ".join(words).capitalize() + "."
        middle = len(text) // 2
        return f"{text[:middle]}.\n\n{text[middle:]}" if self._chance.random() < 0.5 else text


def make_files(folder: Path, length: int, records: int) -> list[Path]:
    """Make the files of so many records, those that are not there yet; return their paths."""
    paths = [
        folder / f"lines-{length}" / f"{first:07d}-{min(FILE, records - first)}.jsonl"
        for first in range(0, records, FILE)
    ]
    prose = Prose()
    for path in paths:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            first, count = map(int, path.stem.split("-"))
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as file:
                file.writelines(prose.make_line(number, length) for number in range(first, first + count))
            unfinished.rename(path)
    return paths


def build(folder: Path, length: int, records: int) -> Run:
    """Run both stages from nothing in a new process."""
    paths = make_files(folder, length, records)
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    command: list[str | Path] = [sys.executable, "-c", BUILD, folder, root, *paths]
    usage = measure(command, folder / f"{length}-{records}.log")
    if usage.said["records"] != records:
        raise SystemExit(f"{usage.said['records']} captions of {records} records")
    sizes = {
        name: sum(path.stat().st_size for path in (root / "records" / name).iterdir())
        for name in ("parsed", "captions")
    }
    shutil.rmtree(root)
    return Run(length=length, usage=usage, **sizes)


def render(runs: list[Run]) -> str:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the end"
    about = (__doc__ or "").rpartition("\n\n")[2]
    table = "\n".join(map(_render, runs))
    return f"""\
# Caption records

`python benchmarks/posts.py`, {datetime.now(UTC):%Y-%m-%d}, {machine}.

| records | bytes a line | index, s | choose, s | records/s | CPU, µs each | by CPU | peak memory | parsed | captions |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
{table}

{about.strip()} *By CPU* is the records/s of two cores that do nothing else.
"""


def _render(run: Run) -> str:
    said, usage = run.usage.said, run.usage
    records = said["records"]
    return (
        f"| {records:,} | {said['bytes'] / records:,.0f} | {said['index']:.1f} | {said['choose']:.1f} | "
        f"{records / (said['index'] + said['choose']):,.0f} | {usage.cpu / records * 1e6:.1f} | "
        f"{2 * records / usage.cpu:,.0f} | {usage.peak / 1e6:,.0f} MB | {run.parsed / 1e6:,.0f} MB | "
        f"{run.captions / 1e6:,.0f} MB |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the files are made, and kept")
    parser.add_argument("--records", type=int, nargs="+", default=[500_000], help="how many; 4441660 are the card's")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS), choices=LENGTHS)
    parser.add_argument("--report", type=Path, help="the Markdown file to write")
    options = parser.parse_args()
    folder = options.folder.absolute()
    runs = [build(folder, length, records) for length in options.lengths for records in options.records]
    text = render(runs)
    print(text)
    if options.report:
        options.report.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
