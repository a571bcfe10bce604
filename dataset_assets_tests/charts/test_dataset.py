from collections.abc import Callable
from io import BytesIO

import pytest
from matplotlib.figure import Figure
from PIL import Image

from dataset_assets.buckets.protos import make_buckets
from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.charts.dataset import (
    draw_buckets,
    draw_captions,
    draw_drops,
    draw_kept,
    draw_sizes,
    draw_statuses,
)
from dataset_assets.charts.figure import draw
from dataset_assets.errors import DropReason
from dataset_assets.overview.histogram import Histogram, Sizes
from dataset_assets_tests.charts.painted import bars_of, texts_of

LARGEST = 45_000  # bytes: some of them are shown together, on a card and in an event of Dagster's
BUCKETS = {bucket.id: 10 ** (place % 7) * 7 for place, bucket in enumerate(make_buckets([512, 1024], 32))}
SHARES = Histogram(edges=[place / 20 for place in range(21)], counts=[place * 1000 for place in range(20)])
LENGTHS = Histogram(edges=range(0, 310, 10), counts=range(30))
GRID = [100 * 1.2**place for place in range(25)]
COUNTS = [[10 ** (row % 7) for row in range(24)] for _ in range(24)]
TARGETS = [(608, 416, 5), (512, 512, 2)]
SIZES = Sizes(width_edges=GRID, height_edges=GRID, counts=COUNTS, targets=TARGETS)
STATUSES = {f"caption_{name}": {status.value: 100 for status in CaptionStatus} for name in "abc"}
NAMES = {"": 5, "caption_$\\frac{": 3, "caption_" + "ש" * 500: 2, "日本": 1, "a\u202e\n": 1}
NOTHING = Histogram(edges=(), counts=())

