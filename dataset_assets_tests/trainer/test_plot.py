from collections import Counter

from dataset_assets.trainer.plot import draw_report
from dataset_assets.trainer.report import describe
from dataset_assets.trainer.tally import Tally


def test_the_plot_is_a_png_and_the_same_each_time() -> None:
    report = describe(Tally(ids=5, sources=Counter(tags=2, summary=3)), {}, {})
    drawn = draw_report(report, "foxes")
    assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
    assert draw_report(report, "foxes") == drawn
    assert draw_report(describe(Tally(), {}, {}), "nothing").startswith(b"\x89PNG")
