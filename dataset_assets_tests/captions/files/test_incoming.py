from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dataset_assets.captions.files.incoming import Problem, Reading, Staging
from dataset_assets.captions.files.rows import Fault
from dataset_assets.catalog.images import insert_images, update_images
from dataset_assets.catalog.slots import take_slots
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import SourceError
from dataset_assets.progress import Silence
from dataset_assets_tests.captions.captioned import HAND, seat, write_lines
from dataset_assets_tests.catalog.rows import image
from dataset_assets_tests.datasets import settings_in


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(tmp_path, captions={"variants": [HAND]})) as dataset:
        yield dataset


@pytest.fixture
def staging() -> Iterator[Staging]:
    with closing(Staging()) as staging:
        yield staging


def read(dataset: Dataset, staging: Staging, path: Path) -> Reading:
    reading = Reading(dataset=dataset, staging=staging, path=path, variant="caption_hand", model=None)
    reading.run(Silence())
    return reading


def staged(staging: Staging) -> list[tuple[int, str]]:
    return [(row, said["text"]) for batch in staging.batches() for row, _, said in batch]


def test_the_last_row_of_an_image_and_source_is_kept(dataset: Dataset, staging: Staging, tmp_path: Path) -> None:
    ids = seat(dataset, "a", "b")
    path = write_lines(
        tmp_path / "in.jsonl",
        {"image_id": "a", "text": "first"},
        {"image_id": "b", "text": "b"},
        {"image_id": "a", "text": "of another source", "model": "m"},
        {"image_id": "a", "text": "last"},
        {"image_id": "a", "text": None},
    )

    reading = read(dataset, staging, path)

    assert reading.rows == 5
    assert reading.faults == {Fault.MISSING_FIELD: 1}
    assert [source.model for source in reading.sources] == ["", "m"]
    assert staged(staging) == [(ids["b"], "b"), (ids["a"], "of another source"), (ids["a"], "last")]
    assert len(staging) == 3


def test_an_id_means_the_image_in_a_slot_before_others(dataset: Dataset, staging: Staging, tmp_path: Path) -> None:
    with dataset.catalog.writing() as connection:
        insert_images(
            connection,
            [
                image("gone.jpg", image_id="a", removed=True),
                image("without a slot.jpg", image_id="a"),
                image("seated.jpg", image_id="a"),
                image("gone too.jpg", image_id="b", removed=True),
                image("there.jpg", image_id="b"),
                image("only gone.jpg", image_id="c", removed=True),
                image("elsewhere.jpg", image_id="a", source="second"),
            ],
        )
        take_slots(connection, [{"image": 3, "bucket_id": "wide", "slot": 0}], {"wide": 1})
    rows = [{"image_id": name, "text": name} for name in "abc"]
    path = write_lines(
        tmp_path / "in.jsonl",
        *rows,
        {"image_id": "a", "text": "second", "source": "second"},
        {"image_id": "a", "text": "third", "source": "third"},
    )

    reading = read(dataset, staging, path)

    assert staged(staging) == [(3, "a"), (5, "b"), (6, "c"), (7, "second")]
    assert reading.examples == [
        Problem(row=5, fault=Fault.UNKNOWN_IMAGE, detail='there is no image "a" in source "third"')
    ]


def test_an_id_in_another_form_of_unicode_is_found(dataset: Dataset, staging: Staging, tmp_path: Path) -> None:
    ids = seat(dataset, "caf\u00e9.jpg", "u\u0308.jpg")
    path = write_lines(
        tmp_path / "in.jsonl",
        {"image_id": "cafe\u0301.jpg", "text": "composed"},
        {"image_id": "u\u0308.jpg", "text": "as it is"},
        {"image_id": "\u00fc.jpg", "text": "not there"},
    )

    assert read(dataset, staging, path).faults == {Fault.UNKNOWN_IMAGE: 1}
    assert staged(staging) == [(ids["caf\u00e9.jpg"], "composed"), (ids["u\u0308.jpg"], "as it is")]


def test_a_caption_is_of_the_image_as_it_is_unless_its_row_says_more(
    dataset: Dataset, staging: Staging, tmp_path: Path
) -> None:
    ids = seat(dataset, "a", "b", "c", "d")
    with dataset.catalog.writing() as connection:
        update_images(connection, [{"id": ids[name], "checksum": name * 64} for name in "abc"])
    path = write_lines(
        tmp_path / "in.jsonl",
        {"image_id": "a", "text": "x"},
        {"image_id": "b", "text": "x", "input_version": "older"},
        {"image_id": "c", "text": "x", "input_version": ""},
        {"image_id": "d", "text": "x"},
    )

    read(dataset, staging, path)

    (batch,) = staging.batches()
    assert [said["input_version"] for _, _, said in batch] == ["a" * 64, "older", "", ""]


def test_twenty_examples_are_kept_and_all_counted(dataset: Dataset, staging: Staging, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "in.jsonl", *(f"row {number}" for number in range(50)))

    reading = read(dataset, staging, path)

    assert reading.faults == {Fault.INVALID_JSON: 50}
    assert [problem.row for problem in reading.examples] == list(range(1, 21))


def test_a_file_of_endless_sources_is_refused(dataset: Dataset, staging: Staging, tmp_path: Path) -> None:
    seat(dataset, "a")
    rows = [{"image_id": "a", "text": "x", "model": f"m{number}"} for number in range(1001)]

    assert len(read(dataset, staging, write_lines(tmp_path / "in.jsonl", *rows[:1000])).sources) == 1000
    with pytest.raises(SourceError, match=r"in\.jsonl has captions of more than 1,000 sources"):
        read(dataset, staging, write_lines(tmp_path / "in.jsonl", *rows))
