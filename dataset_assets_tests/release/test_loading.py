"""The card's last section: it shows what the export has, and runs as it is printed. test_card.py has the rest."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.release.card import CaptionUsage, render_card
from dataset_assets.release.loading import render_loading
from dataset_assets.release.manifest import load_manifest
from dataset_assets.settings import DatasetSettings
from dataset_assets_tests.exports import make_draft

TABLE = {"path": "samples.parquet", "bytes": 1, "sha256": "0" * 64}
INDEX = {"path": "buckets/p1216x832/shard-000000.json", "bytes": 1, "sha256": "0" * 64}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    make_draft().write(tmp_path, tables=True)
    return tmp_path


def card_of(manifest: dict[str, Any]) -> str:
    return render_card(manifest, CaptionUsage(planned={}, available={}), DatasetSettings())


def snippets(section: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def test_some_samples_are_read_by_offset_as_printed(export: Path) -> None:
    *_, code = snippets(render_loading(load_manifest(export / "manifest.json")))

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=export,
        env=os.environ | {"PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "p1024x1024 (64, 64) \n"
        "p1024x1024 (64, 64) a square, α\n"
        "p1024x1024 (64, 64) two\nlines\n"
    )  # fmt: skip


def test_without_the_table_nothing_is_said_of_it(export: Path) -> None:
    manifest = dict(load_manifest(export / "manifest.json"))
    for listed in ([INDEX], []):
        manifest["files"] = listed
        card = card_of(manifest)
        assert "samples.parquet" not in card
        assert len(snippets(card)) == 2
        assert ("webshart" in card) == bool(listed)
        assert "- `buckets/<bucket_id>/shard-*.tar`\n" in card


def test_the_format_section_names_the_tables_that_are_there(export: Path) -> None:
    card = card_of(load_manifest(export / "manifest.json"))

    section = card.split("\n## Format\n\n")[1].split("\n## ")[0]
    assert re.findall(r"^- `([^`]+)`(?::|$)", section.split("The repository holds:")[1], re.MULTILINE)[:4] == [
        "manifest.json",
        "buckets/<bucket_id>/shard-*.tar",
        "samples.parquet",
        "buckets/<bucket_id>/shard-*.json",
    ]
    anchor = re.search(r"\[Below\]\(#([\w-]+)\)", section)
    headings = re.findall(r"^### (.+)$", card, re.MULTILINE)
    assert anchor
    assert anchor[1] in [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_of_nothing_no_bucket_is_shown(export: Path) -> None:
    manifest = load_manifest(export / "manifest.json")

    assert len(snippets(render_loading({**manifest, "buckets": {}, "files": [TABLE]}))) == 2
