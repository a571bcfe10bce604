from pathlib import Path

import pytest

from dataset_assets.posts import gather
from dataset_assets.posts.gather import ParsedFile, cut_blocks


def file_of(*groups: tuple[int, int, int]) -> ParsedFile:
    return ParsedFile(number=1, name="a.jsonl", path=Path("a.parquet"), groups=groups)


def cut(tars: range, *groups: tuple[int, int, int], modulus: int = 1000) -> list[tuple[int, int]]:
    return [(part.start, part.stop) for part in cut_blocks([file_of(*groups)], tars, modulus)]


@pytest.fixture(autouse=True)
def block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "_BLOCK", 100)


def test_little_is_read_together() -> None:
    assert cut(range(100, 200), (0, 999, 1000)) == [(100, 200)]
    assert cut(range(1000)) == [(0, 1000)]


def test_much_is_read_in_parts_of_whole_cells() -> None:
    assert cut(range(100, 200), (0, 999, 4_000)) == [(100, 120), (120, 140), (140, 160), (160, 180), (180, 200)]
    assert cut(range(100, 200), (100, 109, 90), (110, 119, 90), (190, 199, 5)) == [(100, 110), (110, 200)]


def test_a_cell_is_not_cut_however_large_it_is() -> None:
    assert cut(range(100, 130), (100, 109, 9_000), (110, 119, 9_000)) == [(100, 110), (110, 130)]


def test_a_range_may_begin_and_end_within_cells() -> None:
    assert cut(range(105, 125), (100, 129, 300)) == [(105, 110), (110, 120), (120, 125)]


@pytest.mark.parametrize("modulus", [1, 7, 99, 100, 101, 1000, 4096, 10_000])
def test_parts_follow_each_other_and_none_is_empty(modulus: int) -> None:
    parts = cut(range(modulus), (0, modulus - 1, 5_000), modulus=modulus)

    assert [start for start, _ in parts] == [0, *(stop for _, stop in parts[:-1])]
    assert parts[-1][1] == modulus
    assert all(start < stop for start, stop in parts)