DRAWN: dict[str, Callable[[], bytes]] = {
    "buckets": lambda: draw_buckets(BUCKETS),
    "drops": lambda: draw_drops(dict.fromkeys(DropReason, 5)),
    "sizes": lambda: draw_sizes(SIZES),
    "kept": lambda: draw_kept(SHARES),
    "statuses": lambda: draw_statuses(STATUSES),
    "captions": lambda: draw_captions(NAMES, LENGTHS),
    "no captions": lambda: draw_captions(NAMES, NOTHING),
}
EMPTY: dict[str, Callable[[], bytes]] = {
    "buckets": lambda: draw_buckets({}),
    "no images": lambda: draw_buckets({"p1024x1024": 0}),
    "drops": lambda: draw_drops(dict.fromkeys(DropReason, 0)),
    "sizes": lambda: draw_sizes(Sizes(width_edges=(), height_edges=(), counts=(), targets=())),
    "kept": lambda: draw_kept(Histogram(edges=(0, 1), counts=(0,))),
    "statuses": lambda: draw_statuses({"caption_a": {}, "caption_b": {"ok": 0}}),
    "captions": lambda: draw_captions({}, NOTHING),
}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn."""
    drawn: list[Figure] = []

    def keep(paint: Callable[[Figure], None], **given: float) -> bytes:
        def watch(figure: Figure) -> None:
            paint(figure)
            drawn.append(figure)

        return draw(watch, height=given["height"])

    monkeypatch.setattr("dataset_assets.charts.dataset.draw", keep)
    return drawn


@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_is_a_small_png_and_the_same_each_time(name: str) -> None:
    drawn = DRAWN[name]()

    picture = Image.open(BytesIO(drawn))
    assert picture.format == "PNG"
    assert picture.width == 896
    assert len(drawn) < LARGEST
    assert DRAWN[name]() == drawn


@pytest.mark.parametrize("name", EMPTY)
def test_where_there_is_nothing_a_small_picture_says_so(name: str) -> None:
    picture = Image.open(BytesIO(EMPTY[name]()))

    assert picture.format == "PNG"
    assert picture.height < 200
    colours = picture.convert("RGB").getcolors()
    assert colours is not None
    assert len(colours) > 2  # there is a text on it


def test_other_numbers_make_another_picture() -> None:
    assert draw_buckets({"p1024x1024": 5}) != draw_buckets({"p1024x1024": 6})
    assert draw_kept(SHARES) != draw_kept(Histogram(edges=SHARES.edges, counts=[1] * 20))


def test_every_bucket_is_there_where_there_are_no_more_than_40(figures: list[Figure]) -> None:
    buckets = {bucket.id: 1_000 + place for place, bucket in enumerate(make_buckets([512], 32))}

    draw_buckets(buckets)

    (figure,) = figures
    assert len(buckets) == 40
    assert {*texts_of(figure.axes[0])} == {*buckets, *(f"{count:,}" for count in buckets.values())}


def test_of_more_buckets_the_smallest_share_a_row(figures: list[Figure]) -> None:
    draw_buckets(BUCKETS)

    (figure,) = figures
    rest = sorted(BUCKETS.values(), reverse=True)[39:]
    assert {f"{len(rest)} more buckets", f"{sum(rest):,}"} <= {*texts_of(figure.axes[0])}
    assert [bar.get_width() for bar in bars_of(figure.axes[0])][:39] == sorted(BUCKETS.values(), reverse=True)[:39]


def test_the_rest_of_80_buckets_does_not_make_the_others_short(figures: list[Figure]) -> None:
    buckets = {bucket.id: 1_000 - place for place, bucket in enumerate(make_buckets([512, 1024], 32))}

    draw_buckets(buckets)

    (axes,) = figures[0].axes
    *others, rest = bars_of(axes)
    assert len(buckets) == 80
    assert (axes.get_xlim()[1] < 1_200, rest.get_width()) == (True, 1_000)
    assert {rest.get_facecolor()}.isdisjoint(bar.get_facecolor() for bar in others)
    assert {"41 more buckets", f"{sum(buckets.values()) - sum(range(962, 1_001)):,}"} <= {*texts_of(axes)}


def test_every_status_has_a_colour_and_a_place_in_the_legend(figures: list[Figure]) -> None:
    draw_statuses({"caption_a": {**dict.fromkeys(CaptionStatus, 2), "of_a_later_version": 1}})

    (figure,) = figures
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*CaptionStatus, "of_a_later_version"]
    assert len({bar.get_facecolor() for bar in bars_of(figure.axes[0])}) == len(CaptionStatus) + 1
    assert "19" in texts_of(figure.axes[0])


def test_of_many_variants_the_smallest_share_a_row(figures: list[Figure]) -> None:
    draw_statuses({f"caption_{place}": {"ok": 100 - place, "missing": 1} for place in range(30)})

    axes = figures[0].axes[0]
    assert {"11 more variants", f"{sum(range(71, 82)) + 11}"} <= {*texts_of(axes)}
    ok, missing = (bars_of(axes)[place : place + 20] for place in (0, 20))
    assert [bar.get_width() for bar in ok][:19] == [*range(100, 81, -1)]
    assert ok[19].get_width() + missing[19].get_width() == pytest.approx(101)  # as long as the longest
    assert missing[19].get_width() / ok[19].get_width() == pytest.approx(11 / sum(range(71, 82)))
    assert (ok[18].get_alpha(), ok[19].get_alpha()) == (None, 0.4)


def test_samples_without_a_caption_are_called_that(figures: list[Figure]) -> None:
    draw_captions({"caption_a": 3, "": 4_000}, LENGTHS)

    above, below = figures[0].axes
    assert {*texts_of(above)} == {"no caption", "4,000", "caption_a", "3"}
    assert len(below.patches) == 30


def test_a_title_says_what_half_of_them_have(figures: list[Figure]) -> None:
    draw_kept(SHARES)
    draw_captions(NAMES, LENGTHS)

    kept, lengths = (figure.axes[-1].get_title("left") for figure in figures)
    assert kept == "What the crops keep: 70% of the area or more, for at least half of the images"
    assert lengths == "How long the captions are: at least half have 210 characters or more"
