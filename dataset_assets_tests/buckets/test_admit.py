from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dataset_assets.buckets.admit import find_refused, list_rules
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
