"""What an image looks like, as 64 bits that hardly change when it is resized, encoded again, marked or toned.

The image is averaged into 8 by 8 cells. In one quarter of it, eight pairs of neighbours in a row each give a bit: is
the cell nearer to the middle the brighter one? So in each of the eight ways to turn and mirror the image, which makes
64 pairs. The look of a turned image has the same bits in other places, and is known without the image.

Which of many looks are near each other is found in alike.py.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Looks = NDArray[np.uint8]  # (count, 8): a byte a pair of cells, in it a bit a turn

TURNS = 8  # the ways to turn and mirror a square; the first leaves it as it is

_CELLS = 8  # a side
_LUMINANCE = np.array([77, 150, 29])  # BT.601, in 256ths
_PLAIN = 256  # one level of luminance, in 256ths: cells that differ by less are a plain surface, whatever noise says
_FULL = 257  # rows of 255 whose sum 16 bits hold


def hash_look(pixels: NDArray[np.uint8]) -> str:  # (height, width, 3) uint8
    """Return the look of a whole image as 16 hexadecimal digits. In integers: every machine says the same."""
    levels = _average(pixels)
    bits = [_compare(_turn(levels, turn)) for turn in range(TURNS)]
    return np.packbits(bits, axis=0).tobytes().hex()


def parse_looks(looks: Iterable[str]) -> Looks:
    """Return what `hash_look` gave of some images as an array."""
    return np.frombuffer(bytes.fromhex("".join(looks)), np.uint8).reshape(-1, TURNS)


def turn_looks(looks: Looks, turn: int) -> Looks:
    """Return the looks of the same images turned and mirrored in one of the 8 ways, 0 to 7."""
    turned: Looks = _TURNED[turn][looks]
    return turned


def measure_distances(looks: Looks, others: Looks) -> NDArray[np.uint8]:  # (count,) uint8
    """Return in how many bits the looks in the same rows differ, in the turn in which these are fewest."""
    still = as_numbers(looks)
    least = np.full(len(looks), 64, np.uint8)
    for turn in range(TURNS):
        np.minimum(least, np.bitwise_count(still ^ as_numbers(turn_looks(others, turn))), out=least)
    return least


def as_numbers(looks: Looks) -> NDArray[np.uint64]:  # (count,) uint64
    """Return each look as one number. Which one depends on the machine; whether two are equal does not."""
    return np.ascontiguousarray(looks).view(np.uint64)[:, 0]


def _average(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the mean luminance of each cell in 256ths of a level, (8, 8).

    A cell has every row and column that it touches: a mirrored image has the same cells, mirrored, and one of fewer
    than 8 pixels has 8 cells, too.
    """
    height, width = pixels.shape[:2]
    rows, columns = list(_cut(height)), list(_cut(width))
    strips = np.stack([_add_rows(pixels[row]) for row in rows])  # (8, width, 3)
    sums = np.stack([strips[:, column].sum(axis=1) for column in columns], axis=1)  # (8, 8, 3)
    high, wide = (np.array([one.stop - one.start for one in cut]) for cut in (rows, columns))
    means: NDArray[np.int64] = sums @ _LUMINANCE // (high[:, None] * wide)
    return means


def _cut(side: int) -> Iterator[slice]:
    for cell in range(_CELLS):
        yield slice(cell * side // _CELLS, -(-(cell + 1) * side // _CELLS))


def _add_rows(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the sum of some rows, added in 16 bits as far as these reach, which is much faster."""
    blocks = [rows[start : start + _FULL].sum(axis=0, dtype=np.uint16) for start in range(0, len(rows), _FULL)]
    total: NDArray[np.int64] = np.sum(blocks, axis=0, dtype=np.int64)
    return total


def _compare(levels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the bits of the eight pairs of the upper left quarter; on a plain surface the middle is the brighter."""
    quarter = levels[: _CELLS // 2, : _CELLS // 2]
    return (quarter[:, 1::2] + _PLAIN > quarter[:, ::2]).ravel()


def _turn(square: NDArray[np.int64], turn: int) -> NDArray[np.int64]:
    return np.rot90(square.T if turn >= TURNS // 2 else square, turn)


def _tabulate() -> NDArray[np.uint8]:
    """Return what each turn makes of each byte, (8, 256): a turned image's bits, found among the image's own."""
    corners = np.arange(4).reshape(2, 2)
    turns = [_turn(corners, turn).tobytes() for turn in range(TURNS)]
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)  # (256, 8)
    table = []
    for turn in range(TURNS):
        turned = _turn(corners, turn)
        places = [turns.index(_turn(turned, after).tobytes()) for after in range(TURNS)]
        table.append(np.packbits(bits[:, places], axis=1)[:, 0])
    return np.stack(table)


_TURNED = _tabulate()
