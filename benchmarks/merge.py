"""Merging trainer metadata: ours beside a loop over whole dictionaries, from objects, lines and tables, and its growth.

    python benchmarks/merge.py --folder BENCH --report FILE [--ids 444166] [--growth 500000 4441660] [--rounds 2]

Every measurement is a process of its own, with all that it starts. README.md says what is measured.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from meter import Usage, measure, read_steal

IDS = 444_166
GROWTH = (500_000, 1_000_000, 4_441_660, 5_000_000)
ENDINGS = {"objects": "json", "lines": "jsonl", "tables": "parquet"}
FRAGMENTS = 4_000
WITHOUT = 178_162 / 4_441_660  # share of ids without a caption, as the published card has them
COPIED = 0.2  # share of captions that are really tags
SIZES = ((1024, 1024), (832, 1216), (1216, 832), (896, 1152), (1152, 896), (768, 1344), (1344, 768))
BATCH = 20_000
WORKERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    what: str
    ids: int
    usage: Usage


def make_inputs(folder: Path, ids: int, kind: str) -> Path:
    """Return a folder with tags, captions and latents of so many ids; nothing is done where they are there."""
    place = folder / f"merge-{ids}"
    place.mkdir(parents=True, exist_ok=True)
    paths = {name: place / f"{name}.{ENDINGS[kind]}" for name in ("tags", "captions", "latents")}
    done = place / f"{kind}.written"
    if done.exists():
        return place
    if kind == "tables":
        write_tables(paths, ids)
    else:
        write_texts(paths, ids, as_object=kind == "objects")
    done.touch()
    return place


def make_rows(ids: int) -> Iterator[list[tuple[int, str, str | None, tuple[int, int]]]]:
    """Yield batches of id, tags, caption and size; the same number of ids is the same rows."""
    dice = random.Random(7)
    letters = "eeeeetttaaooiinnsshhrrddlucmfwygpbvk"
    words = ["".join(dice.choices(letters, k=dice.randint(2, 10))) for _ in range(5_000)]
    tags = [", ".join(dice.choices(words, k=dice.randint(10, 45))) for _ in range(FRAGMENTS)]
    odd = ['says "hello"', "it’s", "in a café —", "{wild|card}", "first line\nsecond", "back\\slash"]
    sentences = []
    for _ in range(FRAGMENTS):
        said = dice.choices(words, k=dice.randint(30, 110))
        if dice.random() < 0.1:
            said.insert(len(said) // 2, dice.choice(odd))
        sentences.append(" ".join(said).capitalize() + ".")
    number, batch = 0, []
    for _ in range(ids):
        number += 1 + int(dice.random() * 2)
        tagged = f"{dice.choice(tags)}, {dice.choice(tags)}"
        chance = dice.random()
        caption = f"{dice.choice(sentences)} {dice.choice(sentences)}"
        if chance < WITHOUT:
            caption = ""
        elif chance < WITHOUT + COPIED:
            caption = tagged.replace(", ", " ")
        batch.append((number, tagged, caption or None, dice.choice(SIZES)))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def write_texts(paths: dict[str, Path], ids: int, *, as_object: bool) -> None:
    """Write three whole JSON objects as json.dump does, or the same as lines."""
    files = {name: path.open("w") for name, path in paths.items()}
    first = dict.fromkeys(paths, True)

    def add(name: str, number: int, entry: str) -> None:
        if as_object:
            files[name].write(f'{"{" if first[name] else ", "}"{number}": {{{entry}}}')
        else:
            files[name].write(f'{{"id": {number}, {entry}}}\n')
        first[name] = False

    for batch in make_rows(ids):
        for number, tags, caption, (width, height) in batch:
            add("tags", number, f'"tags": {json.dumps(tags)}')
            if caption is not None:
                add("captions", number, f'"caption": {json.dumps(caption)}')
            add("latents", number, f'"train_resolution": [{width}, {height}]')
    for file in files.values():
        file.write("}" if as_object else "")
        file.close()


def write_tables(paths: dict[str, Path], ids: int) -> None:
    """Write the same as Parquet."""
    writers: dict[str, Any] = {}
    for batch in make_rows(ids):
        tables = {
            "tags": pa.table({"id": [row[0] for row in batch], "tags": [row[1] for row in batch]}),
            "captions": pa.table(
                {"id": [row[0] for row in batch if row[2]], "caption": [row[2] for row in batch if row[2]]}
            ),
            "latents": pa.table({"id": [row[0] for row in batch], "train_resolution": [list(row[3]) for row in batch]}),
        }
        for name, table in tables.items():
            if name not in writers:
                writers[name] = pq.ParquetWriter(paths[name], table.schema, compression="zstd", use_dictionary=False)
            writers[name].write_table(table)
    for writer in writers.values():
        writer.close()


def merge_whole(place: Path, indent: int | None) -> None:
    """Merge with whole dictionaries, as people do."""
    tags, captions, latents = (json.loads((place / f"{n}.json").read_bytes()) for n in ("tags", "captions", "latents"))
    merged: dict[str, Any] = {}
    missing: dict[str, list[str]] = {"tags": [], "caption": [], "latent": []}
    for key in latents:
        entry = merged[key] = {}
        if tags.get(key):
            entry["tags"] = tags[key]["tags"]
        else:
            missing["tags"].append(key)
        if captions.get(key):
            entry["caption"] = captions[key]["caption"]
        else:
            entry["caption"] = entry["tags"]
            missing["caption"].append(key)
        if key in latents:
            entry["train_resolution"] = entry["image_size"] = latents[key]["train_resolution"]
        else:
            missing["latent"].append(key)
    (place / "whole.json").write_text(json.dumps(merged, indent=indent))
    (place / "whole_missing.json").write_text(json.dumps(missing, indent=indent))
    print(
        json.dumps({"log": f"ids: {len(merged)}, " + ", ".join(f"missing {n}: {len(k)}" for n, k in missing.items())})
    )


def merge_ours(place: Path, kind: str, *, archive: bool) -> None:
    """Merge as the stage does, without its report."""
    from dataset_assets.progress import Silence
    from dataset_assets.trainer.inputs.rows import Input
    from dataset_assets.trainer.merge.merge import merging
    from dataset_assets.trainer.output.merged import Form
    from dataset_assets.trainer.output.outputs import settle
    from dataset_assets.trainer.output.report import write_log

    roles = {"tags": ("tags",), "captions": ("captions",), "latents": ("ids", "latents")}
    inputs = [Input(path=place / f"{n}.{ENDINGS[kind]}", roles=frozenset(some)) for n, some in roles.items()]
    with merging(inputs, place, Form(captions=archive, archive=archive), workers=WORKERS, progress=Silence()) as merged:
        for name, path in merged.files.items():
            settle(path, place / name)
    print(json.dumps({"log": write_log(merged.tally)}))


def run(what: str, place: Path, ids: int) -> Run:
    """Measure one merge, and stop where its log line is not what was made."""
    command = [sys.executable, str(Path(__file__).resolve()), "one", what, str(place)]
    usage = measure(command, place / "log.txt")
    if not usage.said["log"].startswith(f"ids: {ids}, missing tags: 0, missing caption: "):
        raise SystemExit(f"{what} merged something else: {usage.said['log']}")
    print(f"{what}, {ids:,} ids: {usage.wall:.1f} s, {usage.cpu:.1f} s of CPU, {usage.peak / 1e6:,.0f} MB", flush=True)
    return Run(what=what, ids=ids, usage=usage)


def merge_one(what: str, place: Path) -> None:
    """Do one merge in this process."""
    match what.split():
        case ["loop"]:
            merge_whole(place, None)
        case ["loop,", "indented"]:
            merge_whole(place, 2)
        case [kind, *more]:
            merge_ours(place, kind.strip(","), archive=bool(more))


def compare(place: Path, ids: int, rounds: int) -> list[Run]:
    """Measure the loops and ours in turn; ends the program where ours does not give the loop's bytes."""
    runs = []
    for _ in range(rounds):
        runs.append(run("loop, indented", place, ids))
        runs.append(run("loop", place, ids))
        whole, missing = ((place / name).read_bytes() for name in ("whole.json", "whole_missing.json"))
        for kind in (*ENDINGS, "objects, with meta_cap and its archive"):
            runs.append(run(kind, place, ids))
            same = ((place / "meta_merged.json").read_bytes(), (place / "missing.json").read_bytes()) == (
                whole,
                missing,
            )
            if not same:
                raise SystemExit(f"{kind}: not the bytes of the loop")
    return runs


