from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from dataset_assets_tests.browser import Browser
from dataset_assets_tests.pages.shown import make_sample, write_gallery_page

pytestmark = pytest.mark.browser


def shown(page: Browser) -> list[str]:
    """Return the captions of the samples that are shown."""
    return page.texts("#grid .words")


def choose(page: Browser, name: str, value: str) -> None:
    Select(page.find(f"#filters [name={name}]")).select_by_value(value)
    page.wait(f"page.state.{name} === '{value}'")


def test_every_sample_has_a_tile_with_its_bucket_and_caption(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    assert page.text("#found") == "30 samples"
    assert page.text("#whole") == "· every sample of the export"
    assert len(shown(page)) == 30
    assert shown(page)[:3] == ["Photo 0: a red boat on a lake.", "Photo 1: two dogs in the snow.", "No caption"]
    assert page.texts("#grid code")[:3] == ["p1024x1024", "p1216x832", "p832x1216"]
    assert page.texts("#grid .tag") == ["alike", "alike"]


def test_samples_of_all_buckets_are_mixed_by_key_until_one_bucket_is_chosen(page: Browser, gallery: Path) -> None:
    numbers = "return grid.shown.map((sample) => sample.number)"
    page.open(gallery)
    assert page.run("return gather('samples').map((sample) => sample.number)")[:3] == [0, 3, 6]
    assert page.run(numbers) == list(range(30))
    choose(page, "bucket", "p1216x832")
    assert page.run(numbers) == list(range(1, 30, 3))
    assert set(page.texts("#grid code")) == {"p1216x832"}


def test_pictures_keep_their_shape_and_have_a_text(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    page.wait("document.querySelectorAll('#grid img')[2].naturalWidth")
    images = "return [...document.querySelectorAll('#grid img')].slice(0, 3)"
    assert page.run(f"{images}.map((image) => image.alt)") == [
        "Photo 0: a red boat on a lake.",
        "Photo 1: two dogs in the snow.",
        "photos/photo-0002.jpg",
    ]
    shapes = page.run(f"{images}.map((image) => image.clientWidth / image.clientHeight)")
    assert shapes == pytest.approx([1, 1216 / 832, 832 / 1216], rel=0.02)


def test_a_gallery_of_some_samples_says_of_how_many(page: Browser, tmp_path: Path) -> None:
    page.open(write_gallery_page(tmp_path, [make_sample(0)], exported=2_000_000, seen=2_000_000))
    assert page.text("#whole").startswith("· 1 of 2,000,000 shown")


def test_choices_say_how_many_samples_they_leave(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    assert page.texts("#filters [name=bucket] option") == [
        "all buckets",
        "p1024x1024 (10)",
        "p1216x832 (10)",
        "p832x1216 (10)",
    ]
    assert page.texts("#filters [name=variant] option")[1:] == [
        "caption_long (10)",
        "caption_short (10)",
        "no caption (10)",
    ]
    assert page.texts("#filters [name=status] option")[1:] == ["refused (30)", "ok (20)"]


def test_filters_narrow_together_and_are_in_the_address(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    choose(page, "bucket", "p1216x832")
    assert page.text("#found") == "10 of 30 samples"
    choose(page, "variant", "-")
    assert page.text("#found") == "0 of 30 samples"
    assert page.text("#none") == "No sample fits. Clear the filters"
    choose(page, "variant", "caption_short")
    assert page.text("#found") == "10 of 30 samples"
    choose(page, "status", "ok")
    page.find("#filters [name=q]").send_keys("TABLE bread")
    assert shown(page) == [f"Photo {number}: bread on a wooden table." for number in (7, 19)]
    assert page.run("return location.hash") == "#samples?bucket=p1216x832&variant=caption_short&status=ok&q=TABLE+bread"


def test_an_address_with_filters_shows_what_it_showed(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}#samples?variant=-&q=photo-0005")
    assert page.text("#found") == "1 of 30 samples"
    assert page.find("#filters [name=q]").get_attribute("value") == "photo-0005"
    assert page.find("#filters [name=variant]").get_attribute("value") == "-"


def test_clearing_shows_all_again(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}#samples?q=nothing+like+it")
    assert shown(page) == []
    page.find("#clear-none").click()
    assert len(shown(page)) == 30
    page.find("#filters [name=q]").send_keys("dogs")
    assert len(shown(page)) == 5
    page.find("#clear").click()
    assert len(shown(page)) == 30
    assert page.run("return location.hash") == "#samples"


def test_search_finds_captions_that_did_not_win_and_ids(page: Browser, tmp_path: Path) -> None:
    samples = [make_sample(number) for number in range(3)]
    page.open(write_gallery_page(tmp_path, samples))
    for words, number in (("photo-0001", 1), (samples[2].key[:20], 2), ("RED boat", 0)):
        page.find("#filters [name=q]").clear()
        page.find("#filters [name=q]").send_keys(words)
        assert page.run("return grid.shown.map((sample) => sample.key)") == [samples[number].key]


def test_arrow_keys_move_between_tiles(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    page.run("document.querySelector('#grid a').focus()")
    focused = "return [...document.querySelectorAll('#grid a')].indexOf(document.activeElement)"
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert page.run(focused) == 2
    page.press(Keys.ARROW_DOWN)
    below = page.run(focused)
    tops = page.run(
        "return [2, arguments[0]].map((index) => document.querySelectorAll('#grid a')[index].getBoundingClientRect())",
        below,
    )
    assert tops[0]["left"] == tops[1]["left"]
    assert tops[0]["top"] < tops[1]["top"]
    page.press(Keys.ARROW_UP, Keys.ARROW_LEFT)
    assert page.run(focused) == 1


def test_five_thousand_samples_are_all_there_and_only_those_in_view_are_asked_for(
    page: Browser, tmp_path: Path
) -> None:
    samples = [make_sample(number) for number in range(5_000)]
    paths = [f"pictures/{sample.key}.jpg" for sample in samples]
    samples = [replace(s, thumb=replace(s.thumb, path=path)) for s, path in zip(samples, paths, strict=True)]
    address = write_gallery_page(tmp_path, samples)
    for path in paths:
        (tmp_path / path).hardlink_to(tmp_path / "pictures" / "p1024x1024.jpg")

    page.open(address)
    page.wait("document.querySelectorAll('#grid li').length === 5000")
    page.wait("document.querySelector('#grid img').naturalWidth")
    assert len([asked for asked in page.requests if "/pictures/" in asked]) < 500
    page.run("scrollTo({ top: document.documentElement.scrollHeight, behavior: 'instant' })")
    page.wait("document.querySelector('#grid > ul:last-child > li:last-child img').naturalWidth")
    assert (
        page.run("return document.querySelector('#grid > ul:last-child > li:last-child').getBoundingClientRect().top")
        < 900
    )
    assert len([asked for asked in page.requests if "/pictures/" in asked]) < 1_000

    page.find("#filters [name=q]").send_keys("photo-4998")
    assert shown(page) == ["Photo 4998: an old tower at night."]
    page.find("#clear").click()
    page.wait("document.querySelectorAll('#grid li').length === 5000")
