"""Every stage that leaves images out, and what the gallery shows of them."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset_assets.captions.reports.explain import explain_image
from dataset_assets.dataset import Dataset
from dataset_assets.errors import DropReason
from dataset_assets.gallery.stage import write_gallery
from dataset_assets.records import sample_key
from dataset_assets_tests.captions.asked import chat, say, waterfall
from dataset_assets_tests.datasets import LANDSCAPE, TINY, add_photo, build_library
from dataset_assets_tests.gallery.written import opened, read_gallery
from dataset_assets_tests.photos import encoded, jpeg, photo, png_file

SIDECAR: dict[str, Any] = {"name": "caption_sidecar"}
MODEL = "caption_model"


def add_all_kinds(folder: Path) -> None:
    """Write images of which each is left out for another reason, some exported ones among them."""
    raw = folder / "raw"
    for seed in range(6):
        add_photo(folder, f"good {seed}.jpg", seed=seed, caption="a photo")
    for seed in range(4):
        add_photo(folder, f"tiny {seed}.jpg", TINY, seed=seed)
        add_photo(folder, f"uncaptioned {seed}.jpg", seed=20 + seed)
    for extension in ("jpg", "txt"):
        shutil.copy(raw / f"good 0.{extension}", raw / f"good 0 again.{extension}")
    (raw / "empty.jpg").touch()
    (raw / "text.jpg").write_text("This is not an image.\n" * 9)
    (raw / "bomb.png").write_bytes(png_file(30_000, 30_000, 8, 2, b""))
    (raw / "cut.jpg").write_bytes(jpeg(*LANDSCAPE, 30)[:-300])
    (raw / "cut header.jpg").write_bytes(jpeg(*LANDSCAPE, 31)[:40])
    (raw / "blank.jpg").write_bytes(encoded(np.full((72, 104, 3), 200, np.uint8)))
    add_photo(folder, "placeholder.jpg", seed=40)
    add_photo(folder, "unseen.jpg", seed=41)


def build(dataset: Dataset) -> None:
    """Build, with a model that says nothing of use of two images."""
    build_library(dataset)
    say(dataset, MODEL, {"placeholder.jpg": "A placeholder."}, status="placeholder")
    say(dataset, MODEL, {"unseen.jpg": "I see no image."}, status="unavailable")
    build_library(dataset, force=True)


SECTIONS: dict[str, Any] = {
    "captions": waterfall(SIDECAR, chat(MODEL, ask=False), missing_caption_policy="drop"),
    "duplicates": {"exact": "drop"},
}


@pytest.fixture(scope="module")
def _everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("left_out")
    add_all_kinds(folder)
    with opened(folder, drops=0, **SECTIONS) as dataset:
        build(dataset)
    return folder


@pytest.fixture
def everything(_everything: Path, tmp_path: Path) -> Path:
    """A finished build of images of which many are left out."""
    return Path(shutil.copytree(_everything, tmp_path / "everything"))


def summary(folder: Path) -> Counter[str]:
    """Return the manifest's counters of reasons that are not 0."""
    return +Counter(read_gallery(folder)["overview"]["drops"])


def test_all_that_is_left_out_is_as_much_as_the_manifest_counts(everything: Path) -> None:
    with opened(everything, drops=10_000, **SECTIONS) as dataset:
        write_gallery(dataset)
    found = read_gallery(everything)["left_out"]

    assert Counter(one["reason"] for one in found) == summary(everything)
    assert summary(everything) == {
        "skipped_no_caption": 4, "skipped_too_small": 4, "decode_errors": 2, "skipped_empty_file": 1,
        "skipped_unsupported_format": 1, "skipped_too_many_pixels": 1, "skipped_blank_image": 1,
        "skipped_placeholder": 1, "skipped_image_unavailable": 1, "skipped_duplicate": 1,
    }  # fmt: skip
    assert len({one["image_id"] for one in found}) == len(found)


def test_each_says_why_and_shows_what_can_be_seen(everything: Path) -> None:
    with opened(everything, drops=10_000, **SECTIONS) as dataset:
        write_gallery(dataset)
    found = {one["image_id"]: one for one in read_gallery(everything)["left_out"]}

    assert found["good 0.jpg"]["detail"] == "its content is that of good 0 again.jpg"
    assert found["tiny 0.jpg"]["detail"] == (
        "20×20 pixels; the smallest bucket of its shape, p1024x1024, needs at least 64×64"
    )
    assert found["empty.jpg"]["detail"] == "the file is empty"
    assert found["blank.jpg"]["why"] == (
        "left out (skipped_blank_image): 0.00% of the crop differs from one plain tone, and less than blank_spread, "
        "0.20%, is blank"
    )
    assert {name for name, one in found.items() if one["why"]} == {
        "blank.jpg", "placeholder.jpg", "unseen.jpg", *(f"uncaptioned {seed}.jpg" for seed in range(4)),
    }  # fmt: skip
    assert found["cut.jpg"]["detail"] != ""
    sizes = {name: (one["thumb"] or {}).get("w", 0) for name, one in found.items()}
    assert {name: width for name, width in sizes.items() if name.startswith(("cut", "empty", "text", "bomb"))} == {
        "cut.jpg": 0, "cut header.jpg": 0, "empty.jpg": 0, "text.jpg": 0, "bomb.png": 0,
    }  # fmt: skip
    assert sizes["tiny 0.jpg"] == 20  # the source
    assert sizes["good 0.jpg"] == 104
    assert {sizes[name] for name in ("blank.jpg", "placeholder.jpg", "unseen.jpg", "uncaptioned 0.jpg")} == {72}
    assert (found["tiny 0.jpg"]["width"], found["tiny 0.jpg"]["height"]) == TINY
    assert (found["empty.jpg"]["width"], found["empty.jpg"]["height"]) == (0, 0)
    with Image.open(everything / "out" / "gallery" / found["blank.jpg"]["thumb"]["path"]) as image:
        assert image.size == (72, 48)


