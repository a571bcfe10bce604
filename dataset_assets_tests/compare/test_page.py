import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dataset_assets.compare.page import check_folder, write_comparison
from dataset_assets.errors import StorageError
from dataset_assets.pages.write import find_data
from dataset_assets_tests.browser import PHONE, Browser
from dataset_assets_tests.compare.pairs import add_sample, compare_whole, draw, remove_sample, say, write_pair
from dataset_assets_tests.exports import SQUARE_0, SQUARE_1, Draft, edit_manifest

HOSTILE = '<img src=x onerror="window.hit=1"></script><script>window.hit=1</script>\u202e</p>{{7*7}}'
EVERYTHING = {"images": {"quality": 90}, "shards": {"shard_size": 3}}


def change_everything(draft: Draft) -> None:
    add_sample(draft, f"{HOSTILE}.png")
    remove_sample(draft, "c.png")
    say(draft, "a.png", f"a round {HOSTILE} square, α")
    draft.fields("b.png", caption_variant=HOSTILE)


def read_page(folder: Path) -> Any:
    (path,) = find_data(folder)
    text = path.read_text(encoding="utf-8")
    return json.loads(text.removeprefix('receive("compare",').removesuffix(");\n"))


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, *edits: Any, **settings: Any) -> Path:
    """Write the page of two exports that differ and return its folder."""
    first, second = write_pair(folder, *edits, **settings)
    write_comparison(folder / "page", compare_whole(first, second))
    return folder / "page"


def test_a_page_has_the_comparison_and_its_pictures(tmp_path: Path) -> None:
    page = write(tmp_path, lambda draft: draw(draft, "a.png", optimize=True))

    data = read_page(page)
    (example,) = data["examples"]["image"]
    pictures = {example[side]["picture"]["path"] for side in "ab"}
    assert data["counts"]["changed"] == 1
    assert {name for name in files_in(page) if name.startswith("pictures/")} == pictures
    for path in pictures:
        with Image.open(page / path) as picture:
            assert picture.size == (64, 64)


def test_pictures_are_small(tmp_path: Path) -> None:
    page = write(tmp_path, lambda draft: say(draft, "a.png", "b"))
    first, second = tmp_path / "a", tmp_path / "b"
    compared = compare_whole(first, second)
    large = tmp_path / "large.jpg"
    Image.new("RGB", (3000, 1500)).save(large)
    jpegs = dict.fromkeys(compared.jpegs, large.read_bytes())

    write_comparison(page, compared._replace(jpegs=jpegs))

    side = read_page(page)["examples"]["caption"][0]["a"]
    assert (side["picture"]["w"], side["picture"]["h"]) == (480, 240)


def test_a_jpeg_that_is_none_costs_a_picture(tmp_path: Path) -> None:
    def edit(draft: Draft) -> None:
        members = draft.sample("a.png")
        members[0] = (members[0][0], b"\xff\xd8\xff no JPEG at all")

    page = write(tmp_path, edit)

    (example,) = read_page(page)["examples"]["image"]
    assert example["a"]["picture"] is not None
    assert example["b"]["picture"] is None


def test_a_page_that_is_written_again_has_no_pictures_too_many(tmp_path: Path) -> None:
    page = write(tmp_path, lambda draft: draw(draft, "a.png", optimize=True))
    (page / "pictures/mine.jpg").write_bytes(b"of a user")
    before = files_in(page)

    write_comparison(page, compare_whole(tmp_path / "a", tmp_path / "a"))

    assert {name for name in files_in(page) if name.startswith("pictures/")} == {"pictures/mine.jpg"}
    assert {name for name in before if not name.startswith(("pictures/", "data/"))} <= files_in(page)
    assert [name for name in files_in(page) if name.startswith("data/")] == [f"data/{find_data(page)[0].name}"]


def test_a_page_that_is_written_again_from_the_same_keeps_its_files(tmp_path: Path) -> None:
    page = write(tmp_path, lambda draft: draw(draft, "a.png", optimize=True))
    before = {name: (page / name).stat().st_mtime_ns for name in files_in(page)}

    write_comparison(page, compare_whole(tmp_path / "a", tmp_path / "b"))

    assert {name: (page / name).stat().st_mtime_ns for name in files_in(page)} == before


def test_new_empty_and_own_folders_are_taken(tmp_path: Path) -> None:
    page = write(tmp_path)
    exports = (tmp_path / "a", tmp_path / "b")
    (tmp_path / "empty").mkdir()

    for folder in (tmp_path / "new/below", tmp_path / "empty", page):
        check_folder(folder, exports)
    (page / "index.html").unlink()
    check_folder(page, exports)


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "index.html", "pictures/holiday.jpg", "data/words.js", "data/compare.mine.js", "data/compare.csv"],
)
def test_a_folder_with_files_of_a_user_is_refused(tmp_path: Path, name: str) -> None:
    page = write(tmp_path)
    (page / "index.html").unlink()
    (page / name).parent.mkdir(exist_ok=True)
    (page / name).write_text("<title>mine</title>")

    with pytest.raises(StorageError, match="is not empty and no page of a comparison"):
        check_folder(page, (tmp_path / "a", tmp_path / "b"))


