import base64
from io import BytesIO

import pytest
from PIL import Image

from dataset_assets.defs.pictures import cut, embed, show_picture, show_strip, tabulate
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


def test_hostile_texts_stay_in_their_cells() -> None:
    rows = [("<script>x</script>", "a | b\n| c |"), ("![x](javascript:y)", "z" * 1_000_000)]

    lines = tabulate(("one", "two"), rows).splitlines()

    assert lines[:2] == ["| one | two |", "| --- | --- |"]
    assert [line.count("|") for line in lines] == [3, 3, 3, 3]
    assert "<" not in "".join(lines)
    assert "](" not in "".join(lines)
    assert len(lines[3]) < 500


def test_pictures_stand_before_their_rows() -> None:
    pictures = [embed(file_of("PNG"), "first"), embed(file_of("PNG"), "second")]

    lines = tabulate(("name",), [("a",), ("b",)], pictures=pictures).splitlines()

    assert lines == ["|  | name |", "| --- | --- |", f"| {pictures[0]} | a |", f"| {pictures[1]} | b |"]


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
    assert text.split("\n\n")[1].splitlines() == [
        "| caption | variant | image |",
        "| --- | --- | --- |",
        "| a &#42;cat&#42; 猫 | caption&#95;x | &#60;a&#62;.jpg |",
        "|  |  | b.jpg |",
    ]