def test_what_was_said_is_there_as_the_command_says_it(everything: Path) -> None:
    with opened(everything, drops=10_000, **SECTIONS) as dataset:
        write_gallery(dataset)
        told = explain_image(dataset, "placeholder.jpg")
    found = {one["image_id"]: one for one in read_gallery(everything)["left_out"]}

    assert found["placeholder.jpg"]["why"] == told.why
    assert "left out (skipped_placeholder): selector 1 (caption_model) gave a placeholder" in told.why
    (said,) = [one for one in found["placeholder.jpg"]["captions"] if one["text"]]
    assert (said["variant"], said["status"], said["text"]) == (MODEL, "placeholder", "A placeholder.")
    assert said["findings"] == ["placeholder"]
    assert [one["text"] for one in found["unseen.jpg"]["captions"] if one["text"]] == ["I see no image."]
    assert found["tiny 0.jpg"]["captions"] == found["cut.jpg"]["captions"] == []
    assert found["uncaptioned 0.jpg"]["why"].startswith("no selector has a caption for it, so it is left out: ")


def test_examples_are_those_with_the_smallest_keys(everything: Path) -> None:
    with opened(everything, drops=2, **SECTIONS) as dataset:
        write_gallery(dataset)
    found = read_gallery(everything)["left_out"]

    for reason, kind in (("skipped_too_small", "tiny"), ("skipped_no_caption", "uncaptioned")):
        names = sorted((f"{kind} {seed}.jpg" for seed in range(4)), key=sample_key)
        assert [one["image_id"] for one in found if one["reason"] == reason] == names[:2]
    reasons = [DropReason(one["reason"]) for one in found]
    assert reasons == sorted(reasons, key=list(DropReason).index)


def test_none_are_shown_where_none_are_wanted(everything: Path) -> None:
    assert read_gallery(everything)["left_out"] == []
    assert summary(everything)["skipped_too_small"] == 4


def test_a_source_that_is_gone_costs_its_pictures(everything: Path) -> None:
    shutil.rmtree(everything / "raw")

    with opened(everything, drops=10_000, **SECTIONS) as dataset:
        write_gallery(dataset)
    found = {one["image_id"]: one for one in read_gallery(everything)["left_out"]}

    assert found["tiny 0.jpg"]["thumb"] is None
    assert found["blank.jpg"]["thumb"] is not None


def test_with_passthrough_what_is_no_jpeg_is_left_out(tmp_path: Path) -> None:
    add_photo(tmp_path, "a.jpg", caption="")
    (tmp_path / "raw" / "b.png").write_bytes(encoded(photo(*LANDSCAPE), "PNG"))
    add_photo(tmp_path, "tiny.jpg", TINY)
    add_photo(tmp_path, "c.jpg", seed=3)
    add_photo(tmp_path, "d.jpg", seed=4, caption="d")

    with opened(tmp_path, images={"mode": "passthrough_jpeg"}, captions={"missing_caption_policy": "drop"}) as dataset:
        build_library(dataset)
        write_gallery(dataset)
    data = read_gallery(tmp_path)
    found = {one["image_id"]: one for one in data["left_out"]}

    assert {name: one["reason"] for name, one in found.items()} == {
        "a.jpg": "skipped_no_caption", "b.png": "not_jpeg", "c.jpg": "skipped_no_caption",
        "tiny.jpg": "skipped_too_small",
    }  # fmt: skip
    assert data["overview"]["drops"] == Counter(one["reason"] for one in found.values())
    assert found["b.png"]["detail"] == "it is PNG"
    assert [one["thumb"]["w"] for one in (found["b.png"], found["c.jpg"])] == [104, 104]


def test_a_reason_of_the_crop_comes_before_one_of_the_selection(everything: Path) -> None:
    with opened(everything, drops=10_000, **SECTIONS) as dataset:
        say(dataset, MODEL, {"cut.jpg": "A placeholder."}, status="placeholder")
        build_library(dataset, force=True)
    found = {one["image_id"]: one["reason"] for one in read_gallery(everything)["left_out"]}

    assert found["cut.jpg"] == "decode_errors"
    assert Counter(found.values()) == summary(everything)
