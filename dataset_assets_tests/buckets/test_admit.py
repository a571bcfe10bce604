from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dataset_assets.buckets.admit import explain_refused, find_refused, list_rules
from dataset_assets.errors import DropReason
from dataset_assets_tests.datasets import settings_in

PASSTHROUGH: dict[str, Any] = {"images": {"mode": "passthrough_jpeg"}}
UNIQUE: dict[str, Any] = {"duplicates": {"exact": "drop"}}
IMAGES = pd.DataFrame(
    [("b", "JPEG", "1"), ("a", "PNG", "1"), ("c", "MPO", "1"), ("d", "JPEG", ""), ("e", "JPEG", ""), ("f", "GIF", "2")],
    columns=["image_id", "format", "checksum"],
)


@pytest.mark.parametrize(
    ("sections", "rules", "refused"),
    [
        ({}, [], {}),
        (PASSTHROUGH, [DropReason.NOT_JPEG], {"a": "not_jpeg", "f": "not_jpeg"}),
        (UNIQUE, [DropReason.DUPLICATE], {"b": "skipped_duplicate", "c": "skipped_duplicate"}),
        (
            PASSTHROUGH | UNIQUE,
            [DropReason.NOT_JPEG, DropReason.DUPLICATE],
            {"a": "not_jpeg", "c": "skipped_duplicate", "f": "not_jpeg"},  # a is no candidate, so b is the first
        ),
    ],
)
def test_images_are_refused_by_the_rules_of_the_settings(
    sections: dict[str, Any], rules: list[DropReason], refused: dict[str, str]
) -> None:
    settings = settings_in(Path("/nowhere"), **sections)

    reasons = dict(zip(IMAGES["image_id"], find_refused(IMAGES, settings), strict=True))

    assert list(list_rules(settings)) == rules
    assert {name: reason for name, reason in reasons.items() if reason} == refused


def test_of_no_images_none_is_refused() -> None:
    assert find_refused(IMAGES[:0], settings_in(Path("/nowhere"), **PASSTHROUGH, **UNIQUE)).empty


def explained(seated: list[int], sizes: list[tuple[int, int]], **sections: Any) -> dict[str, tuple[str, str]]:
    images = IMAGES.assign(id=range(len(IMAGES)), width=[size[0] for size in sizes], height=[size[1] for size in sizes])
    lost = explain_refused(images, seated, settings_in(Path("/nowhere"), **sections))
    return {one["image_id"]: (one["reason"], one["detail"]) for one in lost.to_dict("records")}


def test_each_image_without_a_slot_is_told_its_reason_and_what_is_behind_it() -> None:
    sizes = [(64, 64), (64, 64), (64, 64), (63, 64), (50, 56), (64, 64)]

    assert explained([0], sizes, **PASSTHROUGH, **UNIQUE) == {
        "a": ("not_jpeg", "it is PNG"),
        "c": ("skipped_duplicate", "its content is that of b"),  # and not of a, which is no JPEG
        "d": ("skipped_too_small", "63×64 pixels; the smallest bucket of its shape, p1024x1024, needs at least 64×64"),
        "e": ("skipped_too_small", "50×56 pixels; the smallest bucket of its shape, p960x1024, needs at least 56×64"),
        "f": ("not_jpeg", "it is GIF"),
    }
    assert explained(list(range(6)), sizes) == {}


def test_of_several_bases_the_smallest_says_what_is_needed() -> None:
    buckets = {"base_resolutions": [64, 128], "divisible": 8}

    assert explained([0, 1, 2, 4, 5], [(60, 60)] * 6, buckets=buckets) == {
        "d": (
            "skipped_too_small",
            "60×60 pixels; the smallest bucket of its shape, r64_p1024x1024, needs at least 64×64",
        )
    }
