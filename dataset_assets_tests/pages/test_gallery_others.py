from dataclasses import replace
from pathlib import Path

import pytest

from dataset_assets_tests.browser import Browser
from dataset_assets_tests.pages.shown import make_left_out, make_near, make_said, make_sample, write_gallery_page

pytestmark = pytest.mark.browser


def test_reasons_come_by_number_with_their_meaning_and_examples(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}#left-out")
    assert page.text("#left-out-box .lead") == "Not exported: 48 images of 78 (62 %)."
    assert page.texts(".reason h3") == ["Too small", "Duplicate", "Decode errors"]
    assert page.texts(".reason .tag") == ["40 images", "7 images", "1 image"]
    assert "What skipped_too_small means." in page.text("#reason-skipped_too_small")
    assert page.text("#reason-skipped_too_small").endswith("2 of 40 shown")
    assert page.text("#reason-skipped_duplicate").endswith("None of them is shown.")
    assert page.texts("#reason-decode_errors .example .picture") == ["Nothing to see"]
    assert page.texts("#reason-skipped_too_small .id") == ["photos/small-1.jpg", "photos/small-2.jpg"]
    assert "detail 1\n90 × 60 · photos" in page.text("#reason-skipped_too_small .example")
    page.wait("document.querySelector('#reason-skipped_too_small img').naturalWidth")


def test_images_that_look_alike_stand_side_by_side(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}#near")
    assert page.text("#near-box .lead") == "1 group of images that look alike, 5 images in all."
    assert page.text("#group-1 .head") == "Group 1\n5 images\n3 of 5 shown"
    tops = page.run("return [...document.querySelectorAll('.example')].map((box) => box.getBoundingClientRect().top)")
    assert len(tops) == 3
    assert len(set(tops)) == 1
    assert page.texts("#group-1 .small:not(.quiet)") == [
        "p1024x1024 · the first",
        "p1216x832 · 1 bit apart",
        "p1024x1024 · 2 bits apart",
    ]
    assert len(page.find_all("#group-1 a")) == 2


def test_the_largest_groups_are_said_to_be_the_largest(page: Browser, tmp_path: Path) -> None:
    samples = [make_sample(0), make_sample(1)]
    near = [replace(make_near(samples), number=number) for number in (1, 2)]
    page.open(f"{write_gallery_page(tmp_path, samples, near=near, near_groups=90, near_images=400).as_uri()}#near")
    assert (
        page.text("#near-box .lead")
        == "90 groups of images that look alike, 400 images in all. The 2 largest are here."
    )


def test_a_long_detail_is_shown_at_a_click(page: Browser, tmp_path: Path) -> None:
    image = replace(make_left_out(1), detail="x" * 80 + "long " * 500)
    page.open(f"{write_gallery_page(tmp_path, [], left_out=[image]).as_uri()}#left-out")
    assert "long" not in page.text(".example")
    page.find(".example details.detail summary").click()
    page.wait("document.querySelector('.example details.detail button')")
    page.find(".example details.detail button").click()
    assert page.text(".example details.detail").count("long") == 500


