from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dataset_assets.captions.files.edits import find_partitions, mark_edited, retry_captions
from dataset_assets.captions.sources import register_variants
from dataset_assets.catalog.captions import CaptionSource, CaptionStatus, record_answers
from dataset_assets.catalog.schema import captions, slots
from dataset_assets.catalog.state import load_states
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import OrderError, SettingsError
from dataset_assets_tests.captions.captioned import BUCKET, CHAT, HAND, PAID, answer, record, seat
from dataset_assets_tests.catalog.rows import add_images
from dataset_assets_tests.datasets import settings_in

FIRST, SECOND = f"{BUCKET}_000000-000001", f"{BUCKET}_000002-000003"  # eight slots each
NAMES = [f"{number:02d}" for number in range(16)]


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with open_dataset(settings_in(tmp_path, captions={"variants": [HAND, CHAT]})) as dataset:
        yield dataset


def register(dataset: Dataset) -> CaptionSource:
    with dataset.catalog.writing() as connection:
        return register_variants(connection, dataset.settings.captions)["caption_chat"]


def edited(dataset: Dataset) -> dict[tuple[str, str], str]:
    with dataset.catalog.reading() as connection:
        return {key: state.output for key, state in load_states(connection).items()}


def attempts(dataset: Dataset, source: CaptionSource) -> dict[int, int]:
    statement = select(captions.c.image, captions.c.attempts).where(captions.c.caption_source == source.id)
    with dataset.catalog.reading() as connection:
        return {image: count for image, count in connection.execute(statement)}


def test_images_are_found_in_their_partitions(dataset: Dataset) -> None:
    ids = seat(dataset, *NAMES)
    with dataset.catalog.writing() as connection:
        homeless = add_images(connection, "without a slot")["without a slot"]

    with dataset.catalog.reading() as connection:
        found = [
            find_partitions(connection, dataset.settings, images)
            for images in (
                [],
                [homeless],
                [ids["00"], ids["07"], homeless],
                {ids["08"]},
                [ids["15"], ids["00"]],
                [*range(5000, 9000), ids["08"]],
                select(slots.c.image).where(slots.c.slot > 7),
            )
        ]

    assert found == [[], [], [FIRST], [SECOND], [FIRST, SECOND], [SECOND], [SECOND]]


def test_every_edit_leaves_another_mark(dataset: Dataset) -> None:
    ids = seat(dataset, *NAMES)
    seen = []
    for names in (["00", "01"], ["02", "09"]):
        with dataset.catalog.writing() as connection:
            mark_edited(connection, dataset.settings, "caption_hand", [ids[name] for name in names])
        seen.append(edited(dataset))

    one, two = seen
    first, second = ("edits/caption_hand", FIRST), ("edits/caption_hand", SECOND)
    assert (set(one), set(two)) == ({first}, {first, second})
    assert len({one[first], two[first], two[second]}) == 3


def test_a_model_is_asked_again_about_what_it_failed_at(dataset: Dataset) -> None:
    ids = seat(dataset, *NAMES)
    source = register(dataset)
    statuses = {"00": "ok", "01": "error", "02": "refused", "08": "empty", "09": "ok"}
    with dataset.catalog.writing() as connection:
        record_answers(connection, source, [answer(ids[name], "", status) for name, status in statuses.items()])
    older = record(dataset, PAID, answer(ids["01"], "", "error"))

    assert retry_captions(dataset, "caption_chat", [CaptionStatus.ERROR, CaptionStatus.REFUSED]) == 2

    assert attempts(dataset, source) == {ids[name]: int(name not in ("01", "02")) for name in statuses}
    assert attempts(dataset, older) == {ids["01"]: 1}
    assert edited(dataset).keys() == {("edits/caption_chat", FIRST)}


@pytest.mark.parametrize("statuses", [[], [CaptionStatus.FILTERED]])
def test_where_there_is_nothing_to_ask_again_nothing_is_stale(dataset: Dataset, statuses: list[CaptionStatus]) -> None:
    ids = seat(dataset, "a")
    source = register(dataset)
    with dataset.catalog.writing() as connection:
        record_answers(connection, source, [answer(ids["a"], "", "error")])

    assert retry_captions(dataset, "caption_chat", statuses) == 0
    assert attempts(dataset, source) == {ids["a"]: 1}
    assert edited(dataset) == {}


def test_what_is_ok_is_never_asked_for_again(dataset: Dataset) -> None:
    ids = seat(dataset, "a")
    source = register(dataset)
    with dataset.catalog.writing() as connection:
        record_answers(connection, source, [answer(ids["a"], "text")])

    with pytest.raises(OrderError, match="captions that are ok are not asked for again"):
        retry_captions(dataset, "caption_chat", list(CaptionStatus))
    assert attempts(dataset, source) == {ids["a"]: 1}


@pytest.mark.parametrize("name", ["caption_hand", "caption_nowhere", ""])
def test_only_a_model_can_be_asked_again(dataset: Dataset, name: str) -> None:
    with pytest.raises(SettingsError, match=f'^"{name}" given; allowed are the .* that a model makes: caption_chat$'):
        retry_captions(dataset, name, [CaptionStatus.ERROR])


def test_where_no_model_is_configured_none_is_asked_again(tmp_path: Path) -> None:
    with (
        open_dataset(settings_in(tmp_path)) as dataset,
        pytest.raises(SettingsError, match=r"\(no variant that a model makes is configured\)$"),
    ):
        retry_captions(dataset, "caption_sidecar", [CaptionStatus.ERROR])
