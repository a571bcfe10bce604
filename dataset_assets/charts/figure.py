"""How every chart looks, and how it becomes a PNG. Matplotlib is imported only to draw: it takes a third of a second.

The same numbers give the same bytes with the same releases of matplotlib and Pillow, whatever a matplotlibrc says.
"""

from collections.abc import Callable, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from unicodedata import category, normalize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, RULE = "#222428", "#76797f", "#d8d8d4"
BAR, REST, LIMIT = "#4c78a8", "#c9c8bf", "#b5482f"
WIDTH = 7.0  # inches: at 100 dots an inch, in a card or a page, texts are as large as the text around them

_DOTS = 128  # an inch
COLOURS = 16  # of a PNG's palette: nobody sees a difference to all, and it has a third of the bytes
_LONGEST = 40  # characters of a text
_LACKING = "\u25a1"  # an empty square, in place of a character that the font has not
_STYLE: Mapping[Any, Any] = {
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a $ in a name is a $
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
_DRAWING = Lock()  # matplotlib's settings are the process's, and its fonts are not safe to use from two threads


def draw(paint: "Callable[[Figure], None]", *, height: float, width: float = WIDTH, colours: int = COLOURS) -> bytes:
    """Return what `paint` puts on a figure of this size, inches, as a PNG of so many colours."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _DRAWING, mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height), dpi=_DOTS, layout="constrained")
        canvas: Any = FigureCanvasAgg(figure)
        paint(figure)
        canvas.draw()
        return _compress(canvas.buffer_rgba(), colours)


def draw_nothing(title: str, said: str) -> bytes:
    """Return a chart that says why it shows nothing."""

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_title(title)
        axes.text(0, 0.6, said, color=GREY, transform=axes.transAxes)

    return draw(paint, height=1.2)


def say(text: str, longest: int = _LONGEST) -> str:
    """Return `text` as the font can write it, on one line of at most `longest` characters.

    Control characters, and those that turn the direction of a text, become spaces.
    """
    clean = "".join(" " if category(char)[0] in "CZ" else char for char in normalize("NFC", text[: 8 * longest]))
    clean = " ".join(clean.split())
    there = _characters()
    shown = "".join(char if ord(char) in there else _LACKING for char in clean)
    return shown if len(shown) <= longest else shown[: longest - 1] + "\u2026"


def count_along(axes: "Axes", along: str) -> None:
    """Show counts along the axis `along`, x or y: thousands apart, whole numbers, a line across the axes at each."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axis: Any = axes.xaxis if along == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(visible=True, axis="x" if along == "x" else "y")


@cache
def _characters() -> frozenset[int]:
    """Return the characters of the font that matplotlib brings."""
    import matplotlib as mpl
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"))
    return frozenset(font.get_charmap())


def _compress(pixels: Any, colours: int) -> bytes:
    """Return pixels, (height, width, 4) uint8, as a PNG with a palette."""
    from PIL import Image

    height, width, _ = pixels.shape
    image = Image.frombuffer("RGBA", (width, height), pixels, "raw", "RGBA", 0, 1).convert("RGB")
    palette = image.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    file = BytesIO()
    palette.save(file, "PNG", optimize=True)
    return file.getvalue()
