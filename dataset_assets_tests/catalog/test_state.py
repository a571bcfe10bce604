import time

import pytest

from dataset_assets.catalog.database import Catalog
from dataset_assets.catalog.state import (
    Piece,
    StageState,
    drop_piece,
    drop_state,
    forget_partitions,
    load_pieces,
    load_states,
    put_piece,
    put_state,
    void_state,
)

KEYS = ("p1024x1024_000000-000015", "p1216x832_000000-000015")


@pytest.fixture(autouse=True)
def _filled(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        for partition in ("", *KEYS):
            for stage in ("plans", "crops"):
                put_state(connection, StageState(stage=stage, partition=partition, fingerprint="f", output="o"))
                for number in (1, 0):
                    piece = Piece(stage=stage, partition=partition, number=number, path=f"{number}", bytes=1 << 40)
                    put_piece(connection, piece)


def test_states_come_back_by_stage_and_partition(catalog: Catalog) -> None:
    before = time.time()
    report: dict[str, object] = {"count": 3, "names": ["é\n😀", "a\0b"], "drops": {}, "ratio": 0.1, "none": None}
    with catalog.writing() as connection:
        put_state(
            connection, StageState(stage="crops", partition=KEYS[0], fingerprint="f2", output="o2", report=report)
        )

    with catalog.reading() as connection:
        every, some = load_states(connection), load_states(connection, [KEYS[0], ""])
    assert set(every) == {(stage, partition) for stage in ("plans", "crops") for partition in ("", *KEYS)}
    assert set(some) == {(stage, partition) for stage in ("plans", "crops") for partition in ("", KEYS[0])}
    state = every["crops", KEYS[0]]
    assert (state.fingerprint, state.output, state.report) == ("f2", "o2", report)
    assert before <= state.finished_at <= time.time()
    assert every["plans", KEYS[0]].output == "o"


def test_a_voided_state_is_interrupted_until_it_is_put_again(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        void_state(connection, "crops", KEYS[0])
        void_state(connection, "never made")

    with catalog.reading() as connection:
        states = load_states(connection)
    assert {key for key, state in states.items() if state.interrupted} == {("crops", KEYS[0])}
    assert states["crops", KEYS[0]].output == "o"

    with catalog.writing() as connection:
        put_state(connection, StageState(stage="crops", partition=KEYS[0], fingerprint="f", output="o"))
        assert not any(state.interrupted for state in load_states(connection).values())


def test_pieces_come_in_order_and_can_be_narrowed(catalog: Catalog) -> None:
    with catalog.reading() as connection:
        every = [(one.stage, one.partition, one.number) for one in load_pieces(connection)]
        some = [(one.stage, one.partition, one.number) for one in load_pieces(connection, "plans", "")]
    assert every == sorted(every)
    assert len(every) == 12
    assert some == [("plans", "", 0), ("plans", "", 1)]


def test_a_piece_is_replaced_and_dropped_alone(catalog: Catalog) -> None:
    newer = Piece(stage="crops", partition=KEYS[0], number=1, fingerprint="x", path="", bytes=0, facts={"drops": {}})
    with catalog.writing() as connection:
        put_piece(connection, newer)
        drop_piece(connection, "crops", KEYS[0], 0)
        drop_piece(connection, "crops", KEYS[0], 0)

    with catalog.reading() as connection:
        assert load_pieces(connection, "crops", KEYS[0]) == [newer]
        assert len(load_pieces(connection)) == 11


def test_partitions_that_are_gone_are_forgotten(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        forget_partitions(connection, [KEYS[0], "never there"])
        forget_partitions(connection, [])

    with catalog.reading() as connection:
        assert {partition for _, partition in load_states(connection)} == {"", KEYS[1]}
        assert {one.partition for one in load_pieces(connection)} == {"", KEYS[1]}


def test_a_dropped_state_was_never_made(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        before = load_states(connection)
        drop_state(connection, "crops", KEYS[0])
        drop_state(connection, "never made", KEYS[0])

    with catalog.reading() as connection:
        assert before.keys() - load_states(connection).keys() == {("crops", KEYS[0])}
        assert len(load_pieces(connection, "crops", KEYS[0])) == 2