@pytest.mark.parametrize("name", ["a", "b/page", "b/../a/buckets"])
def test_a_folder_in_an_export_is_refused(tmp_path: Path, name: str) -> None:
    first, second = write_pair(tmp_path)

    with pytest.raises(StorageError, match="where nothing else may be"):
        check_folder(tmp_path / name, (first, second))


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_shows_every_number_and_example(tmp_path: Path, browser: Browser, dark: bool) -> None:
    page = write(tmp_path, change_everything, **EVERYTHING)
    data = read_page(page)

    browser.open(page / "index.html", dark=dark)

    assert browser.texts("#sum dd") == [str(data["counts"][name]) for name in ("same", "changed", "added", "removed")]
    assert browser.texts("#settings tbody td, #settings tbody th")[:3] == ["image_codec.quality", "95", "90"]
    for kind, examples in data["examples"].items():
        assert browser.texts(f"#kind-{kind} article > h4") == [one["image_id"] for one in examples]
    assert browser.run("return [...document.images].every((image) => image.alt)")
    browser.wait("[...document.images].filter((image) => image.complete && image.naturalWidth).length >= 2")
    assert browser.faults() == []
    assert browser.errors == []
    assert all(address.startswith(("file:", "data:", "about:")) for address in browser.requests)


@pytest.mark.browser
def test_words_that_differ_are_marked_and_hostile_texts_are_text(tmp_path: Path, browser: Browser) -> None:
    page = write(tmp_path, change_everything, **EVERYTHING)

    browser.open(page / "index.html")

    captions = browser.texts("#kind-caption .caption")
    assert captions == ["a square, α", f"a round {HOSTILE} square, α"]
    assert browser.texts("#kind-caption del") == []
    assert browser.texts("#kind-caption ins") == [f"round {HOSTILE} "]
    assert f"{HOSTILE}.png" in browser.texts("#kind-added h4")
    assert HOSTILE in browser.texts("#variants td")
    assert browser.run("return window.hit === undefined && !document.querySelector('img[src=x]')")
    assert browser.errors == []


@pytest.mark.browser
def test_a_link_to_a_kind_leads_there_and_a_phone_is_wide_enough(tmp_path: Path, browser: Browser) -> None:
    page = write(tmp_path, change_everything, **EVERYTHING)

    browser.open(f"{(page / 'index.html').as_uri()}#kind-added", size=PHONE)

    assert browser.run("return document.getElementById('kind-added').getBoundingClientRect().top < innerHeight")
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.faults() == []


@pytest.mark.browser
def test_a_long_caption_scrolls_and_says_that_it_is_cut_off(tmp_path: Path, browser: Browser) -> None:
    page = write(tmp_path, lambda draft: say(draft, "a.png", "word " * 9_999 + "end"))

    browser.open(page / "index.html")

    assert "The page has the first 20,000 of 49,998 characters." in browser.text("#kind-caption")
    assert browser.faults() == []


@pytest.mark.browser
def test_of_a_cut_off_caption_a_cat_counts_as_one_character(tmp_path: Path, browser: Browser) -> None:
    page = write(tmp_path, lambda draft: say(draft, "a.png", "🐈 " * 15_000 + "end"))

    browser.open(page / "index.html")

    assert "The page has the first 20,000 of 30,003 characters." in browser.text("#kind-caption")


@pytest.mark.browser
def test_caption_sources_are_counted_where_they_differ(tmp_path: Path, browser: Browser) -> None:
    first, second = write_pair(tmp_path, lambda draft: say(draft, "a.png", "other"))
    write_comparison(tmp_path / "page", compare_whole(first, second))
    browser.open(tmp_path / "page/index.html")
    assert browser.find_all("#sources") == []

    edit_manifest(second, lambda manifest: manifest["caption_sources"]["1"].update(model="vlm"))
    write_comparison(tmp_path / "page", compare_whole(first, second))
    browser.open(tmp_path / "page/index.html")
    assert browser.texts("#sources tbody tr") == ["in both1", "only in A1", "only in B1"]
    assert browser.errors == []


@pytest.mark.browser
@pytest.mark.parametrize("part", ["%", "%E0%A4%A", "kind-none"])
def test_an_address_that_names_nothing_leads_to_the_whole_page(tmp_path: Path, browser: Browser, part: str) -> None:
    page = write(tmp_path)

    browser.open(f"{(page / 'index.html').as_uri()}#{part}")

    assert browser.text(".verdict") == "The samples are the same."
    assert browser.errors == []


@pytest.mark.browser
def test_a_page_without_its_data_says_so(tmp_path: Path, browser: Browser) -> None:
    page = write(tmp_path)
    shutil.rmtree(page / "data")

    browser.open(page / "index.html")

    assert browser.text("#main .note") == "The page's data is not there: it lies in the folder data beside it."
    assert [error for error in browser.errors if "TypeError" in error] == []


@pytest.mark.browser
def test_exports_that_are_the_same_say_so(tmp_path: Path, browser: Browser) -> None:
    page = write(tmp_path)

    browser.open(page / "index.html")

    assert browser.text(".verdict") == "The samples are the same."
    assert browser.text("#shown") == "Nothing differs."
    assert browser.faults() == []
    assert browser.errors == []


@pytest.mark.browser
def test_a_sample_that_is_only_moved_has_both_tars(tmp_path: Path, browser: Browser) -> None:
    page = write(tmp_path, lambda draft: draft.tars[SQUARE_1].append(remove_sample(draft, "b.png")))

    browser.open(page / "index.html")

    assert browser.texts("#kind-moved .where .mono") == [SQUARE_0, SQUARE_1]
