import base64
from io import BytesIO

import pytest
from PIL import Image

from dataset_assets.defs.pictures import embed, show_picture, show_strip
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


def test_what_is_said_of_a_picture_is_cut() -> None:
    assert embed(file_of("PNG"), "(" * 4_000).startswith("![" + "&#40;" * 100 + "…](data:image/png")


def test_a_strip_without_captions_is_a_picture_alone() -> None:
    picture = file_of("JPEG")
    band = Band(title="p1024x1024", facts="2 crops", tiles=[Tile(image_id="a", jpeg=picture)])

    shown = show_strip("seen", Strip(picture=picture, bands=[band]))

    assert list(shown) == ["seen"]
    assert shown["seen"].value == embed(picture, "A few crops of p1024x1024 (2 crops)")


def test_below_a_strip_are_its_captions_as_text() -> None:
    picture = file_of("JPEG")
    tiles = [
        Tile(image_id="<a>.jpg", jpeg=picture, caption="a *cat* 猫", variant="caption_x"),
        Tile(image_id="b.jpg", jpeg=picture, caption=""),
    ]

    text = show_strip("seen", Strip(picture=picture, bands=[Band(title="t", facts="f", tiles=tiles)]))["seen"].value

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


def test_without_a_strip_there_is_no_entry() -> None:
    assert show_strip("seen", None) == {}
