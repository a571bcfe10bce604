from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from dataset_assets_tests.browser import Browser
from dataset_assets_tests.pages.shown import make_said, make_sample, write_gallery_page

pytestmark = pytest.mark.browser
OPEN = "return document.getElementById('sample').open"
FOCUS = "return document.activeElement.getAttribute('href')"


def link(number: int) -> str:
    return f"#{make_sample(number).key}"


def facts(page: Browser) -> dict[str, str]:
    return dict(zip(page.texts(".facts th"), page.texts(".facts td"), strict=True))


def test_a_click_opens_a_sample_with_its_crop_caption_and_place(page: Browser, gallery: Path) -> None:
    sample = make_sample(1)
    page.open(gallery)
    page.find(f"#grid a[href='{link(1)}']").click()
    assert page.run(OPEN)
    assert page.run("return location.hash") == link(1)
    assert page.text("#sample-name") == "photos/photo-0001.jpg"
    assert page.text("#sample-place") == "p1216x832 · 2 of 30"
    assert page.text("#sample .winner") == "Photo 1: two dogs in the snow."
    assert page.text("#sample .why") == "caption_short is the first with a caption."
    assert page.find("#sample .crop img").get_attribute("alt") == "Photo 1: two dogs in the snow."
    said = facts(page)
    assert said["Lies at"] == "/data/photos/photo-0001.jpg"
    assert said["Source's SHA-256"] == sample.source_sha256
    assert said["Sizes"] == "3648 × 2596 → 1216 × 832, scaled by 0.333"
    assert said["Key"] == sample.key
    assert said["To print it"] == "dataset-assets show buckets/p1216x832/shard-000000.tar:1"
    assert page.texts("#sample pre") == ['{"image_id":"photos/photo-0001.jpg"}']


def test_the_crops_box_lies_where_it_is_in_the_source(page: Browser, tmp_path: Path) -> None:
    write_gallery_page(tmp_path, [replace(make_sample(0), box=(0.1, 0.25, 0.9, 0.75))])
    page.open(f"{(tmp_path / 'index.html').as_uri()}{link(0)}")
    page.wait("document.querySelector('.origin img').naturalWidth")
    frame, box = page.run(
        "return ['.origin .frame', '.origin .box'].map((name) => document.querySelector(name).getBoundingClientRect())"
    )
    assert (box["left"] - frame["left"]) / frame["width"] == pytest.approx(0.1, abs=0.01)
    assert (box["top"] - frame["top"]) / frame["height"] == pytest.approx(0.25, abs=0.01)
    assert box["width"] / frame["width"] == pytest.approx(0.8, abs=0.01)
    assert box["height"] / frame["height"] == pytest.approx(0.5, abs=0.01)
    assert page.text(".origin figcaption") == "The crop keeps 40 % of the source's 3072 × 3172"


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ((540, 700), "540 × 700"),
        ((700, 540), "540 × 700, which lies in its file as 700 × 540 and is turned by its EXIF"),
    ],
)
def test_a_source_that_is_passed_through_is_neither_cropped_nor_scaled(
    page: Browser, tmp_path: Path, stored: tuple[int, int], said: str
) -> None:
    sample = replace(
        make_sample(0), image_mode="passthrough_jpeg", quality=0, subsampling="source", src_w=540, src_h=700,
        w=stored[0], h=stored[1], bytes=98_000, box=(0.0, 0.0, 1.0, 1.0), scale=0.83,
    )  # fmt: skip
    page.open(f"{write_gallery_page(tmp_path, [sample]).as_uri()}{link(0)}")
    assert page.text(".crop figcaption") == f"As it is in the export: {said}, 98 kB"
    assert page.text(".origin figcaption") == "The export has the whole source: nothing is cropped"
    assert page.find_all(".origin .box") == []
    assert facts(page)["Sizes"] == f"{said}; nothing is scaled"
    assert "0.83" not in page.text("#sample")


def test_a_small_crop_is_shown_twice_as_large_and_no_larger(page: Browser, tmp_path: Path) -> None:
    sample = make_sample(0)
    write_gallery_page(tmp_path, [replace(sample, large=replace(sample.large, w=128, h=128), uri=sample.image_id)])
    page.open(f"{(tmp_path / 'index.html').as_uri()}{link(0)}")
    page.wait("document.querySelector('.crop img').naturalWidth")
    assert page.find(".crop img").size == {"width": 256, "height": 256}
    assert "Lies at" not in facts(page)


