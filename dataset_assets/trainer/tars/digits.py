"""Numbers as text, many at once. What the text is for is not known here."""

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 4  # digits, which are looked up together


def _make_table(base: int) -> NDArray[np.uint32]:
    """Return the text of every number of four digits, each as one 32-bit number."""
    numbers = np.arange(base**_AT_ONCE)[:, np.newaxis] // base ** np.arange(_AT_ONCE - 1, -1, -1) % base
    return (numbers + ord("0")).astype(np.uint8).view(np.uint32)[:, 0]


_TABLES = {base: _make_table(base) for base in (8, 10)}


def write_digits(numbers: NDArray[np.int64], base: int) -> NDArray[np.uint8]:
    """Return numbers from 0 in base 8 or 10, all as long as the largest, with leading zeros, as (numbers, digits)."""
    width = len(f"{numbers.max(initial=0):{'o' if base == 8 else 'd'}}")
    table, step = _TABLES[base], base**_AT_ONCE
    parts = -(-width // _AT_ONCE)
    rows = np.empty((len(numbers), parts), np.uint32)
    for part in reversed(range(parts)):
        rest = numbers // step
        rows[:, part] = table[numbers - step * rest]
        numbers = rest
    return rows.view(np.uint8)[:, parts * _AT_ONCE - width :]