def test_numbers_say_the_whole_dataset(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}#numbers")
    cards = {card: page.text(f"#numbers-box section[aria-label='{card}']") for card in page.texts("#numbers-box h3")}
    assert list(cards) == [
        "Counts",
        "Captions that won",
        "Buckets",
        "Source sizes",
        "Captions by status",
        "Kept area",
        "Caption lengths",
    ]
    assert "Seen 78 100 %\nExported 30 38 %\nToo small 40 51 %" in cards["Counts"]
    assert "in 3 tars of 3 buckets" in cards["Counts"]
    assert "caption_long\n10 33 %" in cards["Captions that won"]
    assert "p1216x832\n1216 × 832\n10 33 % 1" in cards["Buckets"]
    assert "ok\n10 (33 %)" in cards["Captions by status"]
    labels = page.run("return [...document.querySelectorAll('[role=img]')].map((chart) => chart.ariaLabel)")
    assert labels == [
        "Sizes of 76 source images, with 3 targets.",
        "Histogram of 36 images with a slot. Most, 30, are at 95 % to 100 %.",
        "Histogram of 33 samples. Most, 30, are at 20 to 40.",
    ]
    assert "Images that have a slot, exported or not" in cards["Kept area"]
    assert "Images that have a slot, exported or not" in cards["Captions by status"]
    assert "by the size that they are brought to" in cards["Buckets"]
    page.find("section[aria-label='Kept area'] summary").click()
    assert "75 % 80 % 1\n80 % 85 % 2\n85 % 90 % 3\n95 % 100 % 30" in page.text("section[aria-label='Kept area'] tbody")
    assert page.texts("section[aria-label='Kept area'] .ticks span")[-1] == "100 %"
    page.find("section[aria-label='Caption lengths'] summary").click()
    assert page.text("section[aria-label='Caption lengths'] tbody") == "0 20 1\n20 40 30\n40 and more 2"
    assert page.texts("section[aria-label='Caption lengths'] .ticks span") == ["0", "40", "and more"]
    bars = "return [...document.querySelectorAll('.histogram > i')].slice(-1)[0].title"
    assert page.run(bars) == "40 and more: 2 samples"


def test_where_sources_are_passed_through_buckets_are_plans_and_all_is_kept(page: Browser, tmp_path: Path) -> None:
    index = write_gallery_page(tmp_path, [make_sample(0)], image_mode="passthrough_jpeg")
    page.open(f"{index.as_uri()}#numbers")
    assert "Kept area" not in page.texts("#numbers-box h3")
    assert "which is only the plan of a size" in page.text("section[aria-label=Buckets]")
    assert "brought to" not in page.text("#numbers-box")


def test_what_a_crop_or_captions_left_out_says_why_and_what_was_said(page: Browser, tmp_path: Path) -> None:
    why = f"left out (skipped_placeholder): selector 0 (caption_long) gave a placeholder{', and more' * 20}"
    said = replace(
        make_said("caption_long", "A placeholder.", status="placeholder"), findings=("placeholder", "too_short")
    )
    long = replace(make_said("caption_short", "🚤 word " * 3_000), text="🚤 word " * 1_000, length=21_000)
    image = replace(make_left_out(1, "skipped_placeholder"), detail="", why=why, captions=(said, long))
    page.open(f"{write_gallery_page(tmp_path, [], left_out=[image]).as_uri()}#left-out")
    assert page.text(".example .why") == why
    assert page.text(".example .heard li") == "caption_long placeholder too_short\nA placeholder.\n" + said.detail
    assert page.texts(".example .heard b") == ["caption_long", "caption_short"]
    page.find(".example details.said-text summary").click()
    page.wait("document.querySelector('.example details.said-text button')")
    assert "The page has the first 7,000 of 21,000 characters." in page.text(".example details.said-text")
    assert page.faults() == []


def test_bars_are_as_long_and_shapes_as_wide_as_they_should_be(page: Browser, tmp_path: Path) -> None:
    samples = [make_sample(number) for number in (0, 3, 6, 9, 1)]  # four of the first bucket and one of the second
    page.open(f"{write_gallery_page(tmp_path, samples).as_uri()}#numbers")
    bars = page.run(
        "return [...document.querySelectorAll('.wide .bar-track > i')].map((bar) => bar.getBoundingClientRect().width)"
    )
    assert bars[1] / bars[0] == pytest.approx(0.25, abs=0.01)
    shapes = page.run(
        "return [...document.querySelectorAll('.shape rect')].map((shape) => shape.width.baseVal.value / "
        "shape.height.baseVal.value)"
    )
    assert shapes == pytest.approx([1, 1216 / 832])


def test_a_bucket_and_a_variant_lead_to_their_samples(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}#numbers")
    page.find("section[aria-label=Buckets] a[href*=p832x1216]").click()
    assert page.run("return location.hash") == "#samples?bucket=p832x1216"
    assert page.text("#found") == "10 of 30 samples"
    page.find("#views a[data-view=numbers]").click()
    page.find("section[aria-label='Captions that won'] a[href$='variant=-']").click()
    assert page.text("#found") == "10 of 30 samples"
    assert set(page.texts("#grid .words")) == {"No caption"}
