import os
import pickle
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pickle import PickleBuffer

import pytest

from dataset_assets.images.handover import ROOM, Handover
from dataset_assets.processes import prepare_forks
from dataset_assets_tests.descriptors import count_open

COUNT = 3  # messages under way


class Parcel:
    """A message with something large in it, or more of it."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple[type["Parcel"], tuple[PickleBuffer, ...]]:
        return Parcel, tuple(PickleBuffer(part) for part in self.parts)


def part(size: int) -> bytes:
    return bytes(number % 251 for number in range(size % 1000)) + bytes(size - size % 1000)


def send(handover: Handover, sizes: list[tuple[int, ...]], out: Connection, more: Connection, limit: int) -> None:
    """Send a message for each of `sizes`, as many ahead as there are places: each answer makes room for another."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for number, parts in enumerate(sizes):
        with pytest.raises((AttributeError, pickle.PicklingError)):
            handover.pack(lambda: None)  # what cannot be packed is no message
        if number >= COUNT:
            more.recv()
        out.send_bytes(handover.pack(Parcel(*map(part, parts)) if parts else "small"))


@contextmanager
def sending(handover: Handover, sizes: list[tuple[int, ...]], limit: int) -> Iterator[tuple[Connection, Connection]]:
    context = prepare_forks()
    messages, out = context.Pipe(duplex=False)
    given, more = context.Pipe(duplex=False)
    process = context.Process(target=send, args=(handover, sizes, out, given, limit), daemon=True)
    process.start()
    try:
        yield messages, more
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
        handover.close()


SIZES: list[tuple[int, ...]] = [
    *((100_000,), (), (1,), (0,), (50_001, 3, 70_000), (ROOM,), (ROOM + 1,), (ROOM, 1), (5,)),
    *((90_000 + number,) for number in range(3 * COUNT + 1)),
]


@pytest.mark.parametrize(
    ("memory", "limit"),
    [
        pytest.param(True, COUNT * ROOM, id="all the memory that is asked for"),
        pytest.param(True, ROOM + 80_000, id="the first place, and not all of the second"),
        pytest.param(False, COUNT * ROOM, id="none"),
    ],
)
def test_messages_come_as_they_were(memory: bool, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if not memory:
        monkeypatch.delattr(os, "memfd_create")
    handover = Handover(COUNT)
    lengths = []

    with sending(handover, SIZES, limit) as (messages, more):
        for sizes in SIZES:
            packed = messages.recv_bytes()
            lengths.append(len(packed))
            message = handover.unpack(packed)
            more.send(None)
            if sizes:
                assert list(message.parts) == [part(size) for size in sizes]
            else:
                assert message == "small"

    small = [
        sum(sizes) < 900 or (memory and sum(sizes) <= ROOM and number % COUNT * ROOM + sum(sizes) <= limit)
        for number, sizes in enumerate(SIZES)
    ]
    assert [length < 1000 for length in lengths] == small
    assert len(set(small)) == 2


def test_a_system_that_does_not_allow_it_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> int:
        raise PermissionError(name)

    monkeypatch.setattr(os, "memfd_create", refuse)
    handover = Handover(COUNT)

    assert len(handover.pack(Parcel(part(100_000)))) > 100_000


def test_nothing_is_left_open() -> None:
    before = count_open()

    for _ in range(5):
        handover = Handover(COUNT)
        handover.close()
        handover.close()

    assert count_open() == before
