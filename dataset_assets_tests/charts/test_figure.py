import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dataset_assets.charts.figure import BAR, draw, draw_nothing, say

HOSTILE = (
    "$x^2$ and $\\frac{1}{2}$", "$", "\\$", "تسمية عربية", "עברית\u202e", "日本語", "😀\U0001f9d1\u200d\U0001f680",
    "e\u0301\u0323", "a\nb\tc\x00", "\ud800", "x" * 1_000_000, "<script>alert(1)</script>", "",
)  # fmt: skip


def paint(figure: Figure) -> None:
    axes = figure.subplots()
    axes.set_title(say("a title of $5"))
    axes.bar([1, 2], [3, 4], color=BAR)


@pytest.fixture
def settings() -> Iterator[None]:
    """What a person has in a matplotlibrc."""
    with mpl.rc_context({"figure.facecolor": "black", "font.size": 20, "axes.grid": True, "axes.spines.top": True}):
        yield


def opened(drawn: bytes) -> Image.Image:
    return Image.open(BytesIO(drawn))


def test_a_chart_is_a_png_of_the_size_that_was_asked_for() -> None:
    picture = opened(draw(paint, height=2))

    assert (picture.format, picture.size, picture.mode) == ("PNG", (896, 256), "P")
    assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert opened(draw(paint, height=1, width=10)).size == (1280, 128)


def test_the_colours_are_as_many_as_asked_for() -> None:
    for most in (2, 16, 64):
        colours = opened(draw(paint, height=2, colours=most)).convert("RGB").getcolors()
        assert colours is not None
        assert len(colours) == most


@pytest.mark.usefixtures("settings")
def test_a_persons_settings_change_nothing_and_are_left_as_they_are() -> None:
    code = "import sys; from dataset_assets_tests.charts.test_figure import draw, paint; "
    alone = subprocess.run(
        [sys.executable, "-c", code + "sys.stdout.buffer.write(draw(paint, height=2))"], capture_output=True, check=True
    )

    assert draw(paint, height=2) == alone.stdout
    assert mpl.rcParams["figure.facecolor"] == "black"
    assert mpl.rcParams["font.size"] == 20


def test_threads_draw_what_one_draws() -> None:
    alone = draw(paint, height=2)

    with ThreadPoolExecutor(4) as threads:
        drawn = list(threads.map(lambda _: draw(paint, height=2), range(8)))

    assert set(drawn) == {alone}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_can_be_drawn(text: str) -> None:
    def write(figure: Figure) -> None:
        figure.subplots().set_title(say(text))

    assert opened(draw(write, height=1)).size == (896, 128)


def test_a_dollar_is_a_dollar() -> None:
    def pixels(title: str) -> bytes:
        def write(figure: Figure) -> None:
            figure.subplots().set_title(say(title))

        return draw(write, height=1)

    assert pixels("$x$") != pixels("x")
    assert say("$x$ \\$") == "$x$ \\$"


def test_a_text_is_one_line_of_characters_that_the_font_has() -> None:
    assert say("a\n\tb\x00c\u202ed") == "a b c d"
    assert say("日本 fox") == "□□ fox"
    assert say("cafe\u0301") == "café"
    assert say("\ud800") == ""


def test_a_long_text_is_cut() -> None:
    assert say("x" * 41) == "x" * 39 + "…"
    assert say("x" * 40) == "x" * 40
    assert say("fox " * 100, 7) == "fox fo…"


def test_nothing_is_said_in_a_picture() -> None:
    drawn = draw_nothing("Captions", "There is no caption.")

    assert opened(drawn).size == (896, 153)
    assert drawn != draw_nothing("Captions", "")


def test_matplotlib_is_imported_only_to_draw() -> None:
    code = (
        "import sys, dataset_assets.charts.dataset, dataset_assets.trainer.output.plot, dataset_assets.status, "
        "dataset_assets.release.publish, dataset_assets.cli; sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
