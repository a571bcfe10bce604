import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.gallery.records import LeftOut, NearImage, Said, Sample
from dataset_assets.gallery.stage import write_gallery
from dataset_assets.pages.write import write_page
from dataset_assets.records import sample_key
from dataset_assets_tests.browser import PHONE, Browser
from dataset_assets_tests.datasets import LANDSCAPE, add_photo, build_library
from dataset_assets_tests.gallery.written import opened
from dataset_assets_tests.pages.shown import make_left_out, make_near, make_said, make_sample, write_gallery_page

pytestmark = pytest.mark.browser

HOSTILE = {
    "script": "<script>window.hacked = 1</script>",
    "image": "<img src=x onerror='window.hacked = 1'>",
    "end-of-script": "</script><script>window.hacked = 1</script><!--",
    "template": "${window.hacked = 1}{{constructor.constructor('window.hacked = 1')()}}",
    "quotes": 'a"b\'c`d\\e" onload="window.hacked = 1',
    "address": "javascript:window.hacked=1",
    "right-to-left": "\u202egnp.txe\u2067 \u05d0\u05d1\u05d2",
    "controls": "a\0b\x01c\x1b[31md\ufeff",
    "separators": "a\u2028b\u2029c\r\nd",
    "marks": "Z" + "\u0300" * 150,
    "names": "__proto__",
}
PLAIN = ("key", "bucket_id", "shard", "source_sha256", "subsampling", "image_mode", "status", "reason")


def fill(record: Any, text: str) -> Any:
    """Return a record with the text in every field that data can shape."""
    names = [field.name for field in fields(record) if isinstance(getattr(record, field.name), str)]
    return replace(record, **{name: text for name in names if name not in PLAIN})


def write_hostile(folder: Path, text: str) -> Path:
    said: Said = replace(fill(make_said("x", text, status="error"), text), findings=(text,))
    sample: Sample = replace(
        fill(make_sample(0), text), captions=(said, replace(said, won=True)), length=len(text), near=1
    )
    left_out: LeftOut = replace(fill(make_left_out(1), text), captions=(said,))
    group = make_near([sample, make_sample(1)])
    images: list[NearImage] = [fill(image, text) for image in group.images]
    return write_gallery_page(
        folder,
        [sample, make_sample(1)],
        left_out=[left_out],
        near=[replace(group, images=[replace(images[0], key=sample.key), *images[1:]])],
        name=text,
        export_id=text,
        created_at=text,
        format=text,
        priority=[text],
        drop_texts={"skipped_too_small": text},
        statuses={text: {"ok": 1}},
        selected={text: 1},
    )


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_texts_are_shown_as_texts_and_run_nothing(page: Browser, tmp_path: Path, text: str) -> None:
    index = write_hostile(tmp_path / 'it\'s #1 "50 %"?', text).as_uri()
    key = make_sample(0).key
    # An alternative text of a picture is an attribute; a title is trimmed. Everything else is the text of an element.
    page.open(f"{index}#{key}")
    assert page.texts("h1") == [text]
    assert page.texts("#sample-name") == [text]
    assert page.texts(".winner p") == [text]
    assert page.texts(".why") == [text]
    assert text in page.texts(".facts td")
    assert page.texts("#sample pre") == [text]
    assert page.texts(".said .detail") == [text, text]
    assert page.texts(".findings li") == [text, text]
    assert page.texts("#grid .words")[0] == text[:160]
    for view, selector in (("left-out", ".example .id"), ("near", ".example .id"), ("numbers", ".variant h4")):
        page.open(f"{index}#{view}")
        found = page.texts(selector) or page.texts("details.id")
        assert any(text[:80] in shown for shown in found)
        assert page.run("return window.hacked === undefined && ({}).ok === undefined")
    page.open(f"{index}#samples?q=hacked&bucket={text}&at={text}&key={text}")
    assert page.run("return window.hacked === undefined && document.scripts.length") == len(
        [path for path in tmp_path.rglob("*.js")]
    )


def test_a_direction_in_a_text_does_not_turn_what_is_beside_it(page: Browser, gallery: Path) -> None:
    page.open(gallery)
    left = page.run(
        """
        const line = make("p", {}, give("span", "\\u202e\\u05d0 turned"), make("b", {}, "beside"));
        document.body.append(line);
        return [...line.children].map((part) => part.getBoundingClientRect().left);
        """
    )
    assert left[0] < left[1]


def test_a_megabyte_of_text_is_cut_and_can_be_seen_whole(page: Browser, tmp_path: Path) -> None:
    text = "<b>word</b> " * 90_000
    index = write_hostile(tmp_path, text).as_uri()
    page.open(f"{index}#{make_sample(0).key}", size=PHONE)
    assert page.run("return document.getElementById('sample-body').scrollWidth") <= PHONE[0]
    assert len(page.texts(".winner p")[0]) == 601
    assert page.text(".winner button") == "Show all 1,080,000 characters"
    assert "The page has the first" not in page.text(".winner")
    page.run("document.querySelector('.winner button').click()")
    assert page.texts(".winner p") == [text]
    page.run("document.querySelector('.winner button').click()")
    assert len(page.texts(".winner p")[0]) == 601
    assert page.run("return document.title.length") < 200


def test_a_caption_that_the_build_cut_says_so_before_it_is_opened(page: Browser, tmp_path: Path) -> None:
    text = "🚤 word " * 10_000
    add_photo(tmp_path, "boat.jpg", LANDSCAPE, caption=text)
    add_photo(tmp_path, "lake.jpg", LANDSCAPE, seed=2, caption=text[:1_400])
    with opened(tmp_path) as dataset:
        build_library(dataset)
        write_gallery(dataset)
    index = (tmp_path / "out" / "gallery" / "index.html").as_uri()
    page.open(f"{index}#{sample_key('boat.jpg')}")
    assert page.text(".winner .quiet") == "The page has the first 20,000 of 69,999 characters."
    assert page.text(".winner button") == "Show these 20,000 characters"
    page.find(".winner button").click()
    assert page.texts(".winner p")[0] == text[:20_000]
    assert page.text(".winner button") == "Show less"
    assert page.text(".winner .quiet") == "The page has the first 20,000 of 69,999 characters."
    page.open(f"{index}#{sample_key('lake.jpg')}")
    assert page.text(".winner button") == "Show all 1,399 characters"
    assert page.find_all(".winner .quiet") == []


def test_half_a_character_does_not_stop_the_page(page: Browser, tmp_path: Path) -> None:
    index = write_hostile(tmp_path, "half \ud83d of it").as_uri()
    page.open(f"{index}#{make_sample(0).key}")
    assert page.run("return document.querySelector('.winner p').textContent === 'half \\ud83d of it'")


def test_what_python_wrote_is_what_the_page_gets(page: Browser, tmp_path: Path) -> None:
    value = {
        "texts": [*HOSTILE.values(), "\u2028\U0001f6a4"],
        "__proto__": {"ok": 1},
        "number": 1.5e-7,
        "nothing": None,
    }
    write_page(tmp_path, "gallery", {"overview": None, "given": value})
    page.open(tmp_path / "index.html")
    assert json.loads(page.run("return JSON.stringify(received.get('given'))")) == value
    assert page.run("return Object.getPrototypeOf(received.get('given')) === Object.prototype")
