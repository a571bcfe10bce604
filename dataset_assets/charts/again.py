"""Charts that a build has twice: of the index, and soon after of an export, which mostly holds all that is in it.

The same numbers give the same bytes, so what was drawn is given again. What is drawn is dataset.py's.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

Numbers = TypeVar("Numbers")

_KEPT = 6  # charts, the newest: some 10 kB each
_drawn: dict[str, bytes] = {}


def draw_once(draw: Callable[[Numbers], bytes], numbers: Numbers) -> bytes:
    """Return what `draw` gives of the numbers, as it gave it a moment ago if they are the same.

    The numbers are what JSON can hold, or a dataclass of it.
    """
    shown = json.dumps([draw.__name__, numbers], default=asdict, sort_keys=True)
    picture = _drawn.pop(shown, None) or draw(numbers)
    _drawn[shown] = picture  # as the newest
    for oldest in list(_drawn)[:-_KEPT]:
        _drawn.pop(oldest, None)
    return picture
