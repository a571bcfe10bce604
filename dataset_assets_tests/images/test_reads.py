from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Barrier, current_thread, main_thread

import pytest

from dataset_assets.errors import DropReason, SampleError
from dataset_assets.images import reads as module
from dataset_assets.images.reads import Reads


@dataclass
class Store:
    """A source that notes what was asked for; an image is as many bytes as its version says."""

    at_once: int = 4
    asked: list[str] = field(default_factory=list)
    ahead: int = 0  # images that were read in another thread
    meeting: Barrier | None = None

    def is_quick(self, version: str) -> bool:
        return version != "packed"

    def count_bytes(self, version: str) -> int:
        return int(version) if version.isdecimal() else 0

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
    monkeypatch.setattr(module, "_MOST_AHEAD", 300)
    gate = Barrier(4)
    store = Store(at_once=8, meeting=gate)
    takes = begin_all(store, ["100", "100", "100", "100", "50"])

    gate.wait(60)  # three are read
    store.meeting = None
    assert sorted(store.asked) == ["0", "1", "2"]
    assert takes[1]() == b"1" * 100  # which makes room for one more
    assert takes[3]() == b"3" * 100
    assert [takes[number]() for number in (0, 2, 4)] == [b"0" * 100, b"2" * 100, b"4" * 50]
    assert store.ahead == 5


def test_an_image_larger_than_the_room_is_read_ahead_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_AHEAD", 300)
    store = Store(at_once=8)

    takes = begin_all(store, ["400", "1", "400"])

    assert [len(take()) for take in takes] == [400, 1, 400]
    assert store.ahead == 3


def test_what_waits_for_room_is_read_where_it_is_taken_if_that_is_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_AHEAD", 100)
    store = Store(at_once=8)
    first, second = begin_all(store, ["100", "100"])

    assert second() == b"1" * 100
    assert first() == b"0" * 100
    assert store.ahead == 1  # the first


def test_images_that_were_lost_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_AHEAD", 100)
    monkeypatch.setattr(Store, "count_bytes", lambda *_: 60)
    store = Store()
    reads = Reads({"store": store})

    for _ in range(3):
        with pytest.raises(SampleError):
            reads.begin("store", "x", "gone")()

    assert store.ahead == 3
