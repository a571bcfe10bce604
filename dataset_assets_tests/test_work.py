from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_assets.catalog.state import Piece, load_pieces, load_states
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import OrderError
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import Stage
from dataset_assets.storage.atomic import write_bytes
from dataset_assets.work import Outcome, Work, begin
from dataset_assets_tests.datasets import add_photo, on_disk, settings_in

STAGE = Stage.BUCKET_ASSIGNMENTS  # one without partitions, made from the scan


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    add_photo(tmp_path, "a.jpg")
    with open_dataset(settings_in(tmp_path)) as opened:
        scan_sources(opened)
        yield opened


def start(dataset: Dataset, *, force: bool = False) -> Work:
    work = begin(dataset, STAGE, force=force)
    assert isinstance(work, Work)
    return work


def path_of(dataset: Dataset, number: int) -> Path:
    return on_disk(dataset.layout.root / "things" / str(number))


def make(dataset: Dataset, work: Work, *numbers: int, made_from: str = "x") -> None:
    for number in numbers:
        work.replace(number)
        write_bytes(path_of(dataset, number), made_from.encode())
        work.put(path_of(dataset, number), made_from=made_from, output=f"{number} of {made_from}", number=number)


def finished(dataset: Dataset, *numbers: int) -> Outcome:
    work = start(dataset)
    make(dataset, work, *numbers)
    return work.finish(output="made", report={"count": len(numbers)})


def recorded(dataset: Dataset) -> dict[int, Piece]:
    with dataset.catalog.reading() as connection:
        return {piece.number: piece for piece in load_pieces(connection, STAGE)}


def interrupted(dataset: Dataset) -> bool:
    with dataset.catalog.reading() as connection:
        return load_states(connection)[STAGE, ""].interrupted


def test_a_finished_stage_is_recorded_and_found_fresh(dataset: Dataset) -> None:
    first = finished(dataset, 0, 1)

    second = begin(dataset, STAGE)

    assert isinstance(second, Outcome)
    assert (first.reused, second.reused) == (False, True)
    assert (second.state.output, second.report["count"]) == ("made", 2)
    assert {number: piece.path for number, piece in recorded(dataset).items()} == {0: "things/0", 1: "things/1"}


def test_a_stage_before_its_time_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with open_dataset(settings_in(tmp_path)) as dataset:
        with pytest.raises(OrderError, match="raw_images has not been made yet"):
            begin(dataset, STAGE)
        with dataset.catalog.reading() as connection:
            assert load_states(connection) == {}


def test_a_stage_is_interrupted_from_its_beginning_to_its_end(dataset: Dataset) -> None:
    finished(dataset, 0)

    work = start(dataset, force=True)
    assert interrupted(dataset)
    make(dataset, work, 0)
    assert interrupted(dataset)
    work.finish(output="made", report={})
    assert not interrupted(dataset)


def test_what_was_made_from_the_same_is_kept(dataset: Dataset) -> None:
    finished(dataset, 0, 1, 2)
    path_of(dataset, 1).unlink()
    path_of(dataset, 2).write_bytes(b"of another size")
    before = recorded(dataset)

    work = start(dataset)

    assert work.keep(0, "x") == before[0]
    assert work.keep(0, "y") is None
    assert work.keep(1, "x") is None
    assert work.keep(2, "x") is None
    assert work.keep(3, "x") is None
    assert work.pieces == [before[0]]


def test_force_keeps_nothing_and_still_removes_what_is_left_over(dataset: Dataset) -> None:
    finished(dataset, 0, 1)

    work = start(dataset, force=True)
    assert work.keep(0, "x") is None
    make(dataset, work, 0, made_from="y")
    work.finish(output="made", report={})

    assert {number: piece.output for number, piece in recorded(dataset).items()} == {0: "0 of y"}
    assert [path.name for path in path_of(dataset, 0).parent.iterdir()] == ["0"]


def test_pieces_that_are_no_longer_part_of_it_are_removed(dataset: Dataset) -> None:
    finished(dataset, 0, 1, 2)
    path_of(dataset, 0).unlink()

    work = start(dataset)
    work.keep(2, "x")
    work.finish(output="made", report={})

    assert set(recorded(dataset)) == {2}
    assert [path.name for path in path_of(dataset, 0).parent.iterdir()] == ["2"]


def test_a_piece_is_forgotten_before_its_file_is_touched(dataset: Dataset) -> None:
    finished(dataset, 0, 1)

    work = start(dataset, force=True)
    work.replace(0)

    assert set(recorded(dataset)) == {1}
    assert path_of(dataset, 0).exists()


def test_work_left_in_the_middle_is_taken_up_where_it_was(dataset: Dataset) -> None:
    finished(dataset, 0, 1)
    work = start(dataset, force=True)
    make(dataset, work, 0, made_from="y")
    work.replace(1)
    write_bytes(path_of(dataset, 1), b"half")  # and here it is killed

    work = start(dataset)

    assert work.keep(0, "y") is not None
    assert work.keep(1, "x") is None
    assert work.keep(1, "y") is None


def test_a_piece_without_a_file(dataset: Dataset) -> None:
    work = start(dataset)
    work.put(None, made_from="x", output="", facts={"count": 0})
    work.finish(output="made", report={})

    assert isinstance(begin(dataset, STAGE), Outcome)
    assert (recorded(dataset)[0].path, recorded(dataset)[0].facts) == ("", {"count": 0})


def test_a_damaged_file_makes_the_stage_start_again(dataset: Dataset) -> None:
    finished(dataset, 0)
    path_of(dataset, 0).write_bytes(b"of another size")

    assert isinstance(begin(dataset, STAGE), Work)
