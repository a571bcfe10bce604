"""The entries of many members in a tar's index at once, as `json.dump` writes them."""

import numpy as np
from numpy.typing import NDArray

from dataset_assets.trainer.tars.digits import write_digits

_NUL = b"\0"
_HEX = 64  # digits of a sha256


def make_entries(
    ids: NDArray[np.int64], suffix: str, offsets: NDArray[np.int64], sizes: NDArray[np.int64], hashes: bytes
) -> bytes:
    """Return the entries of members called `{id}{suffix}`, in order, with ", " between them.

    `offsets` and `sizes` are of their data in the tar, in bytes; `hashes` are their sha256, 32 bytes each, joined. No
    number is negative.
    """
    digits = np.frombuffer(hashes.hex().encode("ascii"), np.uint8).reshape(-1, _HEX)
    columns = [
        _repeat('"'), _write(ids), _repeat(f'{suffix}": {{"offset": '), _write(offsets), _repeat(', "size": '),
        _write(sizes), _repeat(', "sha256": "'), digits, _repeat('"}, '),
    ]  # fmt: skip
    rows = np.empty((len(ids), sum(column.shape[1] for column in columns)), np.uint8)
    start = 0
    for column in columns:
        rows[:, start : start + column.shape[1]] = column
        start += column.shape[1]
    return rows.tobytes().translate(None, _NUL)[:-2]


def _repeat(text: str) -> NDArray[np.uint8]:
    """Return a text that all rows have, as (1, length)."""
    return np.frombuffer(text.encode("ascii"), np.uint8)[np.newaxis]


def _write(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return numbers in decimal, flush right after NULs, as (numbers, digits of the largest)."""
    rows = write_digits(numbers, 10)
    width = rows.shape[1]
    for column in range(width - 1):
        rows[:, column] *= numbers >= 10 ** (width - 1 - column)
    return rows
