"""Bars across a chart, one a row, with their numbers: how many there are of each."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dataset_assets.charts.figure import BAR, GREY, REST, count_along, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.2  # inches: with the texts of figure.py, rows do not touch
_HEAD = 0.95  # inches: the title, and the axis with what it counts
_ROOM = 1.16  # of the longest bar: its number stands beside it
_PALE = 0.4  # how opaque the parts of the rest are

Rows = Sequence[tuple[str, int]]


def height_of(rows: int) -> float:
    """Return how high a chart of so many rows is, inches."""
    return _HEAD + ROW * max(rows, 2)


def keep_largest(counts: Mapping[str, int], most: int, others: str) -> Rows:
    """Return the rows of a chart, the largest first, those of 0 left out.

    Of more than `most` the smallest share the last row, the rest, which `others` names: "{count} more", for instance.
    """
    rows = sorted(((name, count) for name, count in counts.items() if count), key=lambda row: (-row[1], row[0]))
    if len(rows) <= most:
        return rows
    rest = rows[most - 1 :]
    return [*rows[: most - 1], (others.format(count=f"{len(rest):,}"), sum(count for _, count in rest))]


def has_rest(counts: Mapping[str, int], most: int) -> bool:
    """Return whether the last of the rows that `keep_largest` returns is the rest."""
    return sum(1 for count in counts.values() if count) > most


def paint_bars(axes: "Axes", rows: Rows, *, title: str, counted: str, rest: bool = False) -> None:
    """Put a bar for each row on the axes, the first at the top; `counted` is what their numbers are of.

    `rest` as for `paint_stacks`.
    """
    stacks = [(name, {counted: count}) for name, count in rows]
    paint_stacks(axes, stacks, {counted: BAR}, title=title, counted=counted, rest=rest)


def paint_stacks(
    axes: "Axes",
    rows: Sequence[tuple[str, Mapping[str, int]]],
    colours: Mapping[str, str],
    *,
    title: str,
    counted: str,
    rest: bool = False,
) -> None:
    """Put a bar for each row on the axes, made of its parts in the order of `colours`; its number is of them all.

    With `rest` the last row is what the others leave. It is pale, and no longer than the longest of them, however much
    it is: it would make them all short, and its number says what it is.
    """
    totals = [sum(parts.values()) for _, parts in rows]
    longest = max(totals[:-1] if rest else totals, default=1)
    shares = [min(1, longest / total) if total else 1 for total in totals]  # of a bar: only that of the rest is cut
    places = range(len(rows))
    starts = [0.0] * len(rows)
    for part, colour in colours.items():
        lengths = [parts.get(part, 0) * share for (_, parts), share in zip(rows, shares, strict=True)]
        bars = axes.barh(places, lengths, left=starts, color=colour, label=say(part), height=0.74)
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]
        if rest:
            bars[-1].set(**({"color": REST} if len(colours) == 1 else {"alpha": _PALE}))
    for place, total, end in zip(places, totals, starts, strict=True):
        shift: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
        number = axes.annotate(f"{total:,}", (end, place), **shift)
        number.set_in_layout(False)  # _ROOM is there for it
    axes.set_yticks(places, [say(name) for name, _ in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, (longest or 1) * _ROOM)
    axes.set_title(title)
    axes.set_xlabel(counted, color=GREY)
    count_along(axes, "x")
