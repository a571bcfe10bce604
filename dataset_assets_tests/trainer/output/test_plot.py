from collections import Counter

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dataset_assets.trainer.merge.tally import BIN, BINS, Tally
from dataset_assets.trainer.output.plot import draw_report, paint_report
from dataset_assets.trainer.output.report import describe


def painted(tally: Tally, title: str) -> tuple[Figure, Axes, Axes]:
    figure = Figure()
    paint_report(figure, describe(tally, {}, {}), title)
    sources, lengths = figure.axes
    return figure, sources, lengths


def test_the_plot_is_a_png_and_the_same_each_time() -> None:
    report = describe(Tally(ids=5, sources=Counter(tags=2, summary=3)), {}, {})
    drawn = draw_report(report, "foxes")
    assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
    assert draw_report(report, "foxes") == drawn
    assert draw_report(describe(Tally(), {}, {}), "nothing").startswith(b"\x89PNG")


def test_the_plot_shows_every_source_and_every_length() -> None:
    tally = Tally(ids=1_005, sources=Counter(tags=5, summary=1_000))
    tally.lengths[[1, 15, BINS - 1]] = 700, 300, 5
    figure, sources, lengths = painted(tally, "foxes")
    assert [label.get_text() for label in sources.get_yticklabels()] == ["summary", "tags"]
    assert [bar.get_width() for bar in sources.patches] == [1_000, 5]  # type: ignore[attr-defined]
    assert {"1,000", "5"} <= {text.get_text() for text in sources.texts}
    bars = {bar.get_x(): bar.get_height() for bar in lengths.patches if bar.get_height()}  # type: ignore[attr-defined]
    assert bars == {BIN: 700, 15 * BIN: 300, (BINS - 1) * BIN: 5}
    assert len(lengths.patches) == BINS
    assert [line.get_xdata()[0] for line in lengths.lines] == [75, 150, 225]  # type: ignore[index]
    assert figure.get_suptitle() == "foxes: 1,005 ids"


def test_a_title_may_be_any_text() -> None:
    title = "$x$ \u202e日本" + "x" * 1_000_000
    tally = Tally(ids=1, sources=Counter(tags=1))
    figure, *_ = painted(tally, title)
    assert figure.get_suptitle() == "$x$ □□" + "x" * 73 + "…: 1 ids"
    assert draw_report(describe(tally, {}, {}), title).startswith(b"\x89PNG")
