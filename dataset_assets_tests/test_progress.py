import re

import pytest

from dataset_assets import progress
from dataset_assets.progress import Lines


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a `Lines` says that does not wait; the rates, which are never the same, as N."""
    monkeypatch.setattr(progress, "_SAY_SECONDS", 0)
    return []


def lines_to(said: list[str]) -> Lines:
    return Lines(lambda line: said.append(re.sub(r"[\d,]+\.\d a second", "N a second", line)))


def test_a_short_stage_says_nothing() -> None:
    said: list[str] = []
    lines = lines_to(said)

    lines.start("crops", 3, "images")
    lines.advance(3)
    lines.finish()

    assert said == []


def test_a_long_stage_says_where_it_is_and_at_last_where_it_ended(said: list[str]) -> None:
    lines = lines_to(said)

    lines.start("crops", 12_000, "images")
    lines.advance(9_000)
    lines.advance(3_000)
    lines.finish()

    assert said == [
        "crops: 9,000 of 12,000 images, N a second",
        "crops: 12,000 of 12,000 images, N a second",
        "crops: 12,000 of 12,000 images, N a second",
    ]


def test_a_stage_begins_at_nothing_again(said: list[str]) -> None:
    lines = lines_to(said)

    for total in (5, 7):
        lines.start("crops", total, "images")
        lines.advance(2)

    assert said == ["crops: 2 of 5 images, N a second", "crops: 2 of 7 images, N a second"]


def test_what_comes_later_is_said_of_its_stage(said: list[str]) -> None:
    lines = lines_to(said)
    lines.expect("crops", 50_000)

    lines.start("listing", None, "files")
    lines.advance(1)
    lines.start("crops", 3, "images")
    lines.advance(3)

    assert said == ["listing: 1 files, N a second", "crops: 3 of 3 images, N a second, 50,000 more later"]
