import threading
import time
from collections.abc import Generator
from itertools import count

import pytest

from dataset_assets.images.ahead import Ahead


def numbers(end: int) -> Generator[int, None, None]:
    yield from range(end)


def nothing() -> None:
    pass


def wait_until_alone() -> None:
    end = time.monotonic() + 10
    while any(thread.name == "ahead" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_everything_comes_in_its_order() -> None:
    with Ahead(numbers(1000), 4, nothing) as items:
        assert list(items) == list(range(1000))
        assert list(items) == []
    wait_until_alone()


def test_it_goes_on_by_itself_as_far_as_there_is_room() -> None:
    yielded: list[int] = []
    enough = threading.Event()

    def note() -> Generator[int, None, None]:
        for number in count():
            yielded.append(number)
            if number == 5:  # the fifth waits for room, and so do those after it
                enough.set()
            yield number

    with Ahead(note(), 5, nothing) as items:
        assert enough.wait(10)
        time.sleep(0.05)
        assert yielded == [0, 1, 2, 3, 4, 5]
        assert next(items) == 0
    wait_until_alone()


def test_what_it_raises_comes_after_what_it_yielded() -> None:
    def fail() -> Generator[int, None, None]:
        yield 1
        yield 2
        raise LookupError("the third")

    taken = []
    with Ahead(fail(), 8, nothing) as items:
        taken += [next(items), next(items)]
        with pytest.raises(LookupError, match="the third"):
            next(items)
        with pytest.raises(LookupError, match="the third"):
            next(items)
    assert taken == [1, 2]
    wait_until_alone()


def test_leaving_early_closes_what_it_runs() -> None:
    closed = threading.Event()

    def endless() -> Generator[int, None, None]:
        try:
            yield from count()
        finally:
            closed.set()

    with Ahead(endless(), 2, nothing) as items:
        assert next(items) == 0
    assert closed.wait(10)
    wait_until_alone()


def test_leaving_early_stops_what_waits() -> None:
    stopped = threading.Event()

    def patient() -> Generator[int, None, None]:
        yield 0
        assert stopped.wait(60)

    with Ahead(patient(), 2, stopped.set) as items:
        assert next(items) == 0
    wait_until_alone()


def test_room_may_be_measured() -> None:
    yielded: list[int] = []

    def large() -> Generator[int, None, None]:
        for number in count():
            yielded.append(number)
            yield number

    with Ahead(large(), 80, nothing, measure=lambda _: 40) as items:
        assert next(items) == 0
        time.sleep(0.3)
        assert len(yielded) <= 12  # eight groups, of an item each, one that waits, and one that was taken
    wait_until_alone()
