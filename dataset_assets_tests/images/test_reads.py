from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Barrier, current_thread, main_thread

import pytest

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images import reads as module
from dataset_assets.images.reads import Reads, count_reads


@dataclass
class Store:
    """A source that notes what was asked for; an image is as many bytes as its version says."""

    at_once: int = 4
    asked: list[str] = field(default_factory=list)
    ahead: int = 0  # images that were read in another thread
    meeting: Barrier | None = None

    def is_quick(self, version: str) -> bool:
        return version != "packed"

    def read(self, uri: str, version: str) -> bytes:
        self.asked.append(uri)
        self.ahead += current_thread() is not main_thread()
        if self.meeting:
            self.meeting.wait(60)
        if version == "gone":
            raise SampleError(DropReason.UNREADABLE, f"{uri} is gone")
        return uri.encode() * int(version) if version.isdecimal() else uri.encode()


def begin_all(store: Store, versions: list[str]) -> list[Callable[[], bytes]]:
    reads = Reads({"store": store})
    return [reads.begin("store", f"{number}", version) for number, version in enumerate(versions)]


def test_reads_are_under_way_together_and_taken_in_any_order() -> None:
    store = Store(meeting=Barrier(4))

    takes = begin_all(store, ["1"] * 4)

    assert [take() for take in reversed(takes)] == [b"3", b"2", b"1", b"0"]


def test_an_error_is_raised_where_the_image_is_taken() -> None:
    first, second, third = begin_all(Store(), ["1", "gone", "1"])

    assert first() == b"0"
    with pytest.raises(SampleError, match="1 is gone"):
        second()
    assert third() == b"2"


@pytest.mark.parametrize(("at_once", "version"), [(1, "1"), (4, "packed")])
def test_what_is_not_waited_for_or_takes_a_decoder_is_read_when_it_is_taken(at_once: int, version: str) -> None:
    store = Store(at_once=at_once)

    takes = begin_all(store, [version] * 3)

    assert store.asked == []
    assert [takes[1](), takes[0]()] == [b"1", b"0"]
    assert store.asked == ["1", "0"]


def test_as_many_are_read_ahead_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROOM", 300)
    monkeypatch.setattr(module, "_LARGE", 150)
    reads = Reads({"store": Store(at_once=8)})
    ahead = []

    for size in (100, 100, 280, 280, 400, 400, 10, 10, 10, 10, 10):
        takes = [reads.begin("store", "x", str(size)) for _ in range(4)]
        ahead.append(reads._under_way)
        assert {len(take()) for take in takes} == {size}

    assert ahead == [2, 3, 3, 1, 1, 0, 0, 1, 1, 2, 4]
    assert reads._under_way == 0


def test_what_waits_for_room_is_read_ahead_once_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROOM", 300)
    monkeypatch.setattr(module, "_LARGE", 150)
    store = Store(at_once=8)
    reads = Reads({"store": store})

    takes = [reads.begin("store", "x", "100") for _ in range(6)]

    assert {len(take()) for take in takes} == {100}
    assert store.ahead == 6


def test_an_image_that_was_lost_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROOM", module._LARGE)  # for one at a time
    store = Store()
    reads = Reads({"store": store})

    for _ in range(3):
        with pytest.raises(SampleError):
            reads.begin("store", "x", "gone")()

    assert store.ahead == 3


def test_as_many_at_a_time_as_the_source_that_is_waited_for_longest() -> None:
    assert count_reads({}) == 1
    assert count_reads({"one": Store(at_once=1), "two": Store(at_once=8)}) == 8
