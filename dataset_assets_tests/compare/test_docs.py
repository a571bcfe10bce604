"""docs/compare.md: its example is built and compared, and its tables have every field there is."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from rich.console import Console

from dataset_assets.compare import records
from dataset_assets.compare.compare import EXAMPLE_KINDS, compare_exports
from dataset_assets.compare.terminal import print_comparison
from dataset_assets.dataset import open_dataset
from dataset_assets.progress import Silence
from dataset_assets_tests.commands import run
from dataset_assets_tests.datasets import add_photo, build_library, settings_in

PAGE = (Path(__file__).parents[2] / "docs/compare.md").read_text()

_DIGITS = re.compile(r"\b([0-9a-f]{16}|[0-9a-f]{64})\b|[\d,]+(?= bytes)")


def blocks(language: str) -> list[str]:
    """Return the page's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page's two exports: what it says was done between them."""
    folder = tmp_path_factory.mktemp("compare")
    for name, quality in (("before", 95), ("after", 90)):
        for seed, letter in enumerate("abcdef"):
            if (name, letter) != ("after", "b"):
                words = "a photo, seen again" if (name, letter) == ("after", "c") else f"a photo called {letter}"
                add_photo(folder / name, f"{letter}.jpg", seed=seed, caption=words)
        if name == "after":
            add_photo(folder / name, "new.jpg", seed=9, caption="a new photo")
        with open_dataset(settings_in(folder / name, images={"quality": quality})) as dataset:
            build_library(dataset)
        (folder / name / "out/export").rename(folder / name / "export")
    return folder


def normalize(text: str) -> list[str]:
    """Return the lines of an output without what depends on the encoder."""
    return [_DIGITS.sub("…", line).rstrip() for line in text.strip().splitlines()]


def test_the_example_prints_what_the_page_shows(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exports)
    compared = compare_exports(Path("before/export"), Path("after/export"), progress=Silence())
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_comparison(console, compared.comparison)
    assert isinstance(console.file, io.StringIO)
    (shown,) = blocks("text")

    lines = normalize(console.file.getvalue())

    beginning, _, end = shown.partition("[…]\n")
    first, last = normalize(beginning), normalize(end)
    assert lines[: len(first)] == first
    assert lines[-len(last) :] == last


def test_the_snippet_reads_the_json_of_the_command(exports: Path) -> None:
    (code,) = blocks("python")
    said = run(exports, "compare", "before/export", "after/export", "--json")
    assert said.returncode == 0, said.stderr
    (exports / "comparison.json").write_text(said.stdout)

    done = subprocess.run([sys.executable, "-c", code], cwd=exports, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["6 samples, then 6", "image 5", "caption 1", "variant 0", "record 0"]


def tables() -> Iterator[tuple[str, list[str]]]:
    """Yield the names in the first columns of the page's tables, by the heading above."""
    for part in re.split(r"^#+ ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        rows = [line.strip("|").split("|")[0] for line in text.splitlines() if line.startswith("|")]
        yield heading.replace("`", ""), [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_tables_have_every_field_and_no_other() -> None:
    found = dict(tables())

    for heading, record in {
        "The whole": records.Comparison,
        "a, b": records.Summary,
        "counts": records.Counts,
        "kinds": records.Kinds,
        "images": records.Images,
        "buckets": records.BucketCounts,
        "examples": records.Example,
        "A side of an example": records.Side,
    }.items():
        assert found[heading] == [field.name for field in fields(record)], heading


def test_every_kind_of_example_is_named(exports: Path) -> None:
    said = run(exports, "compare", "before/export", "after/export", "--json").stdout

    assert tuple(json.loads(said)["examples"]) == EXAMPLE_KINDS
    assert all(f"`{kind}`" in PAGE for kind in EXAMPLE_KINDS)
