from collections import Counter

from dataset_assets.charts.again import draw_once
from dataset_assets.overview.histogram import Histogram

drawn: list[object] = []


def draw_some(numbers: object) -> bytes:
    drawn.append(numbers)
    return f"{len(drawn)} {numbers}".encode()


def draw_others(numbers: object) -> bytes:
    return b"others " + draw_some(numbers)


def test_the_same_numbers_are_drawn_once() -> None:
    drawn.clear()

    assert draw_once(draw_some, {"a": 1, "b": 2}) == b"1 {'a': 1, 'b': 2}"
    assert draw_once(draw_some, Counter({"b": 2, "a": 1})) == b"1 {'a': 1, 'b': 2}"
    assert len(drawn) == 1


def test_other_numbers_are_drawn_and_so_is_another_chart_of_the_same() -> None:
    drawn.clear()

    assert draw_once(draw_some, {"a": 3}) == b"1 {'a': 3}"
    assert draw_once(draw_some, {"a": 4}) == b"2 {'a': 4}"
    assert draw_once(draw_others, {"a": 3}) == b"others 3 {'a': 3}"
    assert draw_once(draw_some, {"a": 3}) == b"1 {'a': 3}"


def test_dataclasses_hold_numbers_too() -> None:
    drawn.clear()

    draw_once(draw_some, Histogram(edges=(0, 1, 2), counts=(1, 2)))
    draw_once(draw_some, Histogram(edges=[0, 1, 2], counts=[1, 2]))
    assert len(drawn) == 1

    draw_once(draw_some, Histogram(edges=(0, 1, 2), counts=(2, 1)))
    assert len(drawn) == 2


def test_only_those_that_were_asked_for_last_are_kept() -> None:
    drawn.clear()
    for number in (10, 11, 12, 13, 14, 15, 10, 16):
        draw_once(draw_some, number)
    assert drawn == [10, 11, 12, 13, 14, 15, 16]

    draw_once(draw_some, 10)
    assert drawn[7:] == []

    draw_once(draw_some, 11)
    assert drawn[7:] == [11]
