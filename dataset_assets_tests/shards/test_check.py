"""One sample against what is promised of it: every good one passes, in every mode. test_verify.py has the bad ones."""

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dataset_assets.buckets.choose import NO_BUCKET, choose_buckets
from dataset_assets.buckets.protos import make_buckets
from dataset_assets.records import Bucket, sample_key
from dataset_assets.shards.check import Promise, check_sample
from dataset_assets.shards.sample import dump_fields
from dataset_assets_tests.exports import Members, bucket_of, make_draft, make_jpeg, make_sample

SETTINGS = make_draft().settings
BUCKETS = make_buckets([64], 8)
TITLE = ("caption_title", 0, 1)


def check(members: Members, promise: Promise) -> list[str]:
    (name, jpeg), (_, text), (_, fields) = members
    return check_sample(name.removesuffix(".jpg"), jpeg, text, fields, promise, pixels=True)


@given(
    st.integers(1, 9000),
    st.integers(1, 9000),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text[-1] not in "\n\r"),
)
def test_whatever_the_pipeline_makes_passes(width: int, height: int, image_id: str, caption: str) -> None:
    chosen = int(choose_buckets(np.array([width]), np.array([height]), BUCKETS)[0])
    assume(chosen != NO_BUCKET)
    bucket = BUCKETS[chosen]
    sample = make_sample(SETTINGS, image_id, (width, height), bucket, caption, TITLE)
    assert check(sample, Promise.of_settings(SETTINGS, bucket, BUCKETS)) == []


@pytest.mark.parametrize(
    ("side", "base", "faults"),
    [
        (200, 128, []),
        (128, 128, []),
        (127, 64, []),
        (64, 64, []),
        (128, 64, ["an image of 128x128 belongs to r128_p1024x1024"]),
    ],
)
def test_of_several_bases_the_largest_that_fits_is_right(side: int, base: int, faults: list[str]) -> None:
    bucket = Bucket(id=f"r{base}_p1024x1024", proto=(1024, 1024), base=base, target=(base, base))
    promise = replace(Promise.of_settings(SETTINGS, bucket, BUCKETS), buckets=make_buckets([128, 64], 8))
    assert check(make_sample(SETTINGS, "a.png", (side, side), bucket, "a caption", TITLE), promise) == faults


def test_a_passed_through_jpeg_keeps_its_size_and_metadata() -> None:
    bucket = bucket_of(SETTINGS, "p1024x1024")
    promise = replace(Promise.of_settings(SETTINGS, bucket, BUCKETS), mode="passthrough_jpeg")
    jpeg = make_jpeg((100, 104), "4:2:2", comment=b"from a camera") + b"what cameras leave behind the end"
    meta = {
        "image_id": "a.jpg",
        "bucket_id": "p1024x1024",
        "target_w": 64,
        "target_h": 64,
        "w": 100,
        "h": 104,
        "src_w": 100,
        "src_h": 104,
        "image_mode": "passthrough_jpeg",
        "jpeg": {"quality": 0, "subsampling": "source"},
        "crop": {"scale": 0.64, "x": 0, "y": 3, "corner": 2},
        "source_sha256": sha256(jpeg).hexdigest(),
        "caption_variant": "caption_title",
        "caption_selector_index": 0,
        "caption_source_id": 1,
    }
    assert check_sample(sample_key("a.jpg"), jpeg, b"a caption\n", dump_fields(meta), promise, pixels=True) == []
    encoded = dump_fields(meta | {"jpeg": {"quality": 95, "subsampling": "4:2:0"}})
    assert check_sample(sample_key("a.jpg"), jpeg, b"a caption\n", encoded, promise, pixels=True) == [
        "jpeg is not what a passed-through JPEG has: quality 0, subsampling source"
    ]
