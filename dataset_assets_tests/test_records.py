import copy
import dataclasses
import pickle

import pytest

from dataset_assets import records
from dataset_assets.records import sample_key
from dataset_assets_tests import crops

CROP = dataclasses.replace(crops.CROP, jpeg=bytes(50_000))


def test_records_are_frozen_slotted_and_keyword_only() -> None:
    classes = [one for one in vars(records).values() if isinstance(one, type) and dataclasses.is_dataclass(one)]

    assert len(classes) > 3
    for one in classes:
        assert "__slots__" in vars(one)
        assert all(field.kw_only for field in dataclasses.fields(one))
        assert one.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("image_id", "key"),
    [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("é", "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"),
    ],
)
def test_a_key_is_the_sha256_of_the_id(image_id: str, key: str) -> None:
    assert sample_key(image_id) == key


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_crop_crosses_process_borders(protocol: int) -> None:
    assert pickle.loads(pickle.dumps(CROP, protocol)) == CROP


def test_a_crop_can_be_copied() -> None:
    assert copy.deepcopy(CROP) == CROP


def test_a_crop_can_leave_its_jpeg_beside_it() -> None:
    beside: list[pickle.PickleBuffer] = []

    packed = pickle.dumps(CROP, 5, buffer_callback=beside.append)

    assert len(packed) < 1000
    assert pickle.loads(packed, buffers=[bytes(part.raw()) for part in beside]) == CROP
