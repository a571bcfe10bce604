"""What matplotlib was told to paint, for tests."""

from typing import Any

from matplotlib.axes import Axes


def bars_of(axes: Axes) -> list[Any]:
    """Return the bars of a chart."""
    return list(axes.patches)


def texts_of(axes: Axes) -> list[str]:
    """Return the numbers beside the bars, and the names of the rows."""
    return [text.get_text() for text in [*axes.texts, *axes.get_yticklabels()]]
