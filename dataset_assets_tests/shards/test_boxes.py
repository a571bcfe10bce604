"""The geometry of many samples is that of each of them."""

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.images.geometry import choose_corner, cover_scale, cover_size, crop_box
from dataset_assets.settings import CropSettings
from dataset_assets.shards.boxes import LARGEST_JITTER, find_boxes

SIDES = st.integers(64, 200) | st.integers(64, 10**9 - 1)
SAMPLES = st.lists(
    st.tuples(
        SIDES | st.integers(64, 200), SIDES | st.integers(64, 200), st.text(st.characters(exclude_categories=["Cs"]))
    ),
    min_size=1,
)
CROPS = [
    CropSettings(),
    CropSettings(strategy="center"),
    CropSettings(strategy="random"),
    CropSettings(allowed_corners=(3, 0, 1), corner_jitter=7),
    CropSettings(allowed_corners=(1,), corner_jitter=LARGEST_JITTER),
]


@pytest.mark.parametrize("crop", CROPS)
@given(samples=SAMPLES, target=st.sampled_from([(64, 64), (64, 48), (32, 64)]))
def test_boxes_are_those_of_each(
    samples: list[tuple[int, int, str]], target: tuple[int, int], crop: CropSettings
) -> None:
    widths, heights = (np.array(sides, dtype=np.int64) for sides in zip(*[one[:2] for one in samples], strict=True))
    digests = b"".join(sha256(image_id.encode()).digest() for *_, image_id in samples)
    boxes = find_boxes(widths, heights, digests, target, crop)
    expected = [
        (
            cover_scale((width, height), target),
            *crop_box(cover_size((width, height), target), target, image_id, crop),
            choose_corner(image_id, crop),
        )
        for width, height, image_id in samples
    ]
    found = zip(*(array.tolist() for array in (boxes.scale, boxes.x, boxes.y, boxes.corner)), strict=True)
    assert list(found) == expected
