import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from dataset_assets_tests.browser import PHONE, Browser
from dataset_assets_tests.pages.shown import make_sample, write_gallery_page

pytestmark = pytest.mark.browser
VIEWS = ("#samples", "#left-out", "#near", "#numbers", f"#{make_sample(4).key}")


def test_the_header_says_what_it_is_and_how_the_counts_add_up(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    assert page.text("h1") == "Photographs"
    assert "0123456789abcdef · 2026-11-20 19:42 UTC · webdataset-jpg-txt-json-1" in page.text("#facts")
    assert page.texts(".term dd") == ["78", "=30", "+40", "+7", "+1"]
    assert page.texts(".term dt") == ["seen", "exported", "too small", "duplicate", "decode errors"]
    assert page.find_all(".sum .note") == []


def test_counts_that_do_not_add_up_are_said(page: Browser, tmp_path: Path) -> None:
    page.open(write_gallery_page(tmp_path, [make_sample(0)], seen=5))
    assert page.text(".sum .note") == "These do not add up: they are 1 together."


def test_views_are_reached_by_their_links_and_back_again(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    assert page.texts("#views a") == ["Samples 30", "Left out 48", "Near-duplicates 1", "Numbers"]
    page.find("#views a[data-view=left-out]").click()
    page.wait("!document.getElementById('view-left-out').hidden")
    assert page.text("main section:not([hidden]) h2") == "Left out"
    assert page.text("#views [aria-current]") == "Left out 48"
    page.run("history.back()")
    page.wait("!document.getElementById('view-samples').hidden")
    assert page.text("#views [aria-current]") == "Samples 30"


def test_a_reason_in_the_header_leads_to_its_examples(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    page.run("document.querySelectorAll('.term a')[3].click()")
    assert page.run("return location.hash") == "#left-out?at=decode_errors"
    assert page.run("return document.activeElement.id") == "reason-decode_errors"


def test_an_address_that_says_nonsense_shows_the_samples(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}#samples?bucket=none&q=%E0%A4%A&x=1")
    assert page.text("#none").startswith("No sample fits. The export has no bucket none. ")
    assert page.run("return document.querySelector('[name=bucket]').selectedOptions[0].text") == "none (0)"
    page.find("#clear-none").click()
    assert page.text("#found") == "30 samples"
    assert page.run("return document.querySelector('[name=bucket]').selectedOptions[0].text") == "all buckets"
    assert "none (0)" not in page.texts("[name=bucket] option")
    page.open(f"{gallery.as_uri()}#%E0%A4%A")
    assert "not among those" in page.text("#notice")


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("variant=caption_other", "No sample that is shown has a caption of caption_other."),
        ("status=lost", "No sample that is shown has a caption with the status lost."),
        ("variant=-", "Every sample that is shown has a caption."),
    ],
)
def test_a_filter_that_nothing_has_is_said(page: Browser, tmp_path: Path, filters: str, said: str) -> None:
    page.open(f"{write_gallery_page(tmp_path, [make_sample(0)]).as_uri()}#samples?{filters}")
    assert page.text("#none").startswith(f"No sample fits. {said} ")


@pytest.mark.parametrize("digits", [8, 9, 64])
def test_eight_digits_of_a_key_are_enough_as_for_the_command(page: Browser, gallery: Path, digits: int) -> None:
    page.open(f"{gallery.as_uri()}#{make_sample(12).key[:digits].upper()}")
    assert page.text("#sample-name") == "photos/photo-0012.jpg"
    page.find("#next").click()
    assert page.run("return location.hash") == f"#{make_sample(13).key}"


def test_fewer_digits_are_no_key_and_several_keys_no_sample(page: Browser, tmp_path: Path) -> None:
    samples = [replace(make_sample(number), key=f"00000000{number}".ljust(64, "0")) for number in range(3)]
    address = write_gallery_page(tmp_path, samples).as_uri()
    page.open(f"{address}#0000000")
    assert page.text("#notice") == "This sample is not among those that the gallery shows: 0000000"
    page.open(f"{address}#00000000")
    assert page.text("#notice") == "3 samples have a key that begins so: 00000000"
    assert not page.run("return document.getElementById('sample').open")


def test_a_key_that_is_not_shown_is_said(page: Browser, gallery: Path) -> None:
    page.open(f"{gallery.as_uri()}#{'a' * 64}")
    assert page.text("#notice") == f"This sample is not among those that the gallery shows: {'a' * 64}"
    assert not page.run("return document.getElementById('sample').open")


def test_an_export_of_nothing_has_a_page(page: Browser, tmp_path: Path) -> None:
    address = write_gallery_page(tmp_path, [], near_groups=None, near_images=None).as_uri()
    for view in VIEWS[:4]:
        page.open(address + view)
        assert page.text("main section:not([hidden])") != ""
    page.open(f"{address}#near")
    assert page.text("#near-box").startswith("Nobody looked")
    page.open(f"{address}#left-out")
    assert page.text("#left-out-box") == "Every image that was seen is exported."


def test_a_page_without_its_data_says_so(browser: Browser, gallery: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(gallery.parent, tmp_path / "copy"))
    shutil.rmtree(copy / "data")
    browser.open(copy / "index.html")
    assert "data is not there" in browser.text("main")


def test_colours_follow_the_system_until_a_person_chooses(page: Browser, gallery: Path) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    page.open(gallery, dark=True)
    assert page.run(ground) == "rgb(22, 22, 22)"
    page.prefer("light")
    assert page.run(ground) == "rgb(246, 246, 245)"
    page.find("[data-toggle-theme]").click()
    assert page.run(ground) == "rgb(22, 22, 22)"
    assert page.find("[data-toggle-theme]").get_attribute("aria-label") == "Change to light colours"
    page.open(gallery)
    assert page.run(ground) == "rgb(22, 22, 22)"
    page.find("[data-toggle-theme]").click()
    assert page.run(ground) == "rgb(246, 246, 245)"


def test_the_skip_link_leads_past_the_header(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    page.press(Keys.TAB, Keys.ENTER)
    assert page.run("return document.activeElement.id") == "main"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("view", VIEWS, ids=["samples", "left-out", "near", "numbers", "sample"])
def test_axe_finds_no_serious_fault(page: Browser, gallery: Path, view: str, dark: bool) -> None:
    page.open(gallery.as_uri() + view, dark=dark)
    assert page.run("return isDark()") == dark
    assert page.faults() == []


@pytest.mark.parametrize("view", VIEWS, ids=["samples", "left-out", "near", "numbers", "sample"])
def test_nothing_is_wider_than_a_phone(page: Browser, gallery: Path, view: str) -> None:
    page.open(gallery.as_uri() + view, size=PHONE)
    assert page.run("return document.documentElement.scrollWidth") == PHONE[0]
    assert page.run("return document.getElementById('sample').scrollWidth") <= PHONE[0]
    assert page.faults() == []
