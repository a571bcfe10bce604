import pytest

from dataset_assets.images.colour import srgb_transform
from dataset_assets_tests.photos import cmyk_profile, grey_profile, srgb_profile, swapped_profile


@pytest.mark.parametrize(
    ("profile", "mode"),
    [
        (None, "RGB"),
        (b"", "RGB"),
        (b"no profile", "RGB"),
        (srgb_profile()[:200], "RGB"),
        (srgb_profile(), "RGB"),
        (srgb_profile(), "L"),
        (grey_profile(), "RGB"),
        (cmyk_profile(), "RGB"),
        (swapped_profile(), "CMYK"),
    ],
)
def test_nothing_changes(profile: bytes | None, mode: str) -> None:
    assert srgb_transform(profile, mode) is None


@pytest.mark.parametrize(
    ("profile", "mode"), [(swapped_profile(), "RGB"), (grey_profile(), "L"), (cmyk_profile(), "CMYK")]
)
def test_other_profiles_are_transformed_once_made(profile: bytes, mode: str) -> None:
    transform = srgb_transform(profile, mode)

    assert transform is not None
    assert srgb_transform(bytes(bytearray(profile)), mode) is transform


def test_srgb_is_known_by_what_it_does() -> None:
    renamed = srgb_profile().replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))

    assert renamed != srgb_profile()
    assert srgb_transform(renamed, "RGB") is None


def test_a_profile_that_claims_to_be_srgb_is_not_believed() -> None:
    assert "sRGB".encode("utf-16-be") in swapped_profile()
    assert srgb_transform(swapped_profile(), "RGB") is not None
