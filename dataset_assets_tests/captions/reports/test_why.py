from pathlib import Path
from typing import Any

import pytest

from dataset_assets.captions.reports.explain import explain_image
from dataset_assets.dataset import open_dataset
from dataset_assets_tests.captions.asked import chat, list_samples, say, waterfall
from dataset_assets_tests.datasets import settings_in

A, B = "caption_a", "caption_b"
PHOTO = "001.jpg"  # without a file beside it
NONE = "no selector has a caption for it, so it is exported without one: "


def why(folder: Path, *said: tuple[str, dict[str, Any]], variants: Any = (), **captions: Any) -> str:
    """Return the reason given for a photo of which models said this, in this order: (variant, status and text)."""
    variants = variants or [chat(A), chat(B)]
    with open_dataset(settings_in(folder, captions=waterfall(*variants, **captions))) as dataset:
        for variant, answer in said:
            say(dataset, variant, {PHOTO: answer.pop("text", "")}, **answer)
        return explain_image(dataset, PHOTO).why


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("empty", "gave an empty text"),
        ("truncated", "was cut off"),
        ("refused", "refused"),
        ("filtered", "was stopped by a content filter"),
        ("error", "gave no answer"),
        ("missing", "has none"),
    ],
)
def test_a_selector_that_gave_nothing_is_told_in_words(built: Path, status: str, words: str) -> None:
    told = why(built, (A, {"status": status}), (B, {"text": "A hill in the sun."}))

    assert told == f"selector 1 (caption_b) gave it: selector 0 (caption_a) {words}"


def test_the_first_selector_needs_no_reason(built: Path) -> None:
    said = {"text": "A hill in the sun."}

    assert why(built, (A, {**said}), (B, {**said})) == "selector 0 (caption_a) gave it"


def test_every_selector_before_is_told(built: Path) -> None:
    variants = [{"name": "caption_sidecar"}, chat(A), chat(B)]

    assert why(built, (B, {"text": "A hill in the sun."}), variants=variants) == (
        "selector 2 (caption_b) gave it: selector 0 (caption_sidecar) has none; selector 1 (caption_a) has none"
    )


def test_a_selector_is_named_with_what_narrows_it(built: Path) -> None:
    priority = [{"variant": A, "backend": "openrouter"}, {"variant": A, "model": "test/caption_a"}]

    assert why(built, (A, {"text": "A hill in the sun."}), priority=priority) == (
        "selector 1 (caption_a, test/caption_a) gave it: selector 0 (caption_a, openrouter) has none"
    )


def test_a_caption_that_the_review_passes_over_is_told_with_what_was_found(built: Path) -> None:
    review = {"too_short": "fall_through", "prompt_leak": "keep"}

    assert why(built, (A, {"text": "Hill."}), (B, {"text": "A hill in the sun."}), review=review) == (
        "selector 1 (caption_b) gave it: selector 0 (caption_a) gave one that the review does not let through "
        "(too_short)"
    )


def test_an_image_that_is_dropped_is_told_with_the_selector_that_says_so(built: Path) -> None:
    assert why(built, (A, {"status": "refused"}), (B, {"status": "placeholder", "text": "[image]"})) == (
        "left out (skipped_placeholder): selector 1 (caption_b) gave a placeholder, and the review's policy for that "
        "is drop: selector 0 (caption_a) refused"
    )


def test_a_caption_that_is_dropped_for_what_is_in_it(built: Path) -> None:
    assert why(built, (A, {"text": "Hill."}), review={"too_short": "drop"}) == (
        "left out (skipped_caption_review): selector 0 (caption_a) gave one that the review does not let through "
        "(too_short), and the review's policy for that is drop"
    )


def test_where_nothing_was_said_the_policy_for_it_is_told(built: Path) -> None:
    empty, dropped = why(built), why(built, missing_caption_policy="drop")

    assert empty == f"{NONE}selector 0 (caption_a) has none; selector 1 (caption_b) has none"
    assert dropped.startswith("no selector has a caption for it, so it is left out: selector 0 ")


def test_a_waterfall_without_selectors(built: Path) -> None:
    assert why(built, (A, {"text": "A hill."}), priority=[]) == f"{NONE}captions.priority names none"


def test_a_newer_source_of_the_same_selector_is_told(built: Path) -> None:
    said = {"text": "A hill in the sun."}
    prompts = ["In a sentence?", "In a word?"]
    for number, prompt in enumerate(prompts):
        settings = settings_in(built, captions=waterfall(chat(A, user_prompt=prompt)))
        with open_dataset(settings) as dataset:
            source = say(dataset, A, {PHOTO: "" if number else said["text"]}, status="refused" if number else "ok")
            told = explain_image(dataset, PHOTO).why

    assert told == f"selector 0 (caption_a) gave it: its newer caption source {source.id} refused"


@pytest.mark.parametrize(("status", "words"), [("refused", "refused"), ("ok", "gave one")])
def test_a_caption_of_an_older_version_of_the_image_is_told(built: Path, status: str, words: str) -> None:
    said = (A, {"status": status, "text": "A hill.", "input_version": "d" * 64})

    assert why(built, said, (B, {"text": "A hill in the sun."})) == (
        f"selector 1 (caption_b) gave it: selector 0 (caption_a) {words} for an older version of the image"
    )


def test_a_blank_crop_is_told_with_its_measure(built: Path) -> None:
    review = {"blank_spread": 1.0}
    with open_dataset(settings_in(built, captions=waterfall(chat(A), review=review))) as dataset:
        spread = list_samples(dataset)[PHOTO]["spread"]

    assert why(built, (A, {"text": "A hill in the sun."}), review=review) == (
        f"left out (skipped_blank_image): {spread:.2%} of the crop differs from one plain tone, and less than "
        "blank_spread, 100.00%, is blank"
    )