def grow(folder: Path, sizes: Sequence[int], kinds: Sequence[str]) -> list[Run]:
    """Measure ours over more and more ids; the inputs are removed again."""
    runs = []
    for ids in sizes:
        for kind in kinds:
            place = make_inputs(folder, ids, kind)
            runs.append(run(kind, place, ids))
            for path in place.iterdir():
                path.unlink()
    return runs


def write_report(compared: list[Run], grown: list[Run], load: str) -> str:
    best: dict[str, Run] = {}
    for one in compared:
        if one.what not in best or one.usage.wall < best[one.what].usage.wall:
            best[one.what] = one
    lines = [
        "# Merging trainer metadata",
        "",
        "By `make bench-merge`; [README.md](README.md) says what is measured.",
        "",
    ]
    lines += [f"{os.cpu_count()} cores, {WORKERS} processes. {load}", ""]
    if compared:
        loop, indented = (best[name].usage for name in ("loop", "loop, indented"))
        lines += [f"## {compared[0].ids:,} ids, the better of {len(compared) // len(best)} rounds in turn", ""]
        lines += [
            "| merge | wall | CPU | peak PSS | × loop | × loop, indented | by CPU | by CPU, indented |",
            "|---|" + 7 * "--:|",
        ]
        for what, one in best.items():
            usage = one.usage
            by_cpu = (WORKERS * other.cpu / usage.cpu for other in (loop, indented))
            ratios = (loop.wall / usage.wall, indented.wall / usage.wall, *by_cpu)
            shown = " | ".join(f"{ratio:.1f}" for ratio in ratios) if "loop" not in what else " | | | "
            lines.append(f"| {what} | {usage.wall:.1f} s | {usage.cpu:.1f} s | {usage.peak / 1e6:,.0f} MB | {shown} |")
        lines += ["", "Every merge gave the bytes of the loop. By CPU is what two free cores would give.", ""]
    if grown:
        lines += ["## Growth", "", "| merge | ids | wall | CPU | CPU an id | peak PSS |", "|---|--:|--:|--:|--:|--:|"]
        for one in grown:
            usage, each = one.usage, one.usage.cpu / one.ids * 1e6
            lines.append(
                f"| {one.what} | {one.ids:,} | {usage.wall:.1f} s | {usage.cpu:.1f} s | {each:.1f} µs | "
                f"{usage.peak / 1e6:,.0f} MB |"
            )
        lines += ["", f"`{grown[-1].usage.said['log']}`", ""]
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["one"]:
        merge_one(sys.argv[2], Path(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--ids", type=int, default=IDS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--growth", type=int, nargs="*", default=GROWTH)
    parser.add_argument("--kinds", nargs="*", default=list(ENDINGS))
    said = parser.parse_args()
    started, steal = time.strftime("%Y-%m-%d %H:%M", time.gmtime()), read_steal()
    load = f"Load {os.getloadavg()[1]:.1f} when it began"
    compared = []
    if said.rounds:
        for kind in ENDINGS:
            place = make_inputs(said.folder, said.ids, kind)
        compared = compare(place, said.ids, said.rounds)
    grown = grow(said.folder, said.growth, said.kinds)
    taken, seconds = (after - before for after, before in zip(read_steal(), steal, strict=True))
    load = f"{started} UTC. {load}, {os.getloadavg()[1]:.1f} when it ended; {taken / seconds:.0%} was the host's."
    said.report.write_text(write_report(compared, grown, load))


if __name__ == "__main__":
    main()
