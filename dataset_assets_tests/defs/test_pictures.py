import base64
from io import BytesIO

import pytest
from PIL import Image

from dataset_assets.defs.pictures import caption_lines, cut, embed, quote, show_picture, show_strip
from dataset_assets.previews.strip import Band, Strip, Tile

SQUARE = Image.new("RGB", (8, 8), (200, 10, 10))


def file_of(kind: str) -> bytes:
    file = BytesIO()
    SQUARE.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_comes_out_as_it_went_in(kind: str) -> None:
    picture = file_of(kind)

    text = show_picture(picture, "a [red] square").value

    assert text is not None
    head, data = text.removesuffix(")").split(",")
    assert head == f"![a &#91;red&#93; square](data:image/{kind.lower()};base64"
    assert base64.b64decode(data) == picture


HOSTILE = [
    "<script>x</script>",
    "a | b\n| c |",
    "![x](javascript:y) http://evil.example/x.png) www.evil.example a@evil.example",
    "```\n[out](http://evil.example) ````",
    "&#41; &lt;b&gt;",
]


def test_hostile_texts_stay_in_their_block_and_are_themselves() -> None:
    (block,) = quote(HOSTILE)

    first, *lines, last = block.splitlines()
    assert (first, last) == ("`````text", "`````")
    assert lines == [" ".join(text.split()) for text in HOSTILE]


def test_without_texts_there_is_no_block() -> None:
    assert quote([]) == []


def test_a_long_caption_is_cut_and_runs_over_several_lines() -> None:
    name, *lines = caption_lines("n" * 1_000, "caption_x", "z" * 1_000_000)

    assert name == "n" * 100 + "… · caption_x"
    assert "".join(lines) == "z" * 300 + "…"
    assert max(map(len, lines)) <= 84


def test_what_is_said_of_a_picture_is_cut() -> None:
    assert embed(file_of("PNG"), "(" * 4_000).startswith("![" + "&#40;" * 100 + "…](data:image/png")


def test_a_long_text_ends_in_an_ellipsis() -> None:
    assert cut("x" * 300) == "x" * 300
    assert cut("x" * 301) == "x" * 300 + "…"


def test_a_strip_without_captions_is_a_picture_alone() -> None:
    picture = file_of("JPEG")
    band = Band(title="p1024x1024", facts="2 crops", tiles=[Tile(image_id="a", jpeg=picture)])

    text = show_strip(Strip(picture=picture, bands=[band])).value

    assert text == embed(picture, "A few crops of p1024x1024 (2 crops)")


def test_below_a_strip_are_its_captions_as_text() -> None:
    picture = file_of("JPEG")
    tiles = [
        Tile(image_id="<a>.jpg", jpeg=picture, caption="a *cat* 猫", variant="caption_x"),
        Tile(image_id="b.jpg", jpeg=picture, caption=""),
    ]

    text = show_strip(Strip(picture=picture, bands=[Band(title="t", facts="f", tiles=tiles)])).value

    assert text is not None
    picture_of, _, block = text.partition("\n\n")
    assert picture_of == embed(picture, "A few crops of t (f)")
    assert block.splitlines() == [
        "```text",
        "<a>.jpg · caption_x",
        "a *cat* 猫",
        "",
        "b.jpg · no caption",
        "```",
    ]
