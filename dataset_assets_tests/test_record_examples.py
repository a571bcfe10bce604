"""docs/records.md: each example is built from the files that the page shows, and gives the files and lines it shows."""

import json
import re
from pathlib import Path

import pytest

from dataset_assets_tests.commands import run

PAGE = Path(__file__).parents[1] / "docs/records.md"
MADE = "data/"

_FILE = re.compile(r"`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTED = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADINGS = ("From JSON lines to a trainer", "Other record sets")


def section(heading: str) -> str:
    """Return what the page says under a heading."""
    return PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def read(name: str, text: str) -> object:
    """Return what a file of JSON says, whatever its spaces."""
    return [json.loads(line) for line in text.splitlines()] if name.endswith(".jsonl") else json.loads(text)


@pytest.mark.parametrize("heading", _HEADINGS)
def test_an_example_gives_what_the_page_says(heading: str, tmp_path: Path) -> None:
    text = section(heading)
    files = dict(_FILE.findall(text))
    for name, content in files.items():
        if not name.startswith(MADE):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content.removesuffix("\n"))

    done = run(tmp_path, "build")

    assert done.returncode == 0, done.stderr
    made = {name: content for name, content in files.items() if name.startswith(MADE)}
    assert len(made) >= 2
    for name, content in made.items():
        assert read(name, (tmp_path / name).read_text()) == read(name, content)
    printed = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for block in _PRINTED.findall(text):
        assert [line for line in block.splitlines() if " ".join(line.split()) not in printed] == []


def test_both_examples_are_there() -> None:
    counts = [sum(not name.startswith(MADE) for name, _ in _FILE.findall(section(heading))) for heading in _HEADINGS]

    assert counts == [4, 2]
    assert len(_PRINTED.findall(section(_HEADINGS[0]))) == 1
