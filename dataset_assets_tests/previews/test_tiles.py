import pytest
from PIL import Image

from dataset_assets.previews.tiles import find_font, make_paper, shrink_crop, stack_strips, wrap_text
from dataset_assets_tests import photos

FONT = find_font(13)


@pytest.mark.parametrize(
    ("size", "shrunk"), [((400, 200), (100, 50)), ((200, 400), (50, 100)), ((100, 100), (100, 100)), ((8, 9), (8, 9))]
)
def test_a_crop_keeps_its_shape_and_is_never_enlarged(size: tuple[int, int], shrunk: tuple[int, int]) -> None:
    assert shrink_crop(photos.jpeg(*size), 100).size == shrunk


def test_a_text_is_broken_at_its_spaces_and_fits() -> None:
    text = "one two three four five six seven"

    lines = wrap_text(text, FONT, 60, lines=9)

    assert " ".join(lines) == text
    assert max(FONT.getlength(line) for line in lines) <= 60
    assert len(lines) > 2


def test_what_does_not_fit_ends_in_an_ellipsis() -> None:
    lines = wrap_text("many words " * 20, FONT, 60, lines=2)

    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert FONT.getlength(lines[1]) <= 60


def test_a_word_that_is_too_wide_is_broken_anywhere() -> None:
    lines = wrap_text("W" * 20, FONT, 50, lines=20)

    assert "".join(lines) == "W" * 20
    assert max(FONT.getlength(line) for line in lines) <= 50


@pytest.mark.parametrize("text", ["", " \n\t", "\u0301", "\u202e\x00"])
def test_what_shows_nothing_has_no_line(text: str) -> None:
    assert wrap_text(text, FONT, 60, lines=2) == []


def test_strips_are_stacked_in_order() -> None:
    red, blue = (Image.new("RGB", (20, height), colour) for height, colour in ((5, (255, 0, 0)), (7, (0, 0, 255))))

    sheet = stack_strips([red, make_paper(20, 3)[0], blue])

    assert sheet.size == (20, 15)
    assert [sheet.getpixel((1, row)) for row in (0, 4, 8, 14)] == [(255, 0, 0), (255, 0, 0), (0, 0, 255), (0, 0, 255)]
