from itertools import count

import pytest

from dataset_assets import progress
from dataset_assets.progress import Lines


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let four seconds pass between any two looks at the clock."""
    seconds = count(step=4)
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))


def test_a_short_stage_says_nothing() -> None:
    said: list[str] = []
    lines = Lines(said.append)

    lines.start("crops", 3, "images")
    lines.advance(3)
    lines.finish()

    assert said == []


@pytest.mark.usefixtures("clock")
def test_a_long_stage_says_now_and_then_where_it_is_and_at_last_where_it_ended() -> None:
    said: list[str] = []
    lines = Lines(said.append)

    lines.start("crops", 12_000, "images")
    for _ in range(4):
        lines.advance(3_000)
    lines.finish()

    assert [line.partition(" images")[0] for line in said] == ["crops: 9,000 of 12,000", "crops: 12,000 of 12,000"]
    assert all(line.endswith(" a second") for line in said)


@pytest.mark.usefixtures("clock")
def test_what_comes_later_is_said() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    lines.expect("crops", 50_000)

    lines.start("listing", None, "files")
    for _ in range(3):
        lines.advance(1)
    lines.start("crops", 3, "images")
    for _ in range(3):
        lines.advance(1)

    assert said[0].startswith("listing: 3 files, ")
    assert said[0].endswith("a second")
    assert said[1].startswith("crops: 3 of 3 images, ")
    assert said[1].endswith("a second, 50,000 more later")


@pytest.mark.usefixtures("clock")
def test_a_rate_counts_from_the_stages_start() -> None:
    said: list[str] = []
    lines = Lines(said.append)

    lines.start("crops", 100, "images")  # at 0 s
    lines.advance(10)  # looked at 4 s
    lines.advance(10)  # at 8 s
    lines.advance(10)  # at 12 s: due, remembered at 16 s, the rate is of 20 s

    assert said == ["crops: 30 of 100 images, 1.5 a second"]