def test_a_source_that_is_gone_is_said(page: Browser, tmp_path: Path) -> None:
    write_gallery_page(tmp_path, [replace(make_sample(0), origin=None)])
    page.open(f"{(tmp_path / 'index.html').as_uri()}{link(0)}")
    assert page.text(".origin").endswith("The source cannot be read any more.")
    assert page.find_all(".origin img") == []


def test_every_caption_is_there_with_the_winner_marked_and_why_the_others_are_not(
    page: Browser, tmp_path: Path
) -> None:
    captions = [
        replace(
            make_said("caption_long", "I cannot.", status="refused"), findings=("too short",), detail="it will not"
        ),
        make_said("caption_short", "A boat.", won=True),
        replace(make_said("caption_title", "Old."), current=False, selector=None, cost=0.0, provider="", length=90),
    ]
    sample = replace(make_sample(0), captions=captions, text="A boat.", length=7)
    write_gallery_page(tmp_path, [sample])
    page.open(f"{(tmp_path / 'index.html').as_uri()}{link(0)}")
    texts = [element.text for element in page.find_all(".said")]
    assert page.texts(".said h4") == ["caption_long", "caption_short", "caption_title"]
    assert page.texts(".said.won h4") == ["caption_short"]
    assert page.texts(".said.won .tag") == ["in the export", "ok"]
    for words in ("refused", "cannot be selected", "served by somebody", "I cannot.", "it will not", "too short"):
        assert words in texts[0]
    assert "selector 0 · source 1 · 9 characters · $0.00042 · 2026-05-28 20:26 UTC" in texts[0]
    assert "of an older version of the image" in texts[2]
    assert "no selector takes it · source 2 · 90 characters · 2026" in texts[2]
    assert "The page has the first 4 of 90 characters." in texts[2]


def test_a_sample_without_a_caption_says_why(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}{link(2)}")
    assert page.text(".captions h3") == "No caption"
    assert page.text(".why") == "No selector has a usable caption."
    assert page.texts(".said.won") == []


def test_arrow_keys_turn_over_and_stop_at_the_ends(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}{link(0)}")
    assert page.find("#previous").get_property("disabled")
    page.press(Keys.ARROW_LEFT)
    assert page.text("#sample-place") == "p1024x1024 · 1 of 30"
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.text("#sample-place") == "p832x1216 · 3 of 30"
    assert page.run("return location.hash") == link(2)
    page.find("#next").click()
    assert page.text("#sample-place") == "p1024x1024 · 4 of 30"
    page.find("#previous").click()
    assert page.text("#sample-place") == "p832x1216 · 3 of 30"


def test_turning_over_stays_among_what_the_filters_leave(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}#samples?bucket=p1216x832&key={make_sample(1).key}")
    assert page.text("#sample-place") == "p1216x832 · 1 of 10"
    page.press(Keys.ARROW_RIGHT)
    assert page.text("#sample-name") == "photos/photo-0004.jpg"
    assert page.run("return location.hash") == f"#samples?bucket=p1216x832&key={make_sample(4).key}"


def test_escape_closes_and_gives_the_focus_to_the_sample_that_was_seen_last(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    page.run("document.querySelector('#grid a').focus()")
    page.press(Keys.ENTER)
    assert page.run(OPEN)
    assert page.run("return document.activeElement.id") == "close"
    page.press(Keys.ARROW_RIGHT)
    page.press(Keys.ESCAPE)
    page.wait("location.hash === '#samples'")
    assert not page.run(OPEN)
    assert page.run(FOCUS) == link(1)


def test_the_button_closes_and_gives_the_focus_back(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}{link(29)}")
    page.find("#close").click()
    assert not page.run(OPEN)
    assert page.run(FOCUS) == link(29)


def test_back_closes_and_forward_opens_again(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    page.find(f"#grid a[href='{link(3)}']").click()
    page.run("history.back()")
    page.wait("!document.getElementById('sample').open")
    page.run("history.forward()")
    page.wait("document.getElementById('sample').open")
    assert page.text("#sample-name") == "photos/photo-0003.jpg"


def test_a_sample_leads_to_those_that_look_like_it_and_back(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}{link(1)}")
    page.find(".facts a").click()
    assert not page.run(OPEN)
    assert page.run("return document.activeElement.id") == "group-1"
    page.find(f"#group-1 a[href$='{make_sample(1).key}']").click()
    assert page.text("#sample-name") == "photos/photo-0001.jpg"
    page.press(Keys.ESCAPE)
    page.wait("location.hash === '#near?at=1'")
    assert page.run(FOCUS) == f"#near?key={make_sample(1).key}"
