from collections import Counter
from typing import Any

import pytest
from matplotlib.figure import Figure

from dataset_assets.trainer.merge.tally import BIN, BINS, Tally
from dataset_assets.trainer.output.plot import draw_report
from dataset_assets.trainer.output.report import describe


def test_the_plot_is_a_png_and_the_same_each_time() -> None:
    report = describe(Tally(ids=5, sources=Counter(tags=2, summary=3)), {}, {})
    drawn = draw_report(report, "foxes")
    assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
    assert draw_report(report, "foxes") == drawn
    assert draw_report(describe(Tally(), {}, {}), "nothing").startswith(b"\x89PNG")


def test_the_plot_shows_every_source_and_every_length(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    save = Figure.savefig

    def keep(figure: Figure, *given: Any, **more: Any) -> None:
        drawn.append(figure)
        save(figure, *given, **more)

    monkeypatch.setattr(Figure, "savefig", keep)
    tally = Tally(ids=1_005, sources=Counter(tags=5, summary=1_000))
    tally.lengths[[1, 15, BINS - 1]] = 700, 300, 5
    draw_report(describe(tally, {}, {}), "foxes")
    sources, lengths = drawn[0].axes
    assert [label.get_text() for label in sources.get_yticklabels()] == ["summary", "tags"]
    assert [bar.get_width() for bar in sources.patches] == [1_000, 5]
    assert {"1,000", "5"} <= {text.get_text() for text in sources.texts}
    bars = {bar.get_x(): bar.get_height() for bar in lengths.patches if bar.get_height()}
    assert bars == {BIN: 700, 15 * BIN: 300, (BINS - 1) * BIN: 5}
    assert len(lengths.patches) == BINS
    assert [line.get_xdata()[0] for line in lengths.lines] == [75, 150, 225]
    assert drawn[0].get_suptitle() == "foxes: 1,005 ids"
