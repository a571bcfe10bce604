"""What an image looks like, as 64 bits that hardly change when it is resized, encoded again, marked or toned.

The image is averaged into 8 by 8 cells. In one quarter of it, eight pairs of neighbours in a row each give a bit: is
the cell nearer to the middle the brighter one? So in each of the eight ways to turn and mirror the image, which makes
64 pairs. The look of a turned image has the same bits in other places, and is known without the image.

Which of many looks are near each other is found in alike.py.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Looks = NDArray[np.uint8]  # (count, 8): a byte a pair of cells, in it a bit a turn

TURNS = 8  # the ways to turn and mirror a square; the first leaves it as it is

_CELLS = 8  # a side
_LUMINANCE = np.array([77.0, 150.0, 29.0])  # BT.601, in 256ths
_PLAIN = 256  # one level of luminance, in 256ths: cells that differ by less are a plain surface, whatever noise says
_FULL = 257  # rows of 255 whose sum 16 bits hold


def hash_look(pixels: NDArray[np.uint8]) -> str:  # (height, width, 3) uint8
    """Return the look of a whole image as 16 hexadecimal digits. Of whole numbers: every machine says the same.

    Of the two neighbours of a pair the nearer to the middle counts as the brighter one on a plain surface.
    """
    levels = _average(pixels).ravel()
    return np.packbits(levels[_INNER] + _PLAIN > levels[_OUTER], axis=0).tobytes().hex()


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
    than 8 pixels has 8 cells, too. The sums are of whole numbers, which floats add exactly in any order: those of rows
    stay within 2^24 in float32, those of cells far below 2^53 in float64.
    """
    height, width = pixels.shape[:2]
    strips = _add_rows(pixels.reshape(height, -1))  # (8, width * 3)
    luminance = (strips.reshape(-1, 3) @ _LUMINANCE.astype(strips.dtype)).reshape(_CELLS, width)
    if width < _CELLS:
        luminance = np.pad(luminance, ((0, 0), (0, 1)))  # more cells than the last one end behind the last column
    sums = np.add.reduceat(luminance, _cut(width).bounds, axis=1, dtype=np.float64)[:, ::2]
    means: NDArray[np.int64] = sums.astype(np.int64) // _count_pixels(height, width)
    return means


def _add_rows(rows: NDArray[np.uint8]) -> NDArray[np.floating[Any]]:  # (8, columns)
    """Return the sum of the rows of each cell, added in 16 bits as far as these reach, which is much faster.

    In few calls: each finds nothing in the processor's caches, which codecs have just been through.
    """
    height, columns = rows.shape
    if height <= _CELLS * (_FULL - 1):
        if height % _CELLS == 0:
            cells = rows.reshape(_CELLS, height // _CELLS, columns)
            sums: NDArray[np.uint16] = np.add.reduce(cells, axis=1, dtype=np.uint16)
            return sums.astype(np.float32)
        strips = np.empty((_CELLS, columns), np.uint16)
        for strip, cut in zip(strips, _cut(height).slices, strict=True):
            np.add.reduce(rows[cut], axis=0, dtype=np.uint16, out=strip)
        return strips.astype(np.float32)
    long = np.zeros((_CELLS, columns))
    for cell, cut in enumerate(_cut(height).slices):
        for start in range(cut.start, cut.stop, _FULL):
            long[cell] += np.add.reduce(rows[start : min(start + _FULL, cut.stop)], axis=0, dtype=np.uint16)
    return long


class _Cut(NamedTuple):
    """Which of the pixels of a side are in which of its 8 cells."""

    slices: list[slice]
    sizes: NDArray[np.int64]  # pixels in each
    bounds: NDArray[np.int64]  # where each begins and ends, the last end left out, as `reduceat` wants them


@lru_cache(maxsize=256)
def _cut(side: int) -> _Cut:
    starts = [cell * side // _CELLS for cell in range(_CELLS)]
    stops = [-(-(cell + 1) * side // _CELLS) for cell in range(_CELLS)]
    bounds = np.stack([starts, stops], axis=1).ravel()[:-1]
    return _Cut([slice(*ends) for ends in zip(starts, stops, strict=True)], np.subtract(stops, starts), bounds)


@lru_cache(maxsize=256)
def _count_pixels(height: int, width: int) -> NDArray[np.int64]:
    """Return how many pixels are in each cell, (8, 8)."""
    return _cut(height).sizes[:, None] * _cut(width).sizes


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


def _list_pairs() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of cells by number, (8, 8) each, a row a turn: the nearer to the middle, and the other."""
    cells = np.arange(_CELLS**2).reshape(_CELLS, _CELLS)
    quarters = [_turn(cells, turn)[: _CELLS // 2, : _CELLS // 2] for turn in range(TURNS)]
    return np.stack([one[:, 1::2].ravel() for one in quarters]), np.stack([one[:, ::2].ravel() for one in quarters])


_TURNED = _tabulate()
_INNER, _OUTER = _list_pairs()
